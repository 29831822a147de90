/**
 * Stories of the machine as transcripts. A line with `>` says what happens, in words; the lines
 * with `<` below it say what the machine does about it and what `status` then shows that it did not
 * show before. Each is played against the real machine by `tell`.
 *
 *     strategy download-then-kill      the settings and the disk, before the first line with >
 *     > GitHub has 1.1.0
 *     < downloading, effect download 1.1.0
 */
import { parseWindow } from '../../src/config/window.ts';
import type { JournalRecord } from '../../src/journal/record.ts';
import type { EffectName, EffectRequest } from '../../src/machines/effects.ts';
import type { Fact, FactType } from '../../src/machines/facts.ts';
import type { InstalledVersion, Policy, World } from '../../src/machines/model.ts';
import { type Status, statusOf } from '../../src/report/status.ts';
import { formatDuration } from '../../src/report/words.ts';
import { begin, evolve, type State } from '../../src/runtime/fold.ts';
import { baked, facts, policy, tree } from './machine.ts';

const STARTS_AT = Date.parse('2026-01-05T12:00:00Z');
const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * The whole story with the machine's lines as they are now: what is compared, and what
 * UPDATE_STORIES=1 writes. Throws for a line that means nothing.
 */
export function tell(text: string): string {
  const lines = text.split('\n').filter((line) => !line.startsWith('<'));
  const first = lines.findIndex((line) => line.startsWith('>'));
  const teller = new Teller(lines.slice(0, first));
  const told = lines
    .slice(first)
    .flatMap((line) =>
      line.startsWith('>') ? [line, ...teller.happens(line.slice(1).trim())] : [line],
    );
  return [...lines.slice(0, first), ...told].join('\n');
}

/**
 * What a story begins with: `strategy …`, `window …` and so on, `image 1.0.0`, `current 1.1.0`.
 * Comments begin with #.
 */
const SETTINGS: Readonly<Record<string, (value: string) => Partial<Policy>>> = {
  strategy: (value) => ({ strategy: value as Policy['strategy'] }),
  rollback: (value) => ({ rollback: value as Policy['rollback'] }),
  approval: (value) => ({ approval: value === 'on' }),
  'attempts at most': (value) => ({ maxAttempts: Number(value) }),
  'minimum age': (value) => ({ minAgeMs: durationOf(value) }),
  hooks: (value) => ({
    hooks: {
      preStop: value.includes('pre-stop'),
      preStart: value.includes('pre-start'),
      postUpdate: value.includes('post-update'),
    },
  }),
  window: (value) => {
    const spans = parseWindow(value);
    if (typeof spans === 'string') throw new Error(spans);
    return { window: { text: value, timeZone: 'UTC', spans } };
  },
};

function durationOf(text: string): number {
  const [, count = '', unit = ''] = /^(\d+) (s|min|h|d)$/.exec(text) ?? [];
  if (unit === '') throw new Error(`${text} is no time; as 5 min`);
  return Number(count) * (UNITS[unit] ?? 0);
}

type Saying = [RegExp, (teller: Teller, word: string, other: string) => Fact];
const failure = (type: Parameters<typeof facts.failed>[0]) => (_: Teller, code: string) =>
  facts.failed(type, code);

/** Everything that may happen, in words. */
const SAYINGS: readonly Saying[] = [
  [/^the container starts$/, (teller) => ({ type: 'appFoundDown', world: teller.world })],
  [
    /^the updater starts again, and the app still runs$/,
    (teller) => ({ type: 'appFoundUp', world: teller.world }),
  ],
  [
    /^the updater was killed at its work on (\w+)$/,
    (_, effect) => ({ type: 'workInterrupted', effect }),
  ],
  [/^GitHub has (\S+)$/, (_, version) => facts.found(version)],
  [
    /^GitHub has (\S+), published (\d+ \w+) ago$/,
    (teller, version, age) =>
      facts.found(version, { publishedAt: new Date(teller.at - durationOf(age)).toISOString() }),
  ],
  [/^GitHub has nothing newer$/, () => ({ type: 'nothingNewer' })],
  [/^the check fails: (\w+)$/, (_, code) => ({ type: 'checkFailed', code, message: 'the reason' })],
  [
    /^the assets of (\S+) are still uploading$/,
    (_, version) => ({
      type: 'assetsAwaited',
      tag: `v${version}`,
      version,
      code: 'ASSET_MISSING',
      message: `v${version} has no asset for this platform yet`,
    }),
  ],
  [
    /^(\S+) is refused: (\w+)$/,
    (_, version, code) => ({
      type: 'releaseRefused',
      tag: `v${version}`,
      version,
      code,
      message: 'the reason',
    }),
  ],
  [/^the download is complete$/, (teller) => facts.downloaded(teller.coming)],
  [/^the download fails: (\w+)$/, failure('downloadFailed')],
  [/^the bytes are verified$/, () => facts.verified()],
  [/^the verification fails: (\w+)$/, failure('verificationFailed')],
  [/^the tree is complete$/, (teller) => facts.installed(teller.coming)],
  [/^the extraction fails: (\w+)$/, failure('extractionFailed')],
  [
    /^nothing speaks against the interruption$/,
    (teller) => ({
      type: 'conditionsObserved',
      window: teller.hasWindow ? { isOpen: true, changesAt: null } : null,
      busy: null,
    }),
  ],
  [
    /^the app is busy$/,
    (teller) => ({
      type: 'conditionsObserved',
      window: teller.hasWindow ? { isOpen: true, changesAt: null } : null,
      busy: { since: teller.at },
    }),
  ],
  [
    /^the window opens in (\d+ \w+)$/,
    (teller, time) => ({
      type: 'conditionsObserved',
      window: { isOpen: false, changesAt: teller.at + durationOf(time) },
      busy: null,
    }),
  ],
  [
    /^the (pre-stop|pre-start|post-update) hook succeeds$/,
    (_, hook) => ({ type: 'hookSucceeded', hook: HOOKS[hook] ?? 'preStop', durationMs: 1 }),
  ],
  [/^the hook says "not now"$/, () => facts.failed('interruptionDeferred', 'HOOK_DEFERRED')],
  [/^the hook fails: (\w+)$/, failure('hookFailed')],
  [/^everything is ready for the stop$/, (teller) => facts.switchStarted(teller.coming)],
  [/^the checks before the stop fail: (\w+)$/, failure('preparationFailed')],
  [/^the app has stopped$/, () => facts.stopped()],
  [/^the stop fails: (\w+)$/, failure('stopFailed')],
  [/^current is switched$/, (teller) => facts.switched(teller.target)],
  [/^the switch fails: (\w+)$/, failure('switchFailed')],
  [/^the app has started$/, (teller) => facts.started(teller.status.version ?? '')],
  [/^the start fails: (\w+)$/, failure('startFailed')],
  [/^it is started beside the app$/, (teller) => facts.startedBeside(teller.target.version)],
  [/^it is ready$/, (teller) => facts.ready(teller.target.version)],
  [/^it is not ready: (\w+)$/, failure('readinessFailed')],
  [/^the other copy has stopped$/, () => facts.otherStopped()],
  [/^the app proves itself$/, (teller) => facts.healthy(teller.status.version ?? '')],
  [
    /^the app exits early: (\w+)$/,
    (teller, code) => ({
      type: 'appExitedEarly',
      version: teller.status.version ?? '',
      code,
      message: 'the reason',
    }),
  ],
  [/^the app does not prove itself: (\w+)$/, failure('probationFailed')],
  [/^the app crashes again and again$/, (teller) => facts.crashLooped(teller.status.version ?? '')],
  [/^old versions are removed$/, () => facts.tidied()],
  [/^the operator: self-update (.*)$/, (_, line) => ordered(line)],
];
const HOOKS: Readonly<Record<string, 'preStop' | 'preStart' | 'postUpdate'>> = {
  'pre-stop': 'preStop',
  'pre-start': 'preStart',
  'post-update': 'postUpdate',
};

/**
 * Which effects a fact can be the outcome of. What a check finds is also found by the polls of a
 * machine at rest.
 */
const OUTCOMES: Partial<Record<FactType, readonly EffectName[]>> = {
  ...Object.fromEntries(
    ['releaseFound', 'nothingNewer', 'checkFailed', 'assetsAwaited', 'releaseRefused'].map(
      (type) => [type, ['check']],
    ),
  ),
  downloaded: ['download'],
  downloadFailed: ['download'],
  verified: ['verify'],
  verificationFailed: ['verify'],
  installed: ['extract', 'download'],
  extractionFailed: ['extract'],
  conditionsObserved: ['observeConditions'],
  hookSucceeded: ['runHook'],
  hookFailed: ['runHook'],
  interruptionDeferred: ['runHook'],
  switchStarted: ['prepareSwitch'],
  preparationFailed: ['prepareSwitch', 'observeConditions'],
  appStopped: ['stop'],
  stopFailed: ['stop', 'stopOtherCopy'],
  switched: ['switchCurrent'],
  switchFailed: ['switchCurrent'],
  appStarted: ['start'],
  startFailed: ['start', 'startBeside'],
  startedBeside: ['startBeside'],
  becameReady: ['observeReadiness'],
  readinessFailed: ['observeReadiness'],
  otherCopyStopped: ['stopOtherCopy'],
  versionBecameHealthy: ['observeProbation'],
  appExitedEarly: ['observeProbation'],
  probationFailed: ['observeProbation'],
  oldVersionsRemoved: ['removeOldVersions'],
};

/** What the command line puts into the inbox. */
function ordered(line: string): Fact {
  const [command, word = ''] = line.split(' ');
  switch (command) {
    case 'update':
      return { type: 'updateRequested', ...(word === '--force' ? { force: true } : {}) };
    case 'install':
      return { type: 'installRequested', tag: word, file: null };
    case 'release':
      return { type: 'holdReleased' };
    case 'restart':
      return { type: 'restartRequested' };
    case 'pause':
      return { type: 'paused' };
    case 'resume':
      return { type: 'resumed' };
    case 'approve':
      return { type: 'versionApproved', version: word };
    case 'deny':
      return { type: 'versionDenied', version: word };
    case 'retry':
      return { type: 'versionRetried', version: word };
    default:
      throw new Error(`self-update ${line} is not told in stories`);
  }
}

class Teller {
  at = STARTS_AT;
  #state: State;
  #seq = 1;
  #appRuns = false;
  #shown: readonly string[];

  constructor(opening: readonly string[]) {
    const told: Policy = { ...policy, retryBaseMs: 300_000 };
    const world: World = { baked: null, current: null, lastGood: null };
    for (const line of opening.filter((one) => one !== '' && !one.startsWith('#'))) {
      const [, name = '', value = ''] =
        /^(attempts at most|minimum age|\S+) (.+)$/.exec(line) ?? [];
      if (name === 'image') world.baked = baked(value);
      else if (name === 'current') world.current = world.lastGood = tree(value);
      else Object.assign(told, (SETTINGS[name] ?? unknown(line))(value));
    }
    this.#state = begin(
      this.#record({ type: 'initialized', policy: told, world, floor: null }, null),
    );
    this.#shown = this.#facets();
  }

  get status(): Status {
    const image = { version: null, created: null };
    const rest = {
      updaterRunning: true,
      seq: this.#seq,
      repository: null,
      source: { name: 'github', url: 'https://api.github.com', webUntil: null },
      verify: [],
      warnings: [],
      now: this.at,
      receivedBytes: null,
      listening: [],
      listenOverflows: null,
    };
    return statusOf(this.#state, null, image, rest);
  }

  get world(): World {
    const { baked, current, lastGood } = this.#context;
    return { baked, current, lastGood };
  }

  get #context() {
    return this.#state.snapshot.context;
  }

  get hasWindow(): boolean {
    return this.#context.policy.window !== null;
  }

  /** The version on its way in. */
  get coming(): string {
    return this.status.target ?? unknown('there is no release at hand')();
  }

  get target(): InstalledVersion {
    return this.#context.target ?? unknown('there is no target')();
  }

  /** Returns the lines with `<`. */
  happens(words: string): string[] {
    const [, time = null] = /^(\d+ \w+) pass$/.exec(words) ?? [];
    if (time !== null) return this.#passes(durationOf(time));
    for (const [pattern, make] of SAYINGS) {
      const [found, word = '', other = ''] = pattern.exec(words) ?? [];
      if (found !== undefined) return this.#take(make(this, word, other));
    }
    return unknown(`nobody knows what this means: ${words}`)();
  }

  /** Time passes; what is due then happens. */
  #passes(durationMs: number): string[] {
    this.at += durationMs;
    const due = [...this.#state.timers.values()].filter(({ dueAt }) => dueAt <= this.at);
    const lines = due.flatMap(({ type }) => this.#take({ type } as Fact));
    return lines.length > 0 ? lines : ['< nothing is due'];
  }

  #take(fact: Fact): string[] {
    const next = evolve(this.#state, this.#record(fact, this.#answered(fact)));
    if (next === this.#state) return ['< nothing changes'];
    this.#state = next;
    if (fact.type === 'appStarted' || fact.type === 'appFoundUp') this.#appRuns = true;
    if (fact.type === 'appStopped' || fact.type === 'appFoundDown') this.#appRuns = false;
    const before = this.#shown;
    this.#shown = this.#facets();
    return [this.#doing(), ...this.#shown.filter((line) => !before.includes(line))].map(
      (line) => `< ${line}`,
    );
  }

  /**
   * The outstanding effect that the fact is the outcome of; null for what comes by itself, and for
   * a poll. Throws when nobody asked for it.
   */
  #answered({ type }: Fact): string | null {
    const asked = OUTCOMES[type] ?? [];
    const effect = [...this.#state.effects.values()].find(({ request }) =>
      asked.includes(request.name),
    );
    if (effect === undefined && asked.length > 0 && !asked.includes('check'))
      throw new Error(`${type} is told, and nobody asked for it: ${this.#doing()}`);
    return effect?.id ?? null;
  }

  #record(fact: Fact, effect: string | null): JournalRecord {
    return { seq: this.#seq++, at: this.at, fact, effect, command: null };
  }

  #doing(): string {
    const { state, phase } = this.status;
    const effects = [...this.#state.effects.values()].map(
      ({ request }) => `effect ${request.name}${detailOf(request)}`,
    );
    const timers = [...this.#state.timers.values()].map(
      ({ dueAt }) => `again in ${formatDuration(dueAt - this.at)}`,
    );
    return [phase === null ? state : `${state} (${phase})`, ...effects, ...timers].join(', ');
  }

  /** What `status` shows, a line for each thing: of these a story has what is new. */
  #facets(): string[] {
    const { version, target, lastGood, hold, paused, waitingFor, denied, lastError } = this.status;
    return [
      `  the app ${this.#appRuns ? `runs: ${version}` : 'does not run'}`,
      `  last good: ${lastGood ?? 'none'}`,
      target === null ? '  nothing is on its way in' : `  on its way in: ${target}`,
      hold === null ? '  nothing is held' : `  held: ${hold.version}`,
      paused ? '  updates are paused' : '  updates are not paused',
      waitingFor === null
        ? '  nothing is waited for'
        : `  waiting for (${waitingFor.reason}): ${waitingFor.message}`,
      ...(denied.length === 0
        ? ['  nothing is denied']
        : denied.map((one) => `  denied: ${one.version}, ${one.code}`)),
      lastError === null ? '  no error' : `  last error: ${lastError.code}`,
    ];
  }
}

/** The part of an effect's input that a reader wants to know. */
function detailOf({ name, input }: EffectRequest): string {
  switch (name) {
    case 'check':
      return input.request?.tag ? ` for ${input.request.tag}` : '';
    case 'download':
    case 'verify':
    case 'extract':
    case 'prepareSwitch':
      return ` ${input.release.version}`;
    case 'runHook':
      return ` ${input.hook} (${input.reason}: ${input.from ?? 'nothing'} to ${input.to})`;
    case 'switchCurrent':
      return ` to ${input.to.version}`;
    case 'start':
      return ` ${input.target?.version ?? ''}`;
    case 'observeProbation':
      return ` ${input.version}${input.again ? ', its second chance' : ''}`;
    default:
      return '';
  }
}

function unknown(message: string): () => never {
  return () => {
    throw new Error(message);
  };
}

/**
 * The worst world that can be: it answers each effect within a millisecond, with whatever fact that
 * effect can yield, every failure code among them. Timers fire when they are due and polls are made
 * as the runtime makes them, by a clock that is only data.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { JournalRecord } from '../../src/journal/record.ts';
import type { EffectRequest } from '../../src/machines/effects.ts';
import { type Fact, serializeFact } from '../../src/machines/facts.ts';
import type { Policy, World } from '../../src/machines/model.ts';
import { begin, evolve, lockReturnAt, outstanding, type State } from '../../src/runtime/fold.ts';
import { baked, digestOf, facts, policy, release, tree, world } from './machine.ts';

/** Every stable code in the sources: one that is added is tried by itself. */
export const CODES: readonly string[] = codesOf(path.join(import.meta.dirname, '..', '..', 'src'));

function codesOf(directory: string): string[] {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const found = files.flatMap((name) => [
    ...readFileSync(path.join(directory, name), 'utf8').matchAll(
      /'([A-Z][A-Z]+(?:_[A-Z]+)+|LOCKED|UNHEALTHY|UNEXPECTED|INTERRUPTED)'/g,
    ),
  ]);
  return [...new Set(found.map(([, code = '']) => code))]
    .filter((code) => !/^(?:UPDATE|GH|SLEEP|HTTPS|NO_PROXY|NODE)_/.test(code))
    .sort();
}

const VERSIONS = ['1.1.0', '2.0.0', '3.0.0'] as const;
/** Five exits that nobody asked for, a second apart, before anybody speaks of a crash loop. */
const CRASH_LOOP_TAKES_MS = 5000;
const SILENCE_MS = 60_000;

export type Temper = {
  /** What it likes to answer, by effect; the code that it likes to name. */
  likes: Readonly<Record<string, number>>;
  code: number;
  /** Of ten answers, so many are what it likes. */
  steadiness: number;
};

export class Adversary {
  readonly records: JournalRecord[] = [];
  /** The most facts between two states that wait. */
  longestRun = 0;
  state: State;
  at = 1_700_000_000_000;
  readonly #temper: Temper;
  readonly #dice: () => number;
  readonly #pollIntervalMs: number;
  #nextPollAt: number;
  #startedAt = 0;
  #run = 0;
  readonly #outagesAt = new Set<number>();
  /** When an outage was last seen. */
  #outageAt = Number.NEGATIVE_INFINITY;

  constructor(
    overrides: Partial<Policy>,
    temper: Temper,
    dice: () => number,
    begins: World = world({ current: tree('1.1.0'), lastGood: tree('1.1.0') }),
  ) {
    this.#temper = temper;
    this.#dice = dice;
    const told: Policy = { ...policy, retryBaseMs: 300_000, ...overrides };
    this.#pollIntervalMs = told.retryBaseMs;
    this.#nextPollAt = this.at;
    const record = {
      seq: 1,
      at: this.at,
      fact: { type: 'initialized', policy: told, world: begins } as Fact,
      effect: null,
      command: null,
    };
    this.records.push(record);
    this.state = begin(record);
    this.#take({ type: this.#pick(2) === 0 ? 'appFoundDown' : 'appFoundUp', world: begins }, null);
  }

  /** Lets it do its worst for so long, simulated. */
  live(forMs: number, mostFacts: number): void {
    const until = this.at + forMs;
    while (this.at < until && this.records.length < mostFacts) if (!this.#step()) return;
  }

  #step(): boolean {
    if (this.#seesCrashLoop()) return true;
    const [effect] = outstanding(this.state, { isPollDue: false, now: this.at }).values();
    const isResting = this.state.snapshot.hasTag('resting');
    if (effect !== undefined && !(isResting && this.#pick(2) === 0)) {
      this.at += 1;
      this.#take(this.#answer(effect.request), effect.id);
      return true;
    }
    const returnAt = lockReturnAt(this.state);
    const timers = [...this.state.timers.values()].map(({ dueAt }) => dueAt);
    const due = returnAt === null ? timers : [...timers, returnAt];
    const pollAt = isResting ? this.#nextPollAt : Number.POSITIVE_INFINITY;
    const next = Math.min(...due, pollAt);
    if (!Number.isFinite(next)) return false;
    this.at = Math.max(this.at + 1, next);
    if (pollAt <= this.at) {
      this.#nextPollAt = this.at + this.#pollIntervalMs;
      this.#poll();
    } else
      for (const { type, dueAt } of this.state.timers.values())
        if (dueAt <= this.at) this.#take({ type } as Fact, null);
    return true;
  }

  #poll(): void {
    const { context } = this.state.snapshot;
    this.#take(
      this.#answer({
        name: 'check',
        input: { policy: context.policy, request: null, running: null, fresh: false },
      }),
      null,
    );
  }

  #seesCrashLoop(): boolean {
    const { snapshot } = this.state;
    if (snapshot.context.app !== 'up' || !snapshot.matches('steady')) return false;
    if (this.at - this.#startedAt < CRASH_LOOP_TAKES_MS || this.#likes('crashLoop', 2) === 0)
      return false;
    const before = this.records.length;
    this.#take(
      {
        ...(facts.crashLooped(snapshot.context.current?.version ?? null) as Fact & {
          code: string;
        }),
        code: this.#pick(2) === 0 ? 'TREE_MISSING' : 'CRASH_LOOP',
      } as Fact,
      null,
    );
    return this.records.length > before;
  }

  #pick(count: number): number {
    return Math.floor(this.#dice() * count);
  }

  #likes(what: string, count: number): number {
    return this.#pick(10) < this.#temper.steadiness
      ? (this.#temper.likes[what] ?? 0) % count
      : this.#pick(count);
  }

  #take(fact: Fact, effect: string | null): void {
    const record = { seq: this.records.length + 1, at: this.at, fact, effect, command: null };
    const next = evolve(this.state, record);
    if (next === this.state) return;
    if (fact.type === 'appStarted') this.#startedAt = this.at;
    this.records.push(record);
    this.#noticeOutage(this.state, next);
    this.state = next;
    this.#run = next.snapshot.hasTag('resting') ? 0 : this.#run + 1;
    this.longestRun = Math.max(this.longestRun, this.#run);
  }

  /**
   * One that follows within a minute upon the last one is the same, however often something came up
   * between them.
   */
  #noticeOutage(before: State, after: State): void {
    if (isOutage(after) && this.at - this.#outageAt > SILENCE_MS) this.#outagesAt.add(this.at);
    if (isOutage(before) || isOutage(after)) this.#outageAt = this.at;
  }

  #answer(request: EffectRequest): Fact {
    const answers = this.#answers(request);
    const answer = answers[this.#likes(request.name, answers.length)];
    if (answer === undefined) throw new Error(`nothing answers ${request.name}`);
    return answer;
  }

  #code(): string {
    return CODES[this.#likes('code', CODES.length)] ?? 'NETWORK_FAILED';
  }

  #version(): string {
    return VERSIONS[this.#likes('version', VERSIONS.length)] ?? '2.0.0';
  }

  #answers(request: EffectRequest): Fact[] {
    const { context } = this.state.snapshot;
    const code = this.#code();
    const version = context.candidate?.release.version ?? this.#version();
    const failed = (type: Parameters<typeof facts.failed>[0]) =>
      ({ ...facts.failed(type, code), jitter: 0 }) as Fact;
    switch (request.name) {
      case 'check': {
        const message = `reason ${this.#pick(1000)}`;
        const found = this.#version();
        return [
          { type: 'nothingNewer' },
          { type: 'checkFailed', code, message },
          facts.found(found),
          // Its bytes are others each time.
          facts.found(found, {
            asset: { ...release(found).asset, digest: digestOf(`${found}-${this.#pick(1000)}`) },
          }),
          { type: 'assetsAwaited', tag: `v${found}`, version: found, code, message },
          { type: 'releaseRefused', tag: `v${found}`, version: found, code, message },
        ];
      }
      case 'download':
        return [facts.downloaded(version), facts.installed(version), failed('downloadFailed')];
      case 'verify':
        return [facts.verified(), failed('verificationFailed')];
      case 'extract':
        return [facts.installed(version), failed('extractionFailed')];
      case 'observeConditions': {
        const window = {
          isOpen: false,
          changesAt: [null, this.at - 1, this.at + 1, this.at + 5000][this.#pick(4)] ?? null,
        };
        return [
          facts.allowed(),
          facts.busy(this.at),
          { type: 'conditionsObserved', window, busy: null },
          failed('preparationFailed'),
        ];
      }
      case 'acquireFleetLock':
        return [facts.locked(), failed('fleetLockRefused')];
      case 'returnFleetLock':
        return [facts.lockReturned(), failed('fleetLockReturnFailed')];
      case 'runHook': {
        const { hook } = request.input;
        return [
          { type: 'hookSucceeded', hook, durationMs: 1 },
          failed('hookFailed'),
          ...(hook === 'preStop' ? [failed('interruptionDeferred')] : []),
        ];
      }
      case 'prepareSwitch':
        return [facts.switchStarted(version), failed('preparationFailed')];
      case 'stop':
        return [facts.stopped(), failed('stopFailed')];
      case 'switchCurrent':
        return [facts.switched(request.input.to), failed('switchFailed')];
      case 'start':
        return [
          facts.started((request.input.target ?? baked('1.0.0')).version),
          failed('startFailed'),
        ];
      case 'startBeside':
        return [facts.startedBeside(request.input.target.version), failed('startFailed')];
      case 'observeReadiness':
        return [facts.ready(request.input.target.version), failed('readinessFailed')];
      case 'stopOtherCopy':
        return [facts.otherStopped(), failed('stopFailed')];
      case 'observeProbation':
        return [
          facts.healthy(context.current?.version ?? '1.0.0'),
          failed('probationFailed'),
          ...exitsEarly(request.input),
        ];
      case 'removeOldVersions':
        return [facts.tidied()];
      default:
        return request satisfies never;
    }
  }

  /**
   * The most facts within `windowMs`, the first `graceMs` of each burst left out: a burst begins
   * after a minute of silence, or where nothing can be started any more, and could for a minute.
   */
  busiest(windowMs: number, graceMs: number): number {
    const times: number[] = [];
    let [burstAt, before] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const { at } of this.records) {
      if (at - before > SILENCE_MS || this.#outagesAt.has(at)) burstAt = at;
      if (at - burstAt >= graceMs) times.push(at);
      before = at;
    }
    let [most, first] = [0, 0];
    for (const [last, at] of times.entries()) {
      while (at - (times[first] ?? 0) > windowMs) first++;
      most = Math.max(most, last - first + 1);
    }
    return most;
  }

  bytes(): number {
    return this.records.reduce((sum, { fact }) => sum + serializeFact(fact).body.length + 150, 0);
  }

  get told(): string {
    return this.records
      .slice(-40)
      .map(
        ({ at, fact }) =>
          `${at - (this.records[0]?.at ?? 0)} ${fact.type}${'code' in fact ? ` ${fact.code}` : ''}`,
      )
      .join('\n');
  }
}

/** Whether nothing runs, and a pause was made because of that. */
function isOutage({ snapshot }: State): boolean {
  return snapshot.context.app !== 'up' && snapshot.matches({ steady: 'waiting' });
}

function exitsEarly({ again, version }: { again: boolean; version: string }): Fact[] {
  return again
    ? []
    : [{ type: 'appExitedEarly', version, code: 'APP_EXITED', message: 'the reason' }];
}

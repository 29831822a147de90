/**
 * What may happen next in a journal's life, for generated stories: outcomes of what is outstanding,
 * time, the world, the operator.
 */
import type { JournalRecord } from '../../src/journal/record.ts';
import type { EffectName } from '../../src/machines/effects.ts';
import type { Fact } from '../../src/machines/facts.ts';
import type { Policy, World } from '../../src/machines/model.ts';
import { begin, evolve, outstanding, type State } from '../../src/runtime/fold.ts';
import { facts, policy, tree, world } from './machine.ts';

const VERSIONS = ['0.9.0', '1.0.0', '1.1.0', '2.0.0', '3.0.0'] as const;
const CODES = [
  'NETWORK_FAILED',
  'NO_SPACE',
  'ARCHIVE_REFUSED',
  'APP_EXITED',
  'APP_KILLED',
  'UNHEALTHY',
] as const;

/** `effect` is the id that the fact resolves. */
export type Move = { fact: Fact; effect: string | null };

/** Outcomes of an effect; the first is success. `dice` chooses among what could be found. */
function outcomes(name: EffectName, { snapshot: { context } }: State, dice: number): Fact[] {
  const code = CODES[dice % CODES.length] ?? 'NETWORK_FAILED';
  const version = VERSIONS[dice % VERSIONS.length] ?? '2.0.0';
  const candidate = context.candidate?.release.version ?? version;
  const target = context.target ?? context.current ?? tree(version);
  switch (name) {
    case 'check':
      return [
        { type: 'nothingNewer' },
        facts.found(version),
        { type: 'checkFailed', code, message: 'reason' },
        ...undecided(version, code),
      ];
    case 'download':
      return [
        facts.downloaded(candidate),
        facts.installed(candidate),
        facts.failed('downloadFailed', code),
      ];
    case 'verify':
      return [facts.verified(), facts.failed('verificationFailed', 'DIGEST_MISMATCH')];
    case 'extract':
      return [facts.installed(candidate), facts.failed('extractionFailed', code)];
    case 'observeConditions': {
      const window = {
        isOpen: dice % 2 === 0,
        changesAt: dice % 3 === 0 ? null : 1_000_000 + dice * 60_000,
      };
      return [
        facts.allowed(),
        facts.busy(),
        { type: 'conditionsObserved', window, busy: null },
        facts.failed('preparationFailed', code),
      ];
    }
    case 'acquireFleetLock':
      return [
        facts.locked(),
        facts.failed('fleetLockRefused', 'FLEET_LOCK_HELD'),
        facts.failed('fleetLockRefused', 'FLEET_LOCK_FAILED'),
      ];
    case 'returnFleetLock':
      return [facts.lockReturned(), facts.failed('fleetLockReturnFailed', 'FLEET_LOCK_FAILED')];
    case 'runHook':
      return [
        { type: 'hookSucceeded', hook: 'preStart', durationMs: 1 },
        facts.failed('hookFailed', 'PRE_START_HOOK_FAILED'),
        facts.failed('interruptionDeferred', 'HOOK_DEFERRED'),
      ];
    case 'prepareSwitch':
      return [facts.switchStarted(candidate), facts.failed('preparationFailed', code)];
    case 'stop':
      return [facts.stopped(), facts.failed('stopFailed', 'APP_NOT_STOPPED')];
    case 'switchCurrent':
      return [facts.switched(target), facts.failed('switchFailed', code)];
    case 'start':
      return [facts.started(target.version), facts.failed('startFailed', 'START_FAILED')];
    case 'startBeside':
      return [facts.startedBeside(target.version), facts.failed('startFailed', code)];
    case 'observeReadiness':
      return [facts.ready(target.version), facts.failed('readinessFailed', code)];
    case 'stopOtherCopy':
      return [facts.otherStopped(), facts.failed('stopFailed', 'APP_NOT_STOPPED')];
    case 'observeProbation':
      return [
        facts.healthy(context.current?.version ?? '1.0.0'),
        facts.failed('probationFailed', code),
        ...(context.current !== null && !context.restarted.includes(context.current.path)
          ? [
              {
                type: 'appExitedEarly',
                version: context.current.version,
                code: 'APP_EXITED',
                message: 'reason',
              } as const,
            ]
          : []),
      ];
    case 'removeOldVersions':
      return [facts.tidied()];
    default:
      return name satisfies never;
  }
}

function undecided(version: string, code: string): Fact[] {
  return [
    { type: 'assetsAwaited', tag: `v${version}`, version, code, message: 'still uploading' },
    { type: 'releaseRefused', tag: `v${version}`, version, code, message: 'ambiguous' },
    {
      type: 'releaseRefused',
      tag: `release-${version}`,
      code: 'NONE_ALLOWED',
      message: 'none is allowed',
    },
  ];
}

function fromOperator(version: string): Fact[] {
  return [
    { type: 'updateRequested' },
    { type: 'installRequested', tag: `v${version}`, file: null },
    { type: 'holdReleased' },
    { type: 'restartRequested' },
    { type: 'paused' },
    { type: 'resumed' },
    { type: 'versionApproved', version },
    { type: 'updateRequested', force: true },
    { type: 'versionDenied', version },
    { type: 'versionRetried', version },
    { type: 'fleetReleaseRequested' },
  ];
}

/** What the disk would say: links as remembered, where their trees still are. */
function seen({ snapshot: { context } }: State): World {
  return { baked: context.baked, current: context.current, lastGood: context.lastGood };
}

export class Life {
  readonly records: JournalRecord[] = [];
  state: State;
  at = 1_000_000;

  constructor(overrides: Partial<Policy> = {}, begins: World = world()) {
    const fact: Fact = { type: 'initialized', policy: { ...policy, ...overrides }, world: begins };
    const record = { seq: 1, at: this.at, fact, effect: null, command: null };
    this.records.push(record);
    this.state = begin(record);
  }

  take({ fact, effect }: Move): void {
    this.at += 500;
    const record = { seq: this.records.length + 1, at: this.at, fact, effect, command: null };
    const next = evolve(this.state, record);
    if (next === this.state) return;
    this.records.push(record);
    this.state = next;
  }

  /** All moves there are now. */
  moves(dice: number): Move[] {
    const { state } = this;
    const version = VERSIONS[dice % VERSIONS.length] ?? '2.0.0';
    const due = outstanding(state, { isPollDue: false, now: this.at });
    const answers = [...due.values()].flatMap(({ id, request }) =>
      outcomes(request.name, state, dice).map((fact) => ({ fact, effect: id })),
    );
    const resting = state.snapshot.hasTag('resting');
    const polls = resting ? outcomes('check', state, dice) : [];
    const timed = [...state.timers.values()].map(({ type }) => ({
      fact: { type } as Fact,
      effect: null,
    }));
    // The app is found down or up when an updater begins; each is one in a while.
    const restarts: Fact[] = [
      facts.foundDown(seen(state)),
      ...(state.snapshot.context.app === 'up' ? [facts.foundUp(seen(state))] : []),
    ];
    const interrupted: Fact[] = [...state.effects.values()].map(({ request }) => ({
      type: 'workInterrupted',
      effect: request.name,
      appUp: dice % 2 === 0,
    }));
    const loops =
      state.snapshot.context.app === 'up'
        ? [facts.crashLooped(state.snapshot.context.current?.version ?? version)]
        : [];
    const spontaneous = [
      ...polls,
      ...loops,
      ...interrupted,
      ...fromOperator(version),
      ...restarts,
    ].map((fact) => ({ fact, effect: null }));
    // Outcomes and due timers are what happens most.
    return [...Array.from({ length: 12 }, () => [...answers, ...timed]).flat(), ...spontaneous];
  }

  /** Everything goes well from here: the first outcome of each effect, and time passes. */
  allGoesWell(steps = 40): void {
    if (this.state.snapshot.matches('idle'))
      this.take({ fact: facts.foundDown(seen(this.state)), effect: null });
    for (let i = 0; i < steps; i++) {
      const [answer] = this.moves(0);
      const [timer] = this.state.timers.values();
      const [effect] = outstanding(this.state, { isPollDue: false, now: this.at }).values();
      if (effect && answer) this.take(answer);
      else if (timer && !this.state.snapshot.matches({ steady: 'running' })) {
        this.at = Math.max(this.at, timer.dueAt);
        this.take({ fact: { type: timer.type } as Fact, effect: null });
      } else return;
    }
  }
}

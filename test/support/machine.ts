/**
 * Given, when, then for the machine: a journal in memory, folded by the very code that production
 * runs.
 */
import type { JournalRecord } from '../../src/journal/record.ts';
import type { Fact } from '../../src/machines/facts.ts';
import type { InstalledVersion, Policy, Release, World } from '../../src/machines/model.ts';
import { shownState } from '../../src/machines/shown.ts';
import { begin, evolve, type State } from '../../src/runtime/fold.ts';

export const policy: Policy = {
  repository: 'acme/app',
  strategy: 'kill-then-download',
  versioning: 'semver',
  range: '*',
  prerelease: false,
  tagPrefix: '',
  tag: null,
  assetGlob: null,
  platform: { os: 'linux', arch: 'amd64', libc: 'glibc' },
  requireDigest: true,
  rollback: 'auto',
  maxAttempts: 3,
  retryBaseMs: 1000,
  probationMs: 10_000,
  window: null,
  minAgeMs: 0,
  approval: false,
  urgentAllowed: false,
  urgentNeedsProof: false,
  denied: [],
  requireMinisign: false,
  hooks: { preStop: false, preStart: false, postUpdate: false },
  held: '',
  fleet: null,
  rollout: null,
};

export function digestOf(version: string): string {
  return Buffer.from(version).toString('hex').padEnd(64, '0').slice(0, 64);
}

export function release(version: string, overrides: Partial<Release> = {}): Release {
  const digest = digestOf(version);
  const asset = {
    id: 1,
    name: 'app.tar.gz',
    url: 'https://api.github.com/a/1',
    browserUrl: 'https://github.com/a/1',
    sizeBytes: 9,
    digest,
  };
  return {
    repository: 'acme/app',
    tag: `v${version}`,
    version,
    publishedAt: null,
    prerelease: false,
    asset,
    checksums: null,
    signatures: [],
    urgent: false,
    origin: 'github',
    ...overrides,
  };
}

export function tree(version: string): InstalledVersion {
  const digest = digestOf(version);
  return {
    repository: 'acme/app',
    version,
    tag: `v${version}`,
    digest,
    fingerprint: digest,
    path: `/d/releases/${version}`,
  };
}

export function baked(version: string): InstalledVersion {
  return { ...tree(version), digest: null, fingerprint: null, path: `/baked/${version}` };
}

export function world(overrides: Partial<World> = {}): World {
  return { baked: baked('1.0.0'), current: null, lastGood: null, ...overrides };
}

/**
 * A story told in facts. Each resolves the outstanding effect named beside it, as the runtime would
 * have it.
 */
export class Story {
  state: State;
  /** As the journal has them. */
  readonly records: JournalRecord[] = [];
  #at = 1_000_000;

  constructor(overrides: { policy?: Partial<Policy>; world?: World; floor?: string } = {}) {
    const fact: Fact = {
      type: 'initialized',
      policy: { ...policy, ...overrides.policy },
      world: overrides.world ?? world(),
      floor: overrides.floor ?? null,
    };
    const record = { seq: 1, at: this.#at, fact, effect: null, command: null };
    this.records.push(record);
    this.state = begin(record);
  }

  /** Time passes. */
  after(ms: number): this {
    this.#at += ms;
    return this;
  }

  /**
   * The fact happens; if it is the answer to the one effect that is outstanding, it resolves that.
   */
  when(fact: Fact, effect: string | null = this.#awaited()): this {
    const record = {
      seq: this.records.length + 1,
      at: this.#at,
      fact,
      effect: isSpontaneous(fact) ? null : effect,
      command: null,
    };
    this.records.push(record);
    this.state = evolve(this.state, record);
    return this;
  }

  get at(): number {
    return this.#at;
  }

  get name(): string {
    return shownState(this.state.snapshot).state;
  }

  get context() {
    return this.state.snapshot.context;
  }

  get effects(): string[] {
    return [...this.state.effects.keys()];
  }

  get timers(): { type: string; inMs: number }[] {
    return [...this.state.timers.values()].map((timer) => ({
      type: timer.type,
      inMs: timer.dueAt - this.#at,
    }));
  }

  #awaited(): string | null {
    return this.effects.length === 1 ? (this.effects[0] ?? null) : null;
  }
}

const SPONTANEOUS =
  /Requested$|Due$|CrashLooped$|^workInterrupted$|^appFound|^configuration|^paused$|^resumed$|^holdReleased$|^version(?:Approved|Denied|Retried)$/;

export function isSpontaneous(fact: Fact): boolean {
  return SPONTANEOUS.test(fact.type);
}

/** Facts that most stories need. */
export const facts = {
  foundDown: (seen: World = world()): Fact => ({ type: 'appFoundDown', world: seen }),
  foundUp: (seen: World = world()): Fact => ({ type: 'appFoundUp', world: seen }),
  found: (version: string, overrides: Partial<Release> = {}): Fact => ({
    type: 'releaseFound',
    release: release(version, overrides),
  }),
  downloaded: (version: string): Fact => ({
    type: 'downloaded',
    path: '/d/tmp/x.part',
    sizeBytes: 9,
    sha256: digestOf(version),
  }),
  verified: (): Fact => ({ type: 'verified', checks: ['digest'] }),
  installed: (version: string): Fact => ({ type: 'installed', version: tree(version) }),
  locked: (): Fact => ({ type: 'fleetLockAcquired' }),
  lockReturned: (): Fact => ({ type: 'fleetLockReturned' }),
  allowed: (): Fact => ({ type: 'conditionsObserved', window: null, busy: null }),
  busy: (since = 0): Fact => ({ type: 'conditionsObserved', window: null, busy: { since } }),
  switchStarted: (to: string): Fact => ({ type: 'switchStarted', from: null, to, attempt: 1 }),
  stopped: (): Fact => ({ type: 'appStopped', killed: false, durationMs: 5 }),
  switched: (to: InstalledVersion): Fact => ({ type: 'switched', to }),
  started: (version: string): Fact => ({ type: 'appStarted', version, adopted: false }),
  startedBeside: (version: string): Fact => ({ type: 'startedBeside', version, adopted: false }),
  ready: (version: string): Fact => ({ type: 'becameReady', version, by: 'uptime' }),
  otherStopped: (): Fact => ({ type: 'otherCopyStopped', killed: false, durationMs: 5 }),
  healthy: (version: string): Fact => ({ type: 'versionBecameHealthy', version }),
  crashLooped: (version: string | null): Fact => ({
    type: 'appCrashLooped',
    version,
    exits: 5,
    code: 'CRASH_LOOP',
    message: 'the reason',
    jitter: 0.5,
  }),
  tidied: (): Fact => ({ type: 'oldVersionsRemoved', names: [] }),
  failed: (
    type:
      | 'downloadFailed'
      | 'verificationFailed'
      | 'extractionFailed'
      | 'preparationFailed'
      | 'stopFailed'
      | 'switchFailed'
      | 'hookFailed'
      | 'interruptionDeferred'
      | 'fleetLockRefused'
      | 'fleetLockReturnFailed'
      | 'startFailed'
      | 'readinessFailed'
      | 'probationFailed',
    code = 'NETWORK',
  ): Fact => ({ type, code, message: 'the reason', jitter: 0.5 }),
};

/** The baked version runs and is trusted. */
export function running(overrides: { policy?: Partial<Policy> } = {}): Story {
  return new Story(overrides)
    .when(facts.foundDown())
    .when({ type: 'nothingNewer' })
    .when(facts.switched(baked('1.0.0')))
    .when(facts.started('1.0.0'))
    .when(facts.healthy('1.0.0'))
    .when(facts.tidied());
}

/** An update has been made, and the new version is trusted. */
export function updatedTo(
  version: string,
  overrides: { policy?: Partial<Policy> } = { policy: { strategy: 'download-then-kill' } },
): Story {
  const update = [
    facts.found(version),
    facts.installed(version),
    facts.allowed(),
    facts.switchStarted(version),
    facts.stopped(),
    facts.switched(tree(version)),
    facts.started(version),
    facts.healthy(version),
    facts.tidied(),
  ];
  return update.reduce((story, fact) => story.when(fact), running(overrides));
}

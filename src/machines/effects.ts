/**
 * The effects the machine asks for: what each is given, and the fact that its failure becomes. The
 * registry in `src/effects` is typed by this table, so an effect without an implementation does not
 * compile.
 */
import type { Fact, FactType } from './facts.ts';
import type { HookName, InstalledVersion, Policy, Release, Window } from './model.ts';

export type EffectInputs = {
  /**
   * Looks for a release now: by the rules, or the very one that the operator named. `running`: the
   * version that one has to be newer than. `fresh`: what is on disk under the tag was replaced
   * since, and does not count.
   */
  check: {
    policy: Policy;
    request: { tag: string | null; file: string | null } | null;
    running: string | null;
    fresh: boolean;
  };
  download: { release: Release };
  /** `repositoryId`: what the repository's id has to be; null for whatever it is. */
  verify: { release: Release; path: string; sha256: string; repositoryId: number | null };
  extract: { release: Release; path: string; sha256: string };
  /** The clock and the app's busy lock, for the question whether the app may be interrupted. */
  observeConditions: { window: Window | null };
  /** Asks for a slot of the fleet's lock, once. Safe where it is held already. */
  acquireFleetLock: { id: string; group: string };
  /** Gives the slot back, if it is held. */
  returnFleetLock: { id: string; group: string };
  /** The operator's command, to its end. `tree`: what is to run next, or runs by now. */
  runHook: {
    hook: HookName;
    from: string | null;
    to: string;
    reason: ChangeReason;
    tree: string | null;
  };
  /**
   * Everything that can be checked before the app is stopped. `installed`: whether the tree must be
   * complete by now.
   */
  prepareSwitch: { release: Release; from: string | null; attempt: number; installed: boolean };
  /** Stops the app and proves that it is gone. Safe when it does not run. */
  stop: Record<string, never>;
  /** `bestEffort`: something has to run, also where the disk can't make the link durable. */
  switchCurrent: { to: InstalledVersion; bestEffort: boolean };
  /** Starts what `current` names. Adopts the app when that already runs. */
  start: { target: InstalledVersion | null };
  /** Starts the target beside what runs, once: what ends is not started again. */
  startBeside: { target: InstalledVersion };
  /**
   * Waits until the copy beside has proved itself. `wasHealthy`: it was trusted before, so that
   * staying up for a moment is enough.
   */
  observeReadiness: { target: InstalledVersion; probationMs: number; wasHealthy: boolean };
  /** Of two copies ends the one that `current` does not name. Safe where there is only one. */
  stopOtherCopy: Record<string, never>;
  /** `again`: it ended early once, so that the next end counts. */
  observeProbation: { version: string; startedAt: number; probationMs: number; again: boolean };
  /** Trees by their paths: which to keep if there is room, and which to remove in any case. */
  removeOldVersions: { keep: string[]; reject: string[] };
};
export type EffectName = keyof EffectInputs;

/** Why another version is started: as hooks are told. */
export type ChangeReason = 'update' | 'install' | 'boot' | 'rollback';

/** One effect to perform, as data. */
export type EffectRequest = { [N in EffectName]: { name: N; input: EffectInputs[N] } }[EffectName];

/**
 * The fact that says an effect failed. Every one of them carries `code`, `message` and, where it
 * paces retries, `jitter`.
 */
export const failureFacts = {
  check: 'checkFailed',
  download: 'downloadFailed',
  verify: 'verificationFailed',
  extract: 'extractionFailed',
  observeConditions: 'preparationFailed',
  acquireFleetLock: 'fleetLockRefused',
  returnFleetLock: 'fleetLockReturnFailed',
  runHook: 'hookFailed',
  prepareSwitch: 'preparationFailed',
  stop: 'stopFailed',
  switchCurrent: 'switchFailed',
  start: 'startFailed',
  startBeside: 'startFailed',
  observeReadiness: 'readinessFailed',
  stopOtherCopy: 'stopFailed',
  observeProbation: 'probationFailed',
  removeOldVersions: 'oldVersionsRemoved',
} as const satisfies Record<EffectName, FactType>;

/** `input` in, fact out. Safe to run twice, bounded in time, ends soon after `signal` aborts. */
export type Effect<N extends EffectName> = (
  input: EffectInputs[N],
  signal: AbortSignal,
) => Promise<Fact>;
export type Effects = { [N in EffectName]: Effect<N> };

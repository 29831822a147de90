/**
 * What the machine remembers. How facts change it: candidate.ts, failure.ts, bad-version.ts,
 * current.ts and their like.
 */
import type { ChangeReason } from './effects.ts';
import type {
  Approval,
  Denial,
  Inhibitor,
  InstalledVersion,
  Policy,
  Problem,
  Release,
  World,
} from './model.ts';
import type { Outage } from './pacing.ts';
import { higherOf } from './version.ts';

/** A release on its way in. `attempt` counts from 1. */
export type Candidate = {
  release: Release;
  attempt: number;
  /**
   * The operator asked for this very one: rules about newness do not apply, and it is held once it
   * runs.
   */
  byOperator: boolean;
  /** Failures so far, whosever fault: they pace the next try. */
  setbacks: number;
  /** How often the updater was ended in the middle of it. */
  interruptions: number;
  /** Set once a stop-first attempt failed: a bad network costs one outage at most. */
  downloadFirst: boolean;
  /** Set once it could not be started beside the app: that is stopped first. */
  takesTurns: boolean;
  /** The operator said `--force`: no condition counts but a pause. */
  forced: boolean;
  /** Whether what was verified says that it is urgent; null while nothing was verified. */
  vouched: boolean | null;
  /**
   * Why the app was not interrupted for it when that was last asked; `times` counts how often its
   * pre-stop hook said "not now", `lock` tells of the fleet's lock.
   */
  deferral: {
    since: number;
    inhibitors: Inhibitor[];
    message: string | null;
    times: number;
    lock: { refusals: number; failingSince: number | null; problem: Problem } | null;
  } | null;
};

/** A change of the version from which the hooks have been told, or are to be told. */
export type Change = { from: string | null; to: string; reason: ChangeReason };

/**
 * A version that was denied because it ended on probation, and everything that is needed to take
 * that back.
 */
export type Verdict = { candidate: Candidate; installed: InstalledVersion; code: string };

/**
 * How often the judgement of a version was cut short, by what ended: the updater alone, or the app
 * with it.
 */
export type CutShort = { path: string; kills: number; ends: number };

/** A slot of the fleet's lock that may be ours, from before the first request on: see fleet.ts. */
export type FleetLock = {
  id: string;
  group: string;
  /** For which it was asked; null: whatever an earlier journal or boot may have left. */
  version: string | null;
  since: number;
  isAcquired: boolean;
  /** It is kept: which version failed, and how. A newer one may be asked for under it. */
  failure: (Problem & { version: string }) | null;
  /** Tries to give it back that failed, the last one's reason, and when the next one is due. */
  returns: { failed: number; since: number; problem: Problem; nextAt: number } | null;
};

export type Request = { tag: string | null; file: string | null; force?: boolean | undefined };

export type Context = {
  policy: Policy;
  baked: InstalledVersion | null;
  /** What the `current` link names. */
  current: InstalledVersion | null;
  previous: InstalledVersion | null;
  lastGood: InstalledVersion | null;
  /** `policy.held` when a version last became healthy; null where none did. */
  provenHeld: string | null;
  /** The rollback floor: nothing older is installed but by the operator. */
  highestHealthy: string | null;
  candidate: Candidate | null;
  download: { path: string; sha256: string } | null;
  installed: InstalledVersion | null;
  /** What `switching` links and `starting` starts. */
  target: InstalledVersion | null;
  /**
   * Whether the app runs. `booting`: since the start of the container (or of the embedded
   * supervisor) it has not been started yet.
   */
  app: 'up' | 'stopped' | 'booting';
  startedAt: number;
  /** Trees that failed to start since the last one that became healthy. */
  failedPaths: string[];
  /** Trees that ended early and were started once more, since the last one that became healthy. */
  restarted: string[];
  /** Counts for the version that has yet to prove itself; null when no probation was cut short. */
  cutShort: CutShort | null;
  /**
   * The last denial, until the version that came back shows whether it was just: see
   * `src/machines/outage.ts`.
   */
  verdict: Verdict | null;
  /** Pauses in a row because nothing could be started. */
  outage: Outage | null;
  denied: Denial[];
  hold: { version: string; tag: string; since: number } | null;
  paused: boolean;
  pausedAt: number | null;
  approved: Approval[];
  /** When the operator said `--force`, and no release was found for that yet. */
  forcedAt: number | null;
  /** The tree that the app's data is prepared for: it ran last, or its pre-start hook was begun. */
  prepared: { path: string; version: string } | null;
  /** Null when all hooks have been told how it ended. */
  change: Change | null;
  /** No version could be started: what else might be had is not to wait. */
  nothingStarts: boolean;
  /** Null: no slot of the fleet's lock can be ours. */
  fleetLock: FleetLock | null;
  /** GitHub's id of the repository that is followed; null until it was told. */
  repositoryId: number | null;
  /**
   * The fingerprint of an asset that took the place of what runs, under the same tag: told once.
   */
  replacedBy: string | null;
  request: Request | null;
  retryAt: number | null;
  awaiting: { tag: string; version: string; since: number; code: string; message: string } | null;
  refused: { tag: string; code: string; message: string } | null;
  lastError: Problem | null;
};

export function initialContext({
  policy,
  world,
  floor,
  at,
}: {
  policy: Policy;
  world: World;
  floor: string | null;
  at: number;
}): Context {
  return {
    policy,
    baked: world.baked,
    current: world.current,
    previous: null,
    lastGood: world.lastGood,
    provenHeld: null,
    highestHealthy: higherOf(floor, world.lastGood?.version ?? null, policy.versioning),
    candidate: null,
    download: null,
    installed: null,
    target: null,
    app: 'stopped',
    startedAt: 0,
    failedPaths: [],
    restarted: [],
    cutShort: null,
    verdict: null,
    outage: null,
    denied: [],
    hold: null,
    paused: false,
    pausedAt: null,
    approved: [],
    forcedAt: null,
    prepared: null,
    change: null,
    nothingStarts: false,
    fleetLock: policy.fleet && unknownLock(policy.fleet, at),
    repositoryId: null,
    replacedBy: null,
    request: null,
    retryAt: null,
    awaiting: null,
    refused: null,
    lastError: null,
  };
}

/** Whatever was before is not known: a slot may have been left. */
export function unknownLock({ id, group }: NonNullable<Policy['fleet']>, since: number): FleetLock {
  return { id, group, version: null, since, isAcquired: false, failure: null, returns: null };
}

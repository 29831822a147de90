/**
 * The version that `current` names, and how it becomes the trusted one. Pure functions of (context,
 * fact).
 */
import { noCandidate } from './candidate.ts';
import type { Context } from './context.ts';
import type { FactOf } from './facts.ts';
import { afterHealthy } from './fleet.ts';
import type { InstalledVersion, World } from './model.ts';
import { higherOf } from './version.ts';

export function prepare(version: InstalledVersion | null): Context['prepared'] {
  return version && { path: version.path, version: version.version };
}

/** Links and trees as they are on the disk; where they and memory disagree, the disk is right. */
export function seenOnDisk(context: Context, world: World): Partial<Context> {
  return {
    baked: world.baked,
    current: world.current,
    lastGood: world.lastGood ?? context.lastGood,
  };
}

export function recordSwitch(context: Context, fact: FactOf<'switched'>): Partial<Context> {
  const changed = context.current?.path !== fact.to.path;
  return { current: fact.to, previous: changed ? context.current : context.previous };
}

export function recordStart(context: Context, at: number): Partial<Context> {
  const { current, candidate, installed, lastGood } = context;
  const started = {
    app: 'up' as const,
    startedAt: at,
    nothingStarts: false,
    prepared: prepare(current),
  };
  if (candidate === null || current === null || current.path !== installed?.path) return started;
  const hold = candidate.byOperator ? holdOf(current, at) : context.hold;
  // What was healthy before needs no probation: the update ends here.
  const ended = current.path === lastGood?.path ? noCandidate : {};
  return { ...started, hold, ...ended };
}

/** The operator's choice stands until it is released. */
export function holdOf(version: InstalledVersion | null, at: number): Context['hold'] {
  return version && { version: version.version, tag: version.tag, since: at };
}

export function recordHealthy(
  context: Context,
  fact: FactOf<'versionBecameHealthy'> & { at: number },
): Partial<Context> {
  const { current, policy } = context;
  // Another release may wait for its moment meanwhile.
  const waits = context.candidate?.deferral != null;
  const settled = waits ? {} : noCandidate;
  const highestHealthy = higherOf(context.highestHealthy, fact.version, policy.versioning);
  // That the version before came back and is well is no end of the trouble: why the newer one was
  // denied stays to be seen.
  const denial = context.denied.find(
    ({ version }) => version === context.verdict?.candidate.release.version,
  );
  const lastError =
    denial === undefined ? null : { code: denial.code, message: denial.reason, at: denial.at };
  return {
    lastGood: current,
    provenHeld: policy.held,
    highestHealthy,
    fleetLock: afterHealthy(context, fact.version),
    ...settled,
    failedPaths: [],
    restarted: [],
    cutShort: null,
    verdict: null,
    lastError,
  };
}

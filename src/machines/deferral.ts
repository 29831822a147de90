/** What is remembered of a release that has to wait for its moment. Pure. */
import type { Candidate, Context } from './context.ts';
import type { FactOf } from './facts.ts';
import { fingerprint, type Release } from './model.ts';
import { backoffMs, lockPauseMs } from './pacing.ts';
import { askAgainAt, inhibitors } from './permission.ts';
import { compareVersions } from './version.ts';

export function isInhibited(
  context: Context,
  fact: FactOf<'conditionsObserved'> & { at: number },
): boolean {
  return inhibitors(context, fact, fact.at).length > 0;
}

/**
 * The app is not interrupted now. The time is used: what is not on disk yet is downloaded while the
 * app runs.
 */
export function recordDeferral(
  context: Context,
  fact: FactOf<'conditionsObserved'> & { at: number },
): Partial<Context> {
  const found = inhibitors(context, fact, fact.at);
  // With no app up, something is brought up first; then the download is due.
  const retryAt =
    context.app === 'up' || context.installed !== null ? askAgainAt(found, fact.at) : fact.at;
  return deferred(context, { inhibitors: found, message: null, at: fact.at }, retryAt);
}

/** The pre-stop hook said "not now": asked again with backoff. */
export function recordHookDeferral(
  context: Context,
  { at, message, jitter }: FactOf<'interruptionDeferred'> & { at: number },
): Partial<Context> {
  const times = (context.candidate?.deferral?.times ?? 0) + 1;
  const retryAt = at + backoffMs(times, context.policy.retryBaseMs, jitter);
  return {
    ...deferred(
      context,
      { inhibitors: [{ reason: 'hook', until: retryAt }], message, at, times },
      retryAt,
    ),
    change: null,
  };
}

/**
 * The fleet's lock was not to be had: asked for again with pauses. Where the server said so, we
 * have no slot; after any other failure we may have one, and the answer was lost.
 */
export function recordFleetRefusal(
  context: Context,
  { at, code, message, jitter }: FactOf<'fleetLockRefused'> & { at: number },
): Partial<Context> {
  const before = context.candidate?.deferral?.lock;
  const refusals = (before?.refusals ?? 0) + 1;
  const isFailure = code !== 'FLEET_LOCK_HELD';
  const failingSince = isFailure ? (before?.failingSince ?? at) : null;
  const lock = { refusals, failingSince, problem: { code, message, at } };
  const retryAt = at + lockPauseMs(refusals, context.policy.retryBaseMs, jitter);
  const inhibitors = [{ reason: 'fleet' as const, until: retryAt }];
  return {
    ...deferred(context, { inhibitors, message, at, lock }, retryAt),
    fleetLock: isFailure ? context.fleetLock : null,
  };
}

type Deferred = Omit<NonNullable<Candidate['deferral']>, 'since' | 'times' | 'lock'> & {
  at: number;
  times?: number;
  lock?: NonNullable<Candidate['deferral']>['lock'];
};

function deferred(
  { candidate }: Context,
  { at, inhibitors, message, times, lock }: Deferred,
  retryAt: number | null,
): Partial<Context> {
  if (candidate === null) return {};
  const before = candidate.deferral;
  const deferral = {
    since: before?.since ?? at,
    inhibitors,
    message,
    times: times ?? before?.times ?? 0,
    lock: lock ?? before?.lock ?? null,
  };
  return { candidate: { ...candidate, deferral, downloadFirst: true }, retryAt };
}

/** What waits is asked about at once. */
export function retryNow({ candidate, retryAt }: Context, at: number): Partial<Context> {
  return { retryAt: candidate === null ? retryAt : at };
}

/** An operator's approval of a version; of the candidate's bytes, if it is the candidate. */
export function approve({ approved, candidate }: Context, version: string): Partial<Context> {
  const print = candidate?.release.version === version ? fingerprint(candidate.release) : null;
  return {
    approved: [
      ...approved.filter((approval) => approval.version !== version),
      { version, fingerprint: print },
    ].slice(-MAX_APPROVALS),
  };
}
const MAX_APPROVALS = 100;

export function recordForce(
  { candidate }: Context,
  fact: FactOf<'updateRequested'> & { at: number },
): Partial<Context> {
  if (fact.force !== true) return {};
  // Used up by what is there: it is not for a release that nobody has seen yet.
  return candidate === null
    ? { forcedAt: fact.at }
    : { forcedAt: null, candidate: { ...candidate, forced: true } };
}

/**
 * A release that waited is gone, or its maintainer went back to an older one: it is not run after
 * all.
 */
export function isWithdrawn(
  { candidate, policy, request }: Context,
  found: Release | null,
): boolean {
  if (candidate === null || candidate.byOperator || candidate.deferral === null || request !== null)
    return false;
  if (found === null) return true;
  return (
    policy.tag === null &&
    compareVersions(found.version, candidate.release.version, policy.versioning) < 0
  );
}

/** A release on its way in: what of it is remembered. Pure functions of (context, fact). */
import { addressMayBeFree } from './address-held.ts';
import type { Candidate, Context } from './context.ts';
import type { FactOf } from './facts.ts';
import { adoptFleet } from './fleet.ts';
import { fingerprint, type Policy, type Release } from './model.ts';
import { isForceInForce, REST_AFTER_FAILURE_MS } from './pacing.ts';

/**
 * The candidate that follows from a release: the current one if it has the same bytes, else a new
 * one.
 */
export function candidateFor(context: Context, release: Release): Candidate {
  const same =
    context.candidate !== null && fingerprint(context.candidate.release) === fingerprint(release);
  const byOperator = context.request !== null;
  const forced = context.request?.force === true;
  if (same && context.candidate) {
    const { candidate } = context;
    // Its notes may say so again at every poll: only what was verified counts.
    const urgent = release.urgent && candidate.vouched !== false;
    return {
      ...candidate,
      release: { ...release, urgent },
      byOperator: candidate.byOperator || byOperator,
      forced: candidate.forced || forced,
    };
  }
  return {
    release,
    attempt: 1,
    setbacks: 0,
    interruptions: 0,
    byOperator,
    downloadFirst: false,
    takesTurns: false,
    forced,
    vouched: null,
    deferral: null,
  };
}

/** What was noted in the course of an attempt, and is over with it. */
const noAttempt = { retryAt: null, download: null, installed: null };
/** Nothing is on its way in any more. */
export const noCandidate = { candidate: null, ...noAttempt };

/**
 * When another release may be tried, if neither the last one nor what ran before could be switched
 * to: that is this machine's trouble, and what runs was brought back a moment ago. It is not
 * interrupted again at once, whatever is published. Null: at once. The operator is never kept
 * waiting.
 */
export function restsUntil(context: Context, at: number): number | null {
  const { app, candidate, failedPaths, forcedAt, request, retryAt, startedAt } = context;
  const isAsked = request !== null || isForceInForce(forcedAt, at);
  // A release that was given up, or that an address keeps from starting, has its remedy in the next.
  const isRepeated = candidate?.deferral === null && failedPaths.length > 0;
  // It was not tried yet, and has a time: it rests, and so does what takes its place.
  const isResting = candidate?.deferral === null && candidate.setbacks === 0 && retryAt !== null;
  if (isAsked || !(isRepeated || isResting) || app !== 'up') return null;
  const until = Math.min(retryAt ?? Number.POSITIVE_INFINITY, startedAt + REST_AFTER_FAILURE_MS);
  // One that is further away was noted while the clock was wrong.
  return at < until && until - at <= REST_AFTER_FAILURE_MS ? until : null;
}

export function adoptRelease(
  context: Context,
  fact: FactOf<'releaseFound'> & { at: number },
): Partial<Context> {
  // Whoever names it wants it tried again.
  const asked = context.request === null ? {} : addressMayBeFree(context);
  const fresh = candidateFor({ ...context, ...asked }, fact.release);
  const candidate = { ...fresh, forced: fresh.forced || isForceInForce(context.forcedAt, fact.at) };
  const denied = candidate.byOperator
    ? context.denied.filter((denial) => denial.version !== fact.release.version)
    : context.denied;
  const found = {
    request: null,
    forcedAt: null,
    replacedBy: null,
    awaiting: null,
    refused: null,
  };
  return {
    candidate,
    denied,
    ...found,
    ...noAttempt,
    retryAt: restsUntil(context, fact.at),
    failedPaths: [],
    restarted: [],
    cutShort: null,
    verdict: null,
  };
}

/** What was learnt while the bytes were checked. */
export function recordVerified(
  { repositoryId, candidate }: Context,
  fact: FactOf<'verified'>,
): Partial<Context> {
  const vouched = fact.urgent !== false;
  const urgent = candidate?.release.urgent === true && vouched;
  return {
    repositoryId: fact.repositoryId ?? repositoryId,
    candidate: candidate && { ...candidate, vouched, release: { ...candidate.release, urgent } },
  };
}

/**
 * Whether a release on its way in would be chosen under other rules too: one that is denied now, or
 * beside the pinned tag, is not run.
 */
function isChosenStill({ candidate, policy: before }: Context, policy: Policy): boolean {
  if (candidate === null) return true;
  if (policy.denied.includes(candidate.release.version)) return false;
  const same = (
    ['tag', 'range', 'prerelease', 'tagPrefix', 'versioning', 'assetGlob'] as const
  ).every((rule) => policy[rule] === before[rule]);
  return candidate.byOperator || same;
}

/**
 * A changed repository is the operator's word: what was learnt of the other one does not bind this
 * one.
 */
export function adoptPolicy(context: Context, policy: Policy, at: number): Partial<Context> {
  const fleetLock = adoptFleet(context, policy, at);
  const denied =
    policy.held === context.policy.held
      ? context.denied
      : context.denied.filter(({ code }) => code !== 'ADDRESS_HELD');
  if (policy.repository === context.policy.repository)
    return {
      policy,
      denied,
      fleetLock,
      ...(isChosenStill(context, policy) ? addressMayBeFree(context) : noCandidate),
    };
  return {
    policy,
    fleetLock,
    highestHealthy: null,
    denied: [],
    approved: [],
    repositoryId: null,
    candidate: null,
    retryAt: null,
    awaiting: null,
    refused: null,
    hold: null,
  };
}

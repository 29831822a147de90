/**
 * A version that ran and did not pass probation, or is trusted no more. Pure functions of (context,
 * fact).
 */
import { awaitAddress } from './address-held.ts';
import { noCandidate } from './candidate.ts';
import type { Context } from './context.ts';
import type { FactOf } from './facts.ts';
import { deny, type Failure, isHostFailure, recordFailure } from './failure.ts';
import { keepFleetLock } from './fleet.ts';
import type { InstalledVersion } from './model.ts';

/**
 * The version that was started did not pass probation: it is denied, and not started again by
 * itself.
 */
export function recordBadVersion(context: Context, fact: Failure): Partial<Context> {
  const bad = context.target ?? context.current;
  const { code, message, at } = fact;
  const fleetLock = keepFleetLock(context, bad?.version, { code, message, at });
  return { ...judged(context, fact), fleetLock };
}

function judged(context: Context, fact: Failure): Partial<Context> {
  const lastError = { code: fact.code, message: fact.message, at: fact.at };
  const bad = context.target ?? context.current;
  if (bad === null) return { lastError };
  const failedPaths = [...context.failedPaths.filter((path) => path !== bad.path), bad.path];
  const isCandidate = context.candidate !== null && bad.path === context.installed?.path;
  if (isCandidate && fact.code === 'ADDRESS_HELD') {
    const failed = { ...context, ...recordFailure(context, fact) };
    return { ...failed, ...awaitAddress(failed, fact), failedPaths };
  }
  // What says something about this machine says nothing about the version: it is tried again.
  if (isHostFailure(fact.code) && fact.type !== 'appCrashLooped')
    return { ...recordFailure(context, fact), failedPaths, ...treeLost(context, fact.code, bad) };
  if (isCandidate && fact.code === 'APP_KILLED') return recordKilled(context, fact, failedPaths);
  const proven = bad.path === context.lastGood?.path || bad.path === context.baked?.path;
  if (!isCandidate && proven) return { lastError, failedPaths };
  const denial = {
    version: bad.version,
    fingerprint: bad.fingerprint,
    code: fact.code,
    reason: fact.message,
    at: fact.at,
  };
  const { candidate, installed, restarted } = context;
  // Only what ended twice is looked at again: a file of another platform is no trouble of this
  // machine's.
  const isDoubtful =
    isCandidate && restarted.includes(bad.path) && candidate !== null && installed !== null;
  const verdict = isDoubtful ? { candidate, installed, code: fact.code } : null;
  return {
    lastError,
    failedPaths,
    verdict,
    denied: deny(context.denied, denial),
    ...noCandidate,
    hold: null,
  };
}

/**
 * Denial of a fix: somebody's signal ended it, and not its own fault. What was good before comes
 * back, and it is tried again later, with pauses that grow; what is killed at every try is given up
 * like any other.
 */
function recordKilled(context: Context, fact: Failure, failedPaths: string[]): Partial<Context> {
  const failed = recordFailure(context, fact);
  return { ...failed, failedPaths, ...(failed.candidate === null ? { hold: null } : {}) };
}

/** The files of a version are gone: it is forgotten, so that a release of it is news again. */
export function treeLost(
  { baked, current, lastGood, previous }: Context,
  code: string,
  lost: InstalledVersion | null,
): Partial<Context> {
  if (code !== 'TREE_MISSING' || lost === null) return {};
  const unlessLost = (version: InstalledVersion | null) =>
    version?.path === lost.path ? null : version;
  return {
    baked: unlessLost(baked),
    current: unlessLost(current),
    lastGood: unlessLost(lastGood),
    previous: unlessLost(previous),
  };
}

/**
 * A version that had been trusted crash-loops: it is denied like one that never was, and what was
 * good before it comes back. Without its files it is only forgotten: another one takes its place,
 * or it is fetched anew.
 */
export function recordCrashLoop(context: Context, fact: Failure): Partial<Context> {
  const { current, lastGood } = context;
  if (fact.code === 'TREE_MISSING')
    return {
      lastError: { code: fact.code, message: fact.message, at: fact.at },
      ...treeLost(context, fact.code, current),
    };
  const bad = recordBadVersion({ ...context, target: current, lastGood: null, baked: null }, fact);
  return { ...bad, lastGood: lastGood?.path === current?.path ? null : lastGood };
}

/**
 * The updater was ended while it judged what runs: the next one judges it anew, from the beginning.
 */
export function recordCutShort(
  { current, cutShort }: Context,
  { appUp, at }: FactOf<'workInterrupted'> & { at: number },
): Partial<Context> {
  if (current === null) return {};
  const { kills, ends } = cutShort?.path === current.path ? cutShort : { kills: 0, ends: 0 };
  const counted = appUp === false ? { kills, ends: ends + 1 } : { kills: kills + 1, ends };
  return { startedAt: at, cutShort: { path: current.path, ...counted } };
}

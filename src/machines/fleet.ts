/**
 * The fleet's lock (FleetLock, docs/fleet.md): when it is asked for, what is known of it, and when
 * it is given back. Slots are owned by `id` and recursive, so both are safe to do twice. Pure.
 */
import { type Context, type FleetLock, unknownLock } from './context.ts';
import type { FactOf } from './facts.ts';
import type { Policy, Problem } from './model.ts';
import { lockPauseMs } from './pacing.ts';
import { compareVersions } from './version.ts';

/** Whether the lock has to be had before the app is interrupted for what is on its way in. */
export function needsFleetLock({ policy, app, candidate }: Context): boolean {
  return policy.fleet !== null && app === 'up' && candidate?.forced === false;
}

/** Durable before anything is sent: from here on a slot may be ours. */
export function beginReservation(context: Context, at: number): Partial<Context> {
  const { policy, candidate, fleetLock } = context;
  if (policy.fleet === null || candidate === null) return {};
  const { version } = candidate.release;
  // What is kept stays so until a version is healthy: this one may still be put off. A group that
  // the operator renamed can't be asked any more.
  const isKnown = fleetLock?.version != null && isOf(policy.fleet, fleetLock);
  const known = isKnown ? fleetLock : unknownLock(policy.fleet, at);
  return { fleetLock: { ...known, version, returns: null } };
}

const isOf = ({ id, group }: NonNullable<Policy['fleet']>, lock: FleetLock): boolean =>
  id === lock.id && group === lock.group;

/** What was refused before is over: the pre-stop hook may still say "not now". */
export function recordAcquired({ fleetLock, candidate }: Context): Partial<Context> {
  const deferral = candidate?.deferral && { ...candidate.deferral, lock: null };
  return {
    fleetLock: fleetLock && { ...fleetLock, isAcquired: true },
    candidate: candidate && { ...candidate, deferral: deferral ?? null },
  };
}

/** A boot, or a journal that begins, does not know what was before it. */
export function suspectFleetLock(
  { policy, fleetLock }: Pick<Context, 'policy' | 'fleetLock'>,
  at: number,
): FleetLock | null {
  return fleetLock ?? (policy.fleet && unknownLock(policy.fleet, at));
}

/** The version that the slot was for did not prove itself: it goes no further than here. */
export function keepFleetLock(
  { fleetLock, policy }: Context,
  version: string | undefined,
  failure: Problem | null,
): FleetLock | null {
  if (fleetLock === null || fleetLock.version === null || fleetLock.version !== version)
    return fleetLock;
  return policy.fleet?.keepsOnFailure === true && failure !== null
    ? { ...fleetLock, failure: { ...failure, version } }
    : { ...fleetLock, version: null };
}

/** The operator ended that, or dealt with the version. */
export function unkeepFleetLock({ fleetLock }: Context, version?: string): FleetLock | null {
  if (fleetLock === null || (version !== undefined && version !== fleetLock.failure?.version))
    return fleetLock;
  // What failed has no use for it any more, also where it still runs (UPDATE_ROLLBACK=manual).
  const isOver = fleetLock.failure !== null && fleetLock.failure.version === fleetLock.version;
  const forWhat = isOver ? null : fleetLock.version;
  return { ...fleetLock, version: forWhat, failure: null, returns: null };
}

/** That an older version is well again is no end of it, nor older bytes of a moving tag. */
export function afterHealthy(context: Context, version: string): FleetLock | null {
  const { fleetLock, policy } = context;
  if (fleetLock === null || fleetLock.failure === null) return fleetLock;
  const isOlder = compareVersions(version, fleetLock.failure.version, policy.versioning) < 0;
  const cameBack = context.current !== null && context.current.path === context.lastGood?.path;
  return isOlder || cameBack ? fleetLock : unkeepFleetLock(context);
}

/** Other settings: what is held under the old name is given back, and what was kept with it. */
export function adoptFleet(
  { fleetLock, policy: before }: Context,
  policy: Policy,
  at: number,
): FleetLock | null {
  // Without a name (fleet-id.ts) nothing is known to be another's.
  if (policy.fleet === null || policy.fleet.id === '') return fleetLock;
  const { id, group, keepsOnFailure } = policy.fleet;
  if (fleetLock === null) {
    const isSame = id === before.fleet?.id && group === before.fleet.group;
    return isSame ? null : unknownLock(policy.fleet, at);
  }
  // Compared with the slot's own name: the policy before may have had none.
  return isOf(policy.fleet, fleetLock) && keepsOnFailure
    ? fleetLock
    : { ...fleetLock, failure: null, returns: null };
}

/** It could not be given back: tried again, with pauses. */
export function recordReturnFailed(
  { fleetLock, policy }: Context,
  { code, message, jitter, at }: FactOf<'fleetLockReturnFailed'> & { at: number },
): Partial<Context> {
  if (fleetLock === null) return {};
  const { failed: before = 0, since = at } = fleetLock.returns ?? {};
  const failed = before + 1;
  const nextAt = at + lockPauseMs(failed, policy.retryBaseMs, jitter);
  const returns = { failed, since, problem: { code, message, at }, nextAt };
  return { fleetLock: { ...fleetLock, returns } };
}

/** Why a slot that may be held can't be given back; null where it can, or there is none. */
export function lockTroubleOf({ fleetLock, policy }: Context, at: number): Problem | null {
  if (fleetLock === null) return null;
  if (policy.fleet !== null) return fleetLock.returns?.problem ?? null;
  const message = `${fleetLock.id} may hold a slot of the fleet's lock in the group ${fleetLock.group}, and no server is set any more: set UPDATE_FLEET_LOCK_URL again, or free the slot there`;
  return { code: 'FLEET_LOCK_FAILED', message, at };
}

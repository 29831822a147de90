/**
 * Whether a running app may be interrupted for the candidate, and if not, why. Pure; the time is in
 * the fact.
 */
import { isAddressHeld } from './address-held.ts';
import { isOldEnough, oldEnoughAt } from './age.ts';
import type { Context } from './context.ts';
import { type Approval, type Conditions, fingerprint, type Inhibitor } from './model.ts';
import { isItsTurn, rolloutDueAt } from './rollout.ts';
import { fallback, isDenied } from './rules.ts';

/**
 * Nothing is asked more often than that, whatever a calendar says. The runtime does not wake the
 * machine while the app still is busy.
 */
export const MIN_ASK_PAUSE_MS = 10_000;

/**
 * Everything that speaks against stopping the app at `at`, in the order in which it is told; empty
 * when nothing does. Where no app runs and none could, there is nobody to ask: the service comes
 * first.
 */
export function inhibitors(
  context: Context,
  { window, busy }: Conditions,
  at: number,
): Inhibitor[] {
  const { candidate, policy, paused, hold, app } = context;
  if (candidate === null) return [];
  const { release, byOperator, forced, vouched } = candidate;
  // Whatever else runs or does not: this was said while it waited, or before.
  if (!byOperator && isDenied(context, release.version, fingerprint(release)))
    return [{ reason: 'denied', until: null }];
  if (!canKeepRunning(context)) return [];
  const isUrgent = release.urgent && (vouched === true || !policy.urgentNeedsProof);
  const hurries = byOperator || forced || (policy.urgentAllowed && isUrgent);
  const found: (Inhibitor | null)[] = [
    paused && !byOperator ? { reason: 'paused', until: null } : null,
    hold !== null && !byOperator ? { reason: 'held', until: null } : null,
    needsApproval(context) ? { reason: 'approval', until: null } : null,
    !forced && isAddressHeld(context) ? { reason: 'address', until: null } : null,
    !hurries && !isOldEnough(release, policy, at)
      ? { reason: 'minAge', until: oldEnoughAt(release, policy) }
      : null,
    !hurries && !isItsTurn(release, policy, at)
      ? { reason: 'rollout', until: policy.rollout && rolloutDueAt(release, policy.rollout) }
      : null,
    !hurries && window?.isOpen === false ? { reason: 'window', until: window.changesAt } : null,
    app === 'up' && !forced && busy !== null ? { reason: 'busy', until: null } : null,
    // A fleet that comes back from a power cut would take a release all at once: what can serve is
    // started first, and the lock is asked for then.
    app !== 'up' && !forced && policy.fleet !== null ? { reason: 'fleet', until: at } : null,
  ];
  return found.filter((inhibitor) => inhibitor !== null);
}

/** Whether the app runs, or an older version could be brought up at once. */
function canKeepRunning(context: Context): boolean {
  return context.app === 'up' || (!context.nothingStarts && fallback(context) !== null);
}

function needsApproval({ candidate, policy, approved }: Context): boolean {
  if (!policy.approval || candidate === null || candidate.byOperator || candidate.forced)
    return false;
  const { release } = candidate;
  // An asset that was replaced after the operator's word is another one.
  const isApproval = (approval: Approval) =>
    approval.version === release.version &&
    (approval.fingerprint === null || approval.fingerprint === fingerprint(release));
  return !approved.some(isApproval);
}

/** True once every operator decision that blocked the candidate has been made. */
export function isUnblockedByOperator(context: Context): boolean {
  const { candidate, retryAt, paused, hold } = context;
  const words =
    candidate?.deferral?.inhibitors.filter(
      ({ reason }) => reason === 'paused' || reason === 'held' || reason === 'approval',
    ) ?? [];
  if (words.length === 0 || retryAt !== null) return false;
  return !words.some(({ reason }) =>
    reason === 'paused' ? paused : reason === 'held' ? hold !== null : needsApproval(context),
  );
}

/** When to ask again; null when only somebody's word can change the answer. */
export function askAgainAt(found: readonly Inhibitor[], at: number): number | null {
  const known = found.map(({ until }) => until).filter((until) => until !== null);
  if (known.length > 0) return Math.max(...known, at + MIN_ASK_PAUSE_MS);
  return found.some(({ reason }) => reason === 'busy') ? at + MIN_ASK_PAUSE_MS : null;
}

/** Whether something besides the app itself could forbid an update already at boot. */
export function hasConditions(context: Context): boolean {
  const { policy } = context;
  return (
    policy.window !== null ||
    policy.minAgeMs > 0 ||
    policy.approval ||
    policy.rollout !== null ||
    policy.fleet !== null ||
    isAddressHeld(context)
  );
}

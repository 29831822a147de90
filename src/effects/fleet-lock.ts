/**
 * `acquireFleetLock` and `returnFleetLock`: what the answers of a server of the FleetLock protocol
 * mean. Nothing that it says can do more than make us wait.
 */
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { visible } from '../support/visible.ts';
import { type FleetLockServer, lockFault, type Refusal } from './fleet-lock-server.ts';

export type FleetLockDependencies = { fleet: FleetLockServer; random: () => number };

/** Of what a server says, so many characters are shown. */
const MAX_WORDS = 200;
/** https://www.rfc-editor.org/rfc/rfc4918#section-11.3 (423 Locked) */
const LOCKED = 423;

/**
 * Asks for a slot, once. `fleetLockRefused` has code FLEET_LOCK_HELD where the server says that
 * others have all slots, and FLEET_LOCK_FAILED where it says anything else. Throws `Fault`
 * (FLEET_LOCK_FAILED) where there is no answer of the protocol: then a slot may be ours.
 */
export async function acquireFleetLock(
  input: EffectInputs['acquireFleetLock'],
  signal: AbortSignal,
  deps: FleetLockDependencies,
): Promise<Fact> {
  const refusal = await deps.fleet.ask('/v1/pre-reboot', input, signal);
  if (refusal === null) return { type: 'fleetLockAcquired' };
  const { status, said, host } = refusal;
  const words = said === null ? `status ${status}` : shortened(said.value);
  const isOthers = said !== null && isHeldByOthers(status, said);
  return {
    type: 'fleetLockRefused',
    code: isOthers ? 'FLEET_LOCK_HELD' : 'FLEET_LOCK_FAILED',
    message: isOthers
      ? `the fleet's lock is held by others (${words})`
      : `${host} did not give the fleet's lock (${words}): see the server's log, and check UPDATE_FLEET_LOCK_URL and UPDATE_FLEET_GROUP`,
    jitter: deps.random(),
  };
}

/** Gives the slot back. Throws `Fault` (FLEET_LOCK_FAILED) where it may still be ours. */
export async function returnFleetLock(
  input: EffectInputs['returnFleetLock'],
  signal: AbortSignal,
  deps: FleetLockDependencies,
): Promise<Fact> {
  const refusal = await deps.fleet.ask('/v1/steady-state', input, signal);
  if (refusal === null) return { type: 'fleetLockReturned' };
  const { status, said, host } = refusal;
  // poseidon/fleetlock answers so to whoever does not hold it: so it is not ours.
  if (status === LOCKED && said !== null) return { type: 'fleetLockReturned' };
  throw lockFault(
    `${host} did not take the fleet's lock back (${said === null ? `status ${status}` : shortened(said.value)}): see the server's log`,
  );
}

/**
 * Whether the server says itself that the slots are taken: airlock answers 500 for that as for its
 * own trouble, also where two asked at once ("conflict on semaphore"), poseidon/fleetlock 423.
 */
function isHeldByOthers(status: number, { kind, value }: Refusal): boolean {
  const isTaken = /\b(?:full|locked|held|conflict)\b/i.test(`${kind} ${value}`);
  return status === LOCKED || status === 409 || isTaken;
}

function shortened(words: string): string {
  const shown = visible(words);
  return shown.length > MAX_WORDS ? `${shown.slice(0, MAX_WORDS)}…` : shown;
}

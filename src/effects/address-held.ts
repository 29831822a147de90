/** Whether an app ended because it bound an address itself that is held for it (UPDATE_LISTEN). */
import { Fault } from '../support/fault.ts';
import { heldPortIn } from './supervisor/last-words.ts';
import type { Supervisor } from './supervisor/supervisor.ts';

/** `isPreloaded`: UPDATE_LISTEN_NODE is on. */
type AddressHeldOptions = {
  supervisor: Pick<Supervisor, 'lastWords'>;
  heldPorts: readonly number[];
  isPreloaded?: boolean;
};

/** For an app that ended more than once: has it started once more, and reads what it says. */
export async function addressHeld(
  version: string,
  { supervisor, heldPorts, isPreloaded = false }: AddressHeldOptions,
  signal: AbortSignal,
): Promise<Fault | null> {
  if (heldPorts.length === 0) return null;
  const port = heldPortIn(await supervisor.lastWords(signal), heldPorts);
  if (port === null) return null;
  const node = isPreloaded
    ? 'have the container start its Node itself, since UPDATE_LISTEN_NODE=on reaches no other process (begin the line in the script with exec, or set UPDATE_APP_COMMAND="node FILE")'
    : 'set UPDATE_LISTEN_NODE=on if it is a Node app';
  return new Fault(
    'ADDRESS_HELD',
    `version ${version} ended because port ${port} is in use: UPDATE_LISTEN holds it, and the app bound it itself. Have it take the held socket (LISTEN_FDS), ${node}, or take ${port} out of UPDATE_LISTEN`,
  );
}

/** The name under which this container asks for the fleet's lock, and takes its place in a rollout. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Policy } from '../machines/model.ts';
import { MAX_NOTE_BYTES, readBounded } from '../support/bounded.ts';
import { isErrno } from '../support/fault.ts';
import { writeFileDurably } from './durable.ts';
import { type Places, stateDir } from './trees.ts';

const ID = /^[0-9a-f]{32}$/;

/**
 * The policy with the volume's name where the operator gave none. Made once, and kept. Where it
 * can't be kept there is none, nobody is asked and no turn comes: the app runs on.
 */
export async function withFleetId(
  policy: Policy,
  places: Places,
  warn: (message: string) => void,
): Promise<Policy> {
  const { fleet, rollout } = policy;
  if (fleet?.id !== '' && rollout?.id !== '') return policy;
  const id = await ownId(path.join(stateDir(places), 'fleet-id')).catch((error: Error) => {
    warn(
      `no name for this container in the fleet could be kept in UPDATE_DIR (${error.message}), so nothing is updated for now: make room there, or set UPDATE_FLEET_ID`,
    );
    return '';
  });
  return {
    ...policy,
    fleet: fleet && { ...fleet, id: fleet.id || id },
    rollout: rollout && { ...rollout, id: rollout.id || id },
  };
}

async function ownId(file: string): Promise<string> {
  const known = read(file);
  if (ID.test(known)) return known;
  const id = randomBytes(16).toString('hex');
  await writeFileDurably(file, `${id}\n`);
  return id;
}

function read(file: string): string {
  try {
    return readBounded(file, MAX_NOTE_BYTES).toString('latin1').trim();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

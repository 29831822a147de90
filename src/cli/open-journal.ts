/**
 * The journal as an updater opens it: checked, set aside when it is damaged, and missed when it is
 * gone.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { finishReplacing } from '../effects/claim.ts';
import { placeProblem } from '../effects/supervisor/container.ts';
import { type Places, readWorld, stateDir } from '../effects/trees.ts';
import { Journal } from '../journal/journal.ts';
import { setOddAside } from '../journal/plain.ts';
import { restore } from '../runtime/restore.ts';
import { Fault, isErrno } from '../support/fault.ts';
import type { Log } from '../support/log.ts';
import { usesRunit } from './compose.ts';
import type { Parts } from './parts.ts';

/**
 * Facts whose chain is checked at each start: about 20 ms for all of them. `replay` checks every
 * one.
 */
const CHECKED_AT_START = 2000;

/**
 * Throws `Fault` `DIRECTORY_UNSAFE` where the app could exchange what root reads and writes in
 * UPDATE_DIR: init found that out.
 */
export function assertPlaceIsSafe({ config }: Pick<Parts, 'config'>): void {
  const problem = usesRunit(config) ? placeProblem() : null;
  if (problem !== null) throw new Fault('DIRECTORY_UNSAFE', `updates are suspended: ${problem}`);
}

/**
 * Throws `Fault` `PERMISSION_DENIED` where the updater's state is another user's. To that user it
 * looks as if there were none, and "no updates yet" would be said of a journal that can't be seen.
 */
export function assertMayRead(places: Places): void {
  const directory = stateDir(places);
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
    if (existsSync(Journal.path(directory))) accessSync(Journal.path(directory), constants.R_OK);
  } catch (error) {
    // A directory that is not there yet is a state like others.
    if (!isErrno(error, 'EACCES', 'EPERM')) return;
    const owner = ownerOf(directory);
    const remedy =
      owner === null
        ? 'run the command as the user that the updater runs as'
        : `run the command as that user (docker exec -u ${owner} …)`;
    throw new Fault(
      'PERMISSION_DENIED',
      `${directory} can't be read by user ${process.getuid?.()}: it belongs to ${owner === null ? 'another' : `user ${owner}`}; ${remedy}`,
      { cause: error },
    );
  }
}

function ownerOf(directory: string): number | null {
  try {
    return statSync(directory).uid;
  } catch {
    return null;
  }
}

/**
 * The journal for writing. A damaged one is set aside, loudly: what it knew is rebuilt from the
 * disk, and the app runs.
 */
export async function openJournal(places: Places, log: Log): Promise<Journal> {
  finishReplacing(places);
  try {
    return await openChecked(places, log);
  } catch (error) {
    if ((error as { code?: string }).code !== 'JOURNAL_CORRUPT') throw error;
    const aside = Journal.setAside(stateDir(places));
    log.warn(
      `${(error as Error).message}. It was moved to ${aside}, and a new one begins with what is on the disk; holds and denials are forgotten [JOURNAL_CORRUPT]`,
    );
    return Journal.open(stateDir(places));
  }
}

async function openChecked(places: Places, log: Log): Promise<Journal> {
  setOddAside(Journal.path(stateDir(places)), log.warn);
  const isNew = !existsSync(Journal.path(stateDir(places)));
  const journal = Journal.open(stateDir(places));
  try {
    const { state } = restore(journal);
    journal.checkChain(CHECKED_AT_START);
    if (isNew || state === null) await sayIfLost(places, log);
    return journal;
  } catch (error) {
    // A resident updater tries again and again, and must not run out of descriptors over it.
    closeQuietly(journal);
    throw error;
  }
}

function closeQuietly(journal: Journal): void {
  try {
    journal.close();
  } catch {
    // It is damaged: what was wrong is being said already.
  }
}

/**
 * Versions without a journal: it was deleted, or cut to nothing. What it knew is rebuilt from the
 * disk, and that is said.
 */
async function sayIfLost(places: Places, log: Log): Promise<void> {
  const { current } = await readWorld(places);
  if (current !== null && current.digest !== null)
    log.warn(
      `the journal is missing, but ${current.version} is installed: a new one begins with what is on the disk; holds and denials are forgotten [JOURNAL_MISSING]`,
    );
}

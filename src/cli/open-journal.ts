/** The journal as an updater opens it: checked, set aside when it is damaged, and missed when it is gone. */
import { existsSync } from 'node:fs';
import { type Places, readWorld, stateDir } from '../effects/trees.ts';
import { Journal } from '../journal/journal.ts';
import { restore } from '../runtime/restore.ts';
import type { Log } from '../support/log.ts';

/** Facts whose chain is checked at each start: about 20 ms for all of them. `replay` checks every one. */
const CHECKED_AT_START = 2000;

/** The journal for writing. A damaged one is set aside, loudly: what it knew is rebuilt from the disk, and the app runs. */
export async function openJournal(places: Places, log: Log): Promise<Journal> {
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

/** Versions without a journal: it was deleted, or cut to nothing. What it knew is rebuilt from the disk, and that is said. */
async function sayIfLost(places: Places, log: Log): Promise<void> {
  const { current } = await readWorld(places);
  if (current !== null && current.digest !== null)
    log.warn(
      `the journal is missing, but ${current.version} is installed: a new one begins with what is on the disk; holds and denials are forgotten [JOURNAL_MISSING]`,
    );
}

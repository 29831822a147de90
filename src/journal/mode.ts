/**
 * How the journal's file is written: by WAL where the volume can map shared memory, else with a
 * rollback journal. The file itself says which: one that is in rollback mode was put into it here,
 * and stays in it.
 */
import { DatabaseSync } from 'node:sqlite';

/** SQLITE_IOERR_SHMOPEN, SHMSIZE, SHMLOCK, SHMMAP, https://www.sqlite.org/rescode.html */
const NO_SHARED_MEMORY = new Set([4618, 4874, 5130, 5386]);

/** Opens the file, and creates it where it is missing. Throws SQLite's errors. */
export function openForWriting(
  file: string,
  timeoutMs: number,
): { db: DatabaseSync; wal: boolean } {
  try {
    return open(file, timeoutMs);
  } catch (error) {
    if (!NO_SHARED_MEMORY.has((error as { errcode?: number }).errcode ?? 0)) throw error;
    leaveWal(file, timeoutMs);
    return open(file, timeoutMs);
  }
}

function open(file: string, timeoutMs: number): { db: DatabaseSync; wal: boolean } {
  const db = new DatabaseSync(file, { timeout: timeoutMs });
  try {
    const pragma = <T>(text: string) => db.prepare(`PRAGMA ${text}`).get() as T;
    const isNew = pragma<{ page_count: number }>('page_count').page_count === 0;
    const mode = pragma<{ journal_mode: string }>(
      isNew ? 'journal_mode=WAL' : 'journal_mode',
    ).journal_mode;
    // Its shared memory is first mapped by a read.
    if (mode === 'wal') db.prepare('SELECT count(*) FROM sqlite_schema').get();
    return { db, wal: mode === 'wal' };
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * WAL needs no shared memory for one that has the file for itself (SQLite, "Use of WAL Without
 * Shared-Memory"): so it gets out of it.
 */
function leaveWal(file: string, timeoutMs: number): void {
  const db = new DatabaseSync(file, { timeout: timeoutMs });
  try {
    db.exec('PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=DELETE; PRAGMA user_version');
    // A file without any content would be taken for a new one, and begin with WAL again.
    if ((db.prepare('PRAGMA page_count').get() as { page_count: number }).page_count === 0)
      db.exec('PRAGMA application_id = 1; PRAGMA application_id = 0');
  } finally {
    db.close();
  }
}

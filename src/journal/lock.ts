/**
 * One updater a directory. The lock is SQLite's own exclusive lock on a file of its own: a POSIX
 * record lock that the kernel drops when its holder dies in whatever way, so it is never stale.
 */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault } from '../support/fault.ts';
import { setForeignAside } from '../support/own.ts';
import { makePrivate } from '../support/private.ts';
import { assertPlain, setOddAside } from './plain.ts';

/** SQLITE_BUSY, https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;
/**
 * Long enough for somebody who only looks whether the lock is held, short enough to call it "at
 * once".
 */
const LOOKERS_WAIT_MS = 300;

export type Lock = { release(): void };

/**
 * Takes the lock (`told` hears of what else was in its place), or throws `Fault` `LOCKED` at once,
 * `NO_LOCKS` where the volume has none. Never open the file otherwise: closing it would drop the
 * lock.
 */
export function acquireLock(directory: string, told: (message: string) => void = () => {}): Lock {
  setForeignAside(directory, path.dirname(directory), told);
  makePrivate(directory);
  setOddAside(path.join(directory, 'lock'), told);
  const db = new DatabaseSync(path.join(directory, 'lock'), { timeout: LOOKERS_WAIT_MS });
  try {
    db.exec('PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if (!isBusy(error)) throw error;
    if (!canLock(directory))
      throw new Fault(
        'NO_LOCKS',
        `the volume of ${directory} can't lock files (ENOLCK), so a second updater could not be excluded: NFS needs its lock service (not nolock); or use a local volume`,
        { cause: error },
      );
    throw new Fault(
      'LOCKED',
      `another updater runs in ${path.dirname(directory)}: stop it, or give this one its own UPDATE_DIR`,
      {
        cause: error,
      },
    );
  }
  return { release: () => db.close() };
}

/**
 * Whether an updater is at work. Looks by a shared lock, which an updater that starts just then
 * waits out.
 */
export function isLocked(directory: string): boolean {
  const file = path.join(directory, 'lock');
  if (!existsSync(file)) return false;
  assertPlain(file);
  const db = new DatabaseSync(file, { readOnly: true, timeout: 0 });
  try {
    db.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw error;
  } finally {
    db.close();
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: number }).errcode;
  return code !== undefined && (code & 0xff) === SQLITE_BUSY;
}

/**
 * SQLite calls ENOLCK busy, too. Nobody holds this file for longer than a moment, so it is free
 * unless nothing can be locked here.
 */
function canLock(directory: string): boolean {
  const file = path.join(directory, 'lock.probe');
  setOddAside(file, () => {});
  const db = new DatabaseSync(file, { timeout: LOOKERS_WAIT_MS });
  try {
    db.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  } finally {
    db.close();
    rmSync(file, { force: true });
  }
}

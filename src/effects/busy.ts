/** The app's busy lock: a file that is there, or on which somebody holds a lock. */
import { lstatSync, type Stats } from 'node:fs';
import { MAX_PROC_BYTES, readBounded } from '../support/bounded.ts';
import { isErrno } from '../support/fault.ts';

export type BusyOptions = {
  file: string;
  /** A file older than that was forgotten, unless somebody holds a lock on it; 0: never. */
  maxAgeMs: number;
};

/** Since when the app is busy, wall clock; null while it is not. */
export function busySince({ file, maxAgeMs }: BusyOptions, nowMs: number): number | null {
  let stats: Stats;
  try {
    stats = lstatSync(file);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
  const isStale = maxAgeMs > 0 && nowMs - stats.mtimeMs > maxAgeMs;
  return isStale && !isLocked(stats) ? null : Math.min(Math.round(stats.mtimeMs), nowMs);
}

/** Whether any process holds a lock on the file, by flock(2) or fcntl(2). See proc_locks(5); elsewhere than on Linux nobody can tell. */
function isLocked({ dev, ino }: Stats): boolean {
  const major = ((dev >> 8) & 0xfff).toString(16).padStart(2, '0');
  const minor = ((dev & 0xff) | ((dev >> 12) & 0xfff00)).toString(16).padStart(2, '0');
  try {
    return readBounded('/proc/locks', MAX_PROC_BYTES).toString('latin1').includes(` ${major}:${minor}:${ino} `);
  } catch {
    return false;
  }
}

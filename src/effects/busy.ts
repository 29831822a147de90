/** The app's busy lock: a regular file that is there, or on which somebody holds a lock. */
import { type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { closeSync, lstatSync, openSync, rmSync, type Stats } from 'node:fs';
import path from 'node:path';
import { MAX_NOTE_BYTES, MAX_PROC_BYTES, readBounded } from '../support/bounded.ts';
import { isErrno } from '../support/fault.ts';
import { asUser, type User } from './as-app.ts';
import { sendSignal } from './supervisor/process-table.ts';

export type BusyOptions = {
  file: string;
  /** A file older than that was forgotten, unless somebody holds a lock on it; 0: never. */
  maxAgeMs: number;
  /** The app's user, where that is another one than ours. */
  owner: User | null;
};

type Found = Pick<Stats, 'dev' | 'ino' | 'mtimeMs' | 'ctimeMs'>;
const LOOK_TIMEOUT_MS = 2000;

/** Since when the app is busy, wall clock; null while it is not. */
export function busySince({ file, maxAgeMs, owner }: BusyOptions, nowMs: number): number | null {
  const found = look(file, owner);
  if (found === null) return null;
  // A time of the app's choosing may lie in the future, for ever. The kernel's own (ctime) says
  // when it was set.
  const touchedAt = Math.min(found.mtimeMs <= nowMs ? found.mtimeMs : found.ctimeMs, nowMs);
  const isStale = maxAgeMs > 0 && nowMs - touchedAt > maxAgeMs;
  return isStale && !isLocked(found) ? null : Math.round(touchedAt);
}

/**
 * Only a regular file says that the app is busy: a directory or a link in its place could stay
 * there for ever.
 */
function look(file: string, owner: BusyOptions['owner']): Found | null {
  try {
    const stats = lstatSync(file);
    return stats.isFile() ? stats : null;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return null;
    if (owner === null || !isErrno(error, 'EACCES')) throw error;
    return lookAsApp(file, owner);
  }
}

/**
 * In a directory that the app has closed (chmod 700), and root may not enter. The answer comes by a
 * file: a pipe has an end when all have closed it, and the app can open that of a process of its
 * user (/proc/PID/fd), and keep it for ever.
 */
function lookAsApp(file: string, user: User): Found | null {
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' };
  const limits = { timeout: LOOK_TIMEOUT_MS, killSignal: 'SIGKILL' } as const;
  const [program, ...args] = asUser(user, 'stat', ['-c', '%f %d %i %Y %Z', file]);
  let answer: number | null = null;
  let said: string;
  try {
    answer = openAnswer(user.privateDir);
    // In a session of its own, as as-app.ts has it. Node has that here too, and its types leave it
    // out.
    const alone = { detached: true, stdio: ['ignore', answer, 'ignore'] } satisfies object;
    const { pid, error } = spawnSync(program, args, {
      ...alone,
      ...limits,
      env,
      cwd: '/',
    } as SpawnSyncOptions);
    // Its time was up: its parent was ended (asUser), and not itself.
    if (error !== undefined && pid > 0) sendSignal(-pid, 'SIGKILL');
    said = readBounded(`/proc/self/fd/${answer}`, MAX_NOTE_BYTES).toString('latin1').trim();
  } catch {
    // More than stat says, the app's words; or no room for an answer, which is the app's doing as
    // well: no reason to wait for it.
    return null;
  } finally {
    if (answer !== null) closeSync(answer);
  }
  const [, mode, dev, ino, mtime, ctime] =
    /^([0-9a-f]+) (\d+) (\d+) (-?\d+) (-?\d+)$/.exec(said) ?? [];
  if (mode === undefined || (Number.parseInt(mode, 16) & 0o170000) !== 0o100000) return null;
  return {
    dev: Number(dev),
    ino: Number(ino),
    mtimeMs: Number(mtime) * 1000,
    ctimeMs: Number(ctime) * 1000,
  };
}

/** A file without a name: whenever we are killed, none is left. */
function openAnswer(directory: string): number {
  const file = path.join(directory, 'busy.look');
  rmSync(file, { force: true });
  const opened = openSync(file, 'wx+', 0o600);
  rmSync(file);
  return opened;
}

/**
 * Whether any process holds a lock on the file, by flock(2) or fcntl(2). See proc_locks(5);
 * elsewhere than on Linux nobody can tell.
 */
function isLocked({ dev, ino }: Found): boolean {
  const major = ((dev >> 8) & 0xfff).toString(16).padStart(2, '0');
  const minor = ((dev & 0xff) | ((dev >> 12) & 0xfff00)).toString(16).padStart(2, '0');
  try {
    return readBounded('/proc/locks', MAX_PROC_BYTES)
      .toString('latin1')
      .includes(` ${major}:${minor}:${ino} `);
  } catch {
    return false;
  }
}

/**
 * Files that the updater keeps for itself. Others on the machine may have got at the directory
 * (world-writable, theirs, a volume that a group may write): only what our own user or root wrote
 * counts, looked at on the open descriptor, so that it can't be exchanged afterwards. What is odd
 * is set aside, and the work goes on.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { assertRegular, readDescriptor } from './bounded.ts';
import { Fault, isErrno } from './fault.ts';

const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_NOCTTY;
const WRITE =
  constants.O_RDWR |
  constants.O_CREAT |
  constants.O_NONBLOCK |
  constants.O_NOFOLLOW |
  constants.O_NOCTTY;

/**
 * Throws `Fault` `NOT_A_FILE` for a link, a FIFO or a directory, `NOT_OURS`, `FILE_TOO_LARGE`;
 * errors of the system as they are.
 */
export function readOwn(file: string, maxBytes: number): Buffer {
  const descriptor = openOwn(file, READ);
  try {
    return readDescriptor(descriptor, file, maxBytes);
  } finally {
    closeSync(descriptor);
  }
}

/** Opened for reading; the caller closes it. Throws as `readOwn`. */
export function openOwnForReading(file: string): number {
  return openOwn(file, READ);
}

/**
 * Opened for writing, from the beginning, in place: who has it open keeps it. The caller closes it.
 * `told` hears of what was odd there and was set aside.
 */
export function openOwnForWriting(file: string, told: (reason: string) => void): number {
  let descriptor: number;
  try {
    descriptor = openOwn(file, WRITE);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const aside = setAside(file);
    told(
      `${error.message}; it was ${aside === null ? 'removed' : `moved to ${aside}`}, and a new one is written [${error.code}]`,
    );
    descriptor = openOwn(file, WRITE);
  }
  try {
    ftruncateSync(descriptor);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

export function writeOwn(file: string, text: string, told: (reason: string) => void): void {
  const descriptor = openOwnForWriting(file, told);
  try {
    writeSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Takes a name away, whatever bears it, without going into it: a directory may hold more than can
 * be removed. Returns where that is now.
 */
export function setAside(file: string): string | null {
  try {
    unlinkSync(file);
    return null;
  } catch (error) {
    // unlink(2) says EISDIR on Linux, and EPERM as POSIX has it.
    if (isErrno(error, 'ENOENT')) return null;
    if (!isErrno(error, 'EISDIR', 'EPERM')) throw error;
  }
  const aside = `${file}.odd-${Date.now()}`;
  renameSync(file, aside);
  return aside;
}

function openOwn(file: string, flags: number): number {
  let descriptor: number;
  try {
    descriptor = openSync(file, flags, 0o600);
  } catch (error) {
    // ELOOP and EMLINK: a link, under O_NOFOLLOW. ENXIO: a socket. EISDIR: a directory, for
    // writing.
    if (isErrno(error, 'ELOOP', 'EMLINK', 'ENXIO', 'EISDIR'))
      throw new Fault('NOT_A_FILE', `${file} is not a regular file`, { cause: error });
    throw error;
  }
  try {
    const stats = fstatSync(descriptor);
    assertRegular(file, stats);
    // A hard link to another file of ours would have that overwritten.
    if (stats.nlink > 1 && flags === WRITE)
      throw new Fault('NOT_A_FILE', `${file} has another hard link`);
    if (isForeign(stats, path.dirname(file)))
      throw new Fault(
        'NOT_OURS',
        `${file} belongs to user ${stats.uid}, and only files of user ${userId()} or root are read`,
      );
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/**
 * The other user to whom a directory or file of the updater's belongs, its own name or where a link
 * leads; null where it is ours, or not there. `place`: UPDATE_DIR. What is in there was placed by
 * those who may write there, or who could once: a directory of theirs that is left would let them
 * exchange what we verified. Whoever owns the place, or may write there now, decides in any case
 * what runs, and that is warned of; so a volume whose files belong to an earlier user of the
 * container goes on working.
 */
export function foreignOwner(file: string, place: string): number | null {
  const found = [statOf(file, lstatSync), statOf(file)].filter((stats) => stats !== null);
  const foreign = found.find(({ uid }) => uid !== userId() && uid !== 0);
  const around = foreign === undefined ? null : statOf(place);
  if (foreign === undefined || around === null || around.uid === foreign.uid || isOpen(around))
    return null;
  return foreign.uid === ownerOfOurs(place) ? null : foreign.uid;
}

/**
 * Whether others than its owner may write there. Many systems give each user a group of its own,
 * with the same number, and let it write.
 */
export function isOpen({ gid, mode }: Stats): boolean {
  return (mode & (gid === userId() ? 0o002 : 0o022)) !== 0;
}

function statOf(file: string, look: (file: string) => Stats = statSync): Stats | null {
  try {
    return look(file);
  } catch {
    return null;
  }
}

/** Moves another user's file or directory out of the way of ours; `told` hears of it. */
export function setForeignAside(file: string, place: string, told: (reason: string) => void): void {
  const owner = foreignOwner(file, place);
  if (owner === null) return;
  const aside = setAside(file);
  told(
    `${file} belongs to user ${owner}, who could exchange verified files: it was ${aside === null ? 'removed' : `moved to ${aside}`}, and a new one is created [NOT_OURS]`,
  );
}

export function userId(): number {
  return process.geteuid?.() ?? 0;
}

/**
 * Whether somebody else wrote it. On a volume that gives every file the same owner (CIFS, NFS for
 * root, Docker Desktop) nobody can tell.
 */
function isForeign({ uid }: Stats, directory: string): boolean {
  if (uid === userId() || uid === 0) return false;
  return uid !== ownerOfOurs(directory);
}

/** Whose a file is that we make there. Null where none can be made. */
function ownerOfOurs(directory: string): number | null {
  const probe = path.join(directory, `.owner-${process.pid}`);
  try {
    rmSync(probe, { force: true });
    const descriptor = openSync(
      probe,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
      0o600,
    );
    try {
      return fstatSync(descriptor).uid;
    } finally {
      closeSync(descriptor);
      unlinkSync(probe);
    }
  } catch {
    return null;
  }
}

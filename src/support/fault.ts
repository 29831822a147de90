/**
 * Errors that users see: a stable code, and a message that names what happened, the likely reason
 * and the remedy.
 */
import os from 'node:os';

/**
 * A failure with a stable upper-case `code`. The message is shown as it is, so it carries no
 * secret.
 */
export class Fault extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    // Terminal escapes: what a server or a bundle said is quoted in messages, and ends up on
    // screens.
    super(message.replace(/\p{Cc}+/gu, ' '), options);
    this.name = 'Fault';
    this.code = code;
  }
}

/** Errors of the system that have a remedy of their own. See errno(3). */
const BY_ERRNO: Record<string, { code: string; remedy: string }> = {
  ENOSPC: { code: 'NO_SPACE', remedy: 'the disk is full; free some space' },
  EDQUOT: { code: 'NO_SPACE', remedy: 'the disk quota is used up; raise it or free some space' },
  EFBIG: {
    code: 'NO_SPACE',
    remedy:
      'no file may be that large here; raise the limit (ulimit -f), or mount a file system that holds larger files (FAT ends at 4 GiB)',
  },
  EROFS: {
    code: 'READ_ONLY',
    remedy: 'the file system is read-only; mount a writable volume at UPDATE_DIR',
  },
  EIO: { code: 'DISK_ERROR', remedy: 'the disk reports errors; check the volume' },
  EACCES: {
    code: 'PERMISSION_DENIED',
    remedy: 'the user has no right to it; check owner and mode of UPDATE_DIR',
  },
  EPERM: {
    code: 'PERMISSION_DENIED',
    remedy: 'the user has no right to it; check owner and mode of UPDATE_DIR',
  },
  EMFILE: {
    code: 'TOO_MANY_FILES',
    remedy: 'too many files are open; raise the limit (ulimit -n)',
  },
  ENFILE: { code: 'TOO_MANY_FILES', remedy: 'too many files are open on this machine' },
  EXDEV: {
    code: 'CROSS_DEVICE',
    remedy:
      'UPDATE_DIR spans several file systems; mount one volume at UPDATE_DIR itself, and none below it',
  },
  ENOLCK: {
    code: 'NO_LOCKS',
    remedy:
      "the volume can't lock files (NFS without its lock service, for example); use a local volume",
  },
  ENOMEM: {
    code: 'NO_MEMORY',
    remedy: 'memory is used up; give the machine or the container more',
  },
  EAGAIN: {
    code: 'NO_MEMORY',
    remedy: 'a limit of processes or memory is reached; raise it (ulimit -u, pids limit)',
  },
  ENOENT: { code: 'DISK_ERROR', remedy: 'something removed it, or its volume is not mounted' },
  ESTALE: {
    code: 'DISK_ERROR',
    remedy: 'the network volume was replaced under its mount; remount it',
  },
};

/** What any other failed call on a local file is called: no release is to blame for it. */
const LOCAL_ERROR = {
  code: 'DISK_ERROR',
  remedy: 'the file system refused it; check the volume of UPDATE_DIR, and what is mounted there',
};

/** Errors that only a network connection has, and calls that only the network gets. */
const NETWORK_ERRNO =
  /^(?:ECONN|ENET|EHOST|EADDR|EAI_|EPROTO|ETIMEDOUT$|ENOTFOUND$|EPIPE$|ENOTCONN$|ESHUTDOWN$|E\w*NOSUPPORT$)/;
const NETWORK_CALL =
  /^(?:connect|bind|listen|accept|getaddrinfo|getnameinfo|query\w+|send\w*|recv\w*)$/;

const NO_LOCKS = {
  code: 'NO_LOCKS',
  remedy:
    "the volume can't lock files (NFS without its lock service, for example); use a local volume for UPDATE_DIR",
};

/**
 * What SQLite says about its file, by extended or primary result code; see
 * https://www.sqlite.org/rescode.html
 */
const BY_SQLITE: Record<number, { code: string; remedy: string }> = {
  // SQLITE_IOERR_UNLOCK, RDLOCK, CHECKRESERVEDLOCK, LOCK
  2058: NO_LOCKS,
  2314: NO_LOCKS,
  3594: NO_LOCKS,
  3850: NO_LOCKS,
  5: {
    code: 'JOURNAL_BUSY',
    remedy:
      "another program holds the journal, or the volume can't lock files; end that program, or use a local volume",
  },
  7: { code: 'NO_MEMORY', remedy: 'memory is used up; give the machine or the container more' },
  8: {
    code: 'READ_ONLY',
    remedy: 'the journal is read-only; mount a writable volume at UPDATE_DIR',
  },
  10: { code: 'DISK_ERROR', remedy: "the journal can't be read or written; check the volume" },
  13: { code: 'NO_SPACE', remedy: 'the disk is full; free some space' },
  15: NO_LOCKS,
  14: {
    code: 'PERMISSION_DENIED',
    remedy:
      "the journal can't be opened; check owner and mode of UPDATE_DIR, and the limit of open files",
  },
};

/** Any thrown value as a Fault; `otherwise` is the code for what has none of its own. */
export function toFault(error: unknown, otherwise: string): Fault {
  if (error instanceof Fault) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const { errno, errcode } = cause as NodeJS.ErrnoException & { errcode?: number };
  const name = errnoName(cause);
  const known =
    errcode === undefined
      ? byErrno(cause, name)
      : (BY_SQLITE[errcode] ?? BY_SQLITE[errcode & 0xff]);
  // libuv has no word for some of them.
  const message = cause.message.replaceAll(
    `Unknown system error ${errno}`,
    name ?? 'unknown error',
  );
  if (known) return new Fault(known.code, `${message}: ${known.remedy}`, { cause });
  return new Fault(otherwise, cause.message, { cause });
}

/**
 * A failed system call on a file or a process of this machine is the machine's trouble, whatever
 * its number.
 */
function byErrno(
  { syscall, path }: NodeJS.ErrnoException,
  name: string | undefined,
): { code: string; remedy: string } | undefined {
  const known = name === 'ENOENT' && syscall === undefined ? undefined : BY_ERRNO[name ?? ''];
  if (
    known !== undefined ||
    name === undefined ||
    syscall === undefined ||
    !/^E[A-Z0-9]+$/.test(name)
  )
    return known;
  const isNetwork = NETWORK_CALL.test(syscall) || (path === undefined && NETWORK_ERRNO.test(name));
  return isNetwork ? undefined : LOCAL_ERROR;
}

export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes(errnoName(error) ?? '');
}

/** `ENOSPC` and the like. */
function errnoName(error: Error): string | undefined {
  const { code, errno } = error as NodeJS.ErrnoException;
  // A DOMException's code is a number: what an aborted effect rejects with.
  if (typeof code !== 'string') return undefined;
  // Only what libuv could not name goes by its number: zlib's -5, for one, is not EIO.
  if (!code.startsWith('Unknown system error')) return code;
  return (
    Object.entries(os.constants.errno).find(([, number]) => number === -(errno ?? 0))?.[0] ?? code
  );
}

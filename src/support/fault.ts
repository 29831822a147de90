/** Errors that users see: a stable code, and a message that names what happened, the likely reason and the remedy. */

/** A failure with a stable upper-case `code`. The message is shown as it is, so it carries no secret. */
export class Fault extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'Fault';
    this.code = code;
  }
}

/** Errors of the system that have a remedy of their own. See errno(3). */
const BY_ERRNO: Record<string, { code: string; remedy: string }> = {
  ENOSPC: { code: 'NO_SPACE', remedy: 'the disk is full; free some space' },
  EDQUOT: { code: 'NO_SPACE', remedy: 'the disk quota is used up; raise it or free some space' },
  EROFS: { code: 'READ_ONLY', remedy: 'the file system is read-only; mount a writable volume at UPDATE_DIR' },
  EIO: { code: 'DISK_ERROR', remedy: 'the disk reports errors; check the volume' },
  EACCES: { code: 'PERMISSION_DENIED', remedy: 'the user has no right to it; check owner and mode of UPDATE_DIR' },
  EPERM: { code: 'PERMISSION_DENIED', remedy: 'the user has no right to it; check owner and mode of UPDATE_DIR' },
  EMFILE: { code: 'TOO_MANY_FILES', remedy: 'too many files are open; raise the limit (ulimit -n)' },
  ENFILE: { code: 'TOO_MANY_FILES', remedy: 'too many files are open on this machine' },
};

/** Any thrown value as a Fault; `otherwise` is the code for what has none of its own. */
export function toFault(error: unknown, otherwise: string): Fault {
  if (error instanceof Fault) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const errno = (cause as NodeJS.ErrnoException).code;
  const known = errno === undefined ? undefined : BY_ERRNO[errno];
  if (known) return new Fault(known.code, `${cause.message}: ${known.remedy}`, { cause });
  return new Fault(otherwise, cause.message, { cause });
}

export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '');
}

/**
 * What went wrong while an archive was unpacked: errors of the disk stay what they are; everything
 * else is the archive's.
 */
import { Fault, isErrno, toFault } from '../../support/fault.ts';
import { corrupt, refused } from './rules.ts';

export function explain(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const { syscall, code } = error as NodeJS.ErrnoException;
  if (syscall === 'link' && code === 'ENOENT')
    return refused('it has a hard link to something that is not a file of it');
  const fault = faultOfArchive(error);
  if (fault !== null) return fault;
  const known = toFault(error, 'ARCHIVE_CORRUPT');
  if (known.code !== 'ARCHIVE_CORRUPT') return known;
  if (syscall !== undefined) return new Fault('DISK_ERROR', known.message, { cause: error });
  return corrupt(known.message.split('\n')[0] ?? '', error);
}

/** Calls that make a name. */
const NAMING = new Set(['open', 'mkdir', 'link', 'symlink', 'copyfile']);

/**
 * A release that can never be unpacked here, and would be fetched again for ever: in an empty
 * directory of our own these are no trouble of the disk's, but of what the archive brings. Null for
 * everything else.
 */
function faultOfArchive(error: unknown): Fault | null {
  const isNaming = NAMING.has((error as NodeJS.ErrnoException).syscall ?? '');
  if (isErrno(error, 'EEXIST', 'EISDIR', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'))
    return refused('some of its entries conflict');
  if (isErrno(error, 'EMLINK'))
    return refused(
      'it has more hard links to one file, or directories in one, than the file system of UPDATE_DIR holds',
    );
  // vfat, exFAT and SMB know fewer names than tar does.
  if (isNaming && isErrno(error, 'EILSEQ', 'EINVAL'))
    return refused('one of its names is not allowed on the file system of UPDATE_DIR');
  return null;
}

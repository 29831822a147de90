/** What went wrong while an archive was unpacked: errors of the disk stay what they are; everything else is the archive's. */
import { Fault, isErrno, toFault } from '../../support/fault.ts';
import { corrupt, refused } from './rules.ts';

export function explain(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const { syscall, code } = error as NodeJS.ErrnoException;
  if (syscall === 'link' && code === 'ENOENT') return refused('it has a hard link to something that is no file of it');
  // In an empty directory of our own that is no trouble of the disk's.
  if (isErrno(error, 'EEXIST', 'EISDIR', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG')) return refused("some of its entries are in each other's way");
  const known = toFault(error, 'ARCHIVE_CORRUPT');
  if (known.code !== 'ARCHIVE_CORRUPT') return known;
  if (syscall !== undefined) return new Fault('DISK_ERROR', known.message, { cause: error });
  return corrupt(known.message.split('\n')[0] ?? '', error);
}

/** The updater's own directories in UPDATE_DIR, before something is written there: nobody else may exchange what is verified in them. */
import { chmod, lstat } from 'node:fs/promises';
import { isErrno } from '../support/fault.ts';
import { isOpen, setForeignAside } from '../support/own.ts';
import { ensureDirectory } from './durable.ts';
import { type Places, releasesDir, temporaryDir } from './trees.ts';

/** `releases` and `tmp`. What another user left there is moved aside, and `warn` told; rights of others to write there are taken back. */
export async function claimDirectories(places: Places, warn: (message: string) => void): Promise<void> {
  await ensureDirectory(places.root);
  for (const [directory, mode] of [
    [releasesDir(places), 0o755],
    [temporaryDir(places), 0o700],
  ] as const) {
    setForeignAside(directory, places.root, warn);
    await ensureDirectory(directory, mode);
    const stats = await lstat(directory);
    // An operator's link to another volume: a link has all rights, and what it leads to may be others' too (/tmp).
    if (stats.isSymbolicLink() || !isOpen(stats)) continue;
    // A volume may know no modes, or the directory be root's: that is warned of.
    await chmod(directory, mode).catch((error: unknown) => {
      if (!isErrno(error, 'EPERM', 'EACCES', 'EROFS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS')) throw error;
    });
  }
}

/**
 * The updater's own directories in UPDATE_DIR, before something is written there: nobody else may
 * exchange what is verified in them.
 */
import { existsSync, lstatSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { chmod, lstat } from 'node:fs/promises';
import path from 'node:path';
import { isErrno } from '../support/fault.ts';
import { foreignOwner, isOpen, setAside, setForeignAside } from '../support/own.ts';
import { ensureDirectory, removeTree, syncDirectory } from './durable.ts';
import {
  currentLink,
  lastGoodLink,
  linkedPath,
  type Places,
  releasesDir,
  temporaryDir,
} from './trees.ts';

/**
 * `releases` and `tmp`. What another user left there is moved aside, and `warn` told; rights of
 * others to write there are taken back.
 */
export async function claimDirectories(
  places: Places,
  warn: (message: string) => void,
): Promise<void> {
  await ensureDirectory(places.root);
  finishReplacing(places);
  await replaceForeignReleases(places, warn);
  setForeignAside(temporaryDir(places), places.root, warn);
  // No link takes the place of a directory: the app would be stopped for each try, and none would
  // succeed.
  for (const link of [currentLink(places), lastGoodLink(places)])
    if (lstatSync(link, { throwIfNoEntry: false })?.isDirectory())
      warn(`${link} was a directory, and no link: it was moved to ${setAside(link)} [NOT_A_FILE]`);
  for (const [directory, mode] of [
    [releasesDir(places), 0o755],
    [temporaryDir(places), 0o700],
  ] as const) {
    await ensureDirectory(directory, mode);
    const stats = await lstat(directory);
    // An operator's link to another volume: a link has all rights, and what it leads to may be
    // others' too (/tmp).
    if (stats.isSymbolicLink() || !isOpen(stats)) continue;
    // A volume may know no modes, or the directory be root's: that is warned of.
    await chmod(directory, mode).catch((error: unknown) => {
      if (!isErrno(error, 'EPERM', 'EACCES', 'EROFS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS'))
        throw error;
    });
  }
}

/** The new `releases`, until it has its name. */
const nextReleases = ({ root }: Places): string => path.join(root, 'releases.next');

/**
 * What a process that was killed between the two renames below left undone: `releases` is there
 * again.
 */
export function finishReplacing(places: Places): void {
  const next = nextReleases(places);
  if (lstatSync(releasesDir(places), { throwIfNoEntry: false }) !== undefined) return;
  if (
    lstatSync(next, { throwIfNoEntry: false })?.isDirectory() &&
    foreignOwner(next, places.root) === null
  )
    renameSync(next, releasesDir(places));
}

/**
 * Another user's `releases` makes way for ours. The app may run from a tree in it, and open files
 * of that by their names: what the links name keeps its path, as a link into what was moved aside,
 * until another version runs. Such a link is no installed version: see `isOurs`.
 */
async function replaceForeignReleases(
  places: Places,
  warn: (message: string) => void,
): Promise<void> {
  const directory = releasesDir(places);
  const owner = foreignOwner(directory, places.root);
  if (owner === null) return;
  const next = nextReleases(places);
  const aside = `${directory}.odd-${Date.now()}`;
  setForeignAside(next, places.root, warn);
  await removeTree(next);
  mkdirSync(next, { mode: 0o755 });
  const named = [currentLink(places), lastGoodLink(places)]
    .map((link) => linkedPath(places, link))
    .filter((tree) => tree !== null);
  for (const tree of new Set(named))
    if (path.dirname(tree) === directory && existsSync(tree))
      symlinkSync(
        `../${path.basename(aside)}/${path.basename(tree)}`,
        path.join(next, path.basename(tree)),
      );
  // Nothing comes between: whoever opens a file of the running tree just now finds it, but for
  // these microseconds.
  renameSync(directory, aside);
  try {
    renameSync(next, directory);
  } catch (error) {
    renameSync(aside, directory);
    throw error;
  }
  await syncDirectory(places.root);
  warn(
    `${directory} belongs to user ${owner}, who could exchange verified files: it was moved to ${aside}, and a new one is created [NOT_OURS]`,
  );
}

/** A name in a tree becomes a link to the app's data. */
import { chmod, lstat, mkdir, readlink, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { isErrno } from '../support/fault.ts';
import { removeTree } from './durable.ts';

/** As many links in a path as the kernel follows; see path_resolution(7). */
const MAX_HOPS = 40;

/** Puts a link to `data` in the place of `inTree`, in a tree that may be read-only. */
export async function replaceByLink(inTree: string, data: string, tree: string): Promise<void> {
  await writable(path.dirname(inTree), tree, async () => {
    await removeTree(inTree);
    await symlink(data, inTree);
  });
}

/**
 * Where a directory of the tree really is; null if the way to it leaves the tree, as it does
 * through a name that is linked to the app's data. What a path means there is the app's to say, and
 * root would change what it leads to.
 */
export async function resolveInTree(tree: string, name: string): Promise<string | null> {
  const pending = name.split('/');
  let here = tree;
  for (let hops = 0; pending.length > 0; ) {
    const part = pending.shift();
    if (part === undefined || part === '' || part === '.') continue;
    const next = path.join(here, part);
    if (next !== tree && !next.startsWith(`${tree}/`)) return null;
    const stats = await lstat(next).catch(() => null);
    if (stats?.isSymbolicLink()) {
      hops += 1;
      const target = await readlink(next);
      if (hops > MAX_HOPS || path.isAbsolute(target)) return null;
      pending.unshift(...target.split('/'));
    } else if (stats !== null && !stats.isDirectory()) return null;
    else here = next;
  }
  return here;
}

/** Opens a directory of a read-only tree for one change, and closes it again as it was. */
async function writable(
  directory: string,
  tree: string,
  change: () => Promise<void>,
): Promise<void> {
  await mkdir(directory, { recursive: true }).catch((error: unknown) => {
    if (!isErrno(error, 'EACCES') || directory === tree) throw error;
  });
  const { mode } = await stat(directory);
  if ((mode & 0o200) !== 0) return change();
  await chmod(directory, mode | 0o200);
  try {
    await change();
  } finally {
    await chmod(directory, mode);
  }
}

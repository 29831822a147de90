/** The app's data: names in a tree that are links to where its data stays (Capistrano's linked files and directories). */
import { chmod, cp, lstat, mkdir, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { isErrno } from '../support/fault.ts';
import { readLink, removeTree } from './durable.ts';
import { exists } from './trees.ts';

export type LinkedOptions = { names: readonly string[]; directory: string };

/**
 * Makes every name in `tree` a link into `options.directory`. What the tree brings under such a name seeds the data once,
 * and is never copied over data that is there. A name of neither is made a directory, unless it has a dot (`a.json`).
 */
export async function ensureLinked(tree: string, { names, directory }: LinkedOptions): Promise<void> {
  for (const name of names) {
    const clean = name.replace(/\/+$/, '');
    const inTree = path.join(tree, clean);
    const data = path.join(directory, clean);
    if ((await readLink(inTree)) === data) {
      await ensureData(data, name);
      continue;
    }
    if (!(await exists(data)) && (await exists(inTree))) await seed(inTree, data);
    await ensureData(data, name);
    await writable(path.dirname(inTree), tree, async () => {
      await removeTree(inTree);
      await symlink(data, inTree);
    });
  }
}

async function ensureData(data: string, name: string): Promise<void> {
  const isDirectory = name.endsWith('/') || !path.basename(name).slice(1).includes('.');
  await mkdir(isDirectory && !(await exists(data)) ? data : path.dirname(data), { recursive: true });
}

/** Copied under another name first: a crash in the middle leaves no half of the data that looks whole. */
async function seed(from: string, to: string): Promise<void> {
  const temporary = `${to}.seed.tmp`;
  await mkdir(path.dirname(to), { recursive: true });
  await rm(temporary, { recursive: true, force: true });
  await cp(from, temporary, { recursive: true, preserveTimestamps: true });
  await makeWritable(temporary);
  await rename(temporary, to);
}

/** Trees are read-only; data is not. */
async function makeWritable(file: string): Promise<void> {
  const stats = await lstat(file);
  if (stats.isSymbolicLink()) return;
  await chmod(file, (stats.mode & 0o777) | 0o200);
  if (!stats.isDirectory()) return;
  for (const name of await readdir(file)) await makeWritable(path.join(file, name));
}

/** Opens a directory of a read-only tree for one change, and closes it again as it was. */
async function writable(directory: string, tree: string, change: () => Promise<void>): Promise<void> {
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

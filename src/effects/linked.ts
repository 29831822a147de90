/** The app's data: names in a tree that are links to where its data stays (Capistrano's linked files and directories). */
import { chmod, cp, lchown, lstat, mkdir, readdir, realpath, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { Fault, isErrno } from '../support/fault.ts';
import { ensureDirectory, readLink, removeTree, renameDurably, syncTree } from './durable.ts';
import { exists } from './trees.ts';

export type LinkedOptions = {
  names: readonly string[];
  directory: string;
  /** Whom new data belongs to; null for us. */
  owner: { uid: number; gid: number } | null;
};

/**
 * Makes every name in `tree` a link into `options.directory`. What the tree brings under such a name seeds the data once,
 * and is never copied over data that is there; an empty directory is none. A name of neither is made a directory, unless it has a dot (`a.json`).
 */
export async function ensureLinked(tree: string, { names, directory, owner }: LinkedOptions): Promise<void> {
  for (const name of names) {
    const clean = name.replace(/\/+$/, '');
    const inTree = path.join(tree, clean);
    const data = path.join(directory, clean);
    if ((await readLink(inTree)) === data) {
      await ensureData(data, name, directory, owner);
      continue;
    }
    if ((await exists(inTree)) && (await isVacant(data, inTree))) {
      await refuseEscape(directory, data);
      await seed(inTree, data, owner);
    }
    await ensureData(data, name, directory, owner);
    await writable(path.dirname(inTree), tree, async () => {
      await removeTree(inTree);
      await symlink(data, inTree);
    });
  }
}

/** Whether nobody's data is there. A tree that lacks the name, such as the image's own, has left an empty directory. A link is the app's own doing. */
async function isVacant(data: string, inTree: string): Promise<boolean> {
  if (!(await exists(data))) return true;
  const entriesOf = async (place: string) => ((await lstat(place)).isDirectory() ? (await readdir(place)).length : null);
  const [brought, there] = await Promise.all([entriesOf(inTree), entriesOf(data).catch(() => null)]);
  return brought !== null && brought > 0 && there === 0;
}

async function ensureData(data: string, name: string, directory: string, owner: LinkedOptions['owner']): Promise<void> {
  const isDirectory = name.endsWith('/') || !path.basename(name).slice(1).includes('.');
  const needed = isDirectory && !(await exists(data)) ? data : path.dirname(data);
  if (await exists(needed)) return;
  await refuseEscape(directory, data);
  await makeDirectory(needed, owner);
}

/** The data is the app's, and so are links in it: root must not make anything where they lead. */
async function refuseEscape(directory: string, data: string): Promise<void> {
  let ancestor = path.dirname(data);
  while (!(await exists(ancestor)) && ancestor !== directory && ancestor !== '/') ancestor = path.dirname(ancestor);
  if (!(await exists(ancestor)) || !(await exists(directory))) return;
  const [inside, root] = [await realpath(ancestor), await realpath(directory)];
  if (inside !== root && !inside.startsWith(`${root}/`))
    throw new Fault('LINKED_ESCAPES', `${data} would lead out of ${directory}, through a link in the app's data: remove that link, or change UPDATE_LINKED`);
}

async function makeDirectory(directory: string, owner: LinkedOptions['owner']): Promise<void> {
  if (await exists(directory)) return;
  await makeDirectory(path.dirname(directory), owner);
  if (owner === null) return ensureDirectory(directory);
  // Given away before it has its name: one that a crash left with the wrong owner would be no use to the app, for ever.
  const temporary = `${directory}.made.tmp`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary);
  await give(temporary, owner);
  await renameDurably(temporary, directory);
}

async function give(file: string, owner: NonNullable<LinkedOptions['owner']>): Promise<void> {
  const isDirectory = (await lstat(file)).isDirectory();
  if (isDirectory) for (const name of await readdir(file)) await give(path.join(file, name), owner);
  await lchown(file, owner.uid, owner.gid);
}

/** Copied under another name first, and synced: neither a crash nor a power cut leaves a half of the data that looks whole. */
async function seed(from: string, to: string, owner: LinkedOptions['owner']): Promise<void> {
  const temporary = `${to}.seed.tmp`;
  await makeDirectory(path.dirname(to), owner);
  await rm(temporary, { recursive: true, force: true });
  await cp(from, temporary, { recursive: true, preserveTimestamps: true });
  await makeWritable(temporary);
  if (owner !== null) await give(temporary, owner);
  // By its parent, since without CAP_DAC_OVERRIDE root can't open what it just gave away.
  await syncTree(path.dirname(to));
  try {
    await renameDurably(temporary, to);
  } catch (error) {
    // A volume is mounted there, or the app has written meanwhile: then that is its data.
    if (!isErrno(error, 'EBUSY', 'ENOTEMPTY', 'EEXIST')) throw error;
    await rm(temporary, { recursive: true, force: true });
  }
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

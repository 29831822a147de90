/**
 * The app's data, as its own user sees and makes it. Where app and updater are two users this runs
 * in a child that is the app's (linked-child.ts): whatever names the app exchanges meanwhile, it
 * gets nothing that it could not get itself.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, lstat, readdir, realpath, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Fault, isErrno } from '../support/fault.ts';
import { ensureDirectory, removeTree, renameDurably } from './durable.ts';
import { replaceByLink } from './link-in-tree.ts';

export type LinkedName = {
  /** Where its data stays. */
  data: string;
  /** As it stands in UPDATE_LINKED. */
  name: string;
  /** What the tree brings under that name; null for nothing. */
  source: string | null;
  /**
   * The source is the app's, and goes once it was copied; but its own name, which is the tree's.
   */
  isCleared: boolean;
  /**
   * Where the tree itself is the app's: the name in it that becomes a link, and the tree; null
   * where root makes the link.
   */
  link: { inTree: string; tree: string } | null;
};

export type LinkedData = {
  directory: string;
  names: readonly LinkedName[];
  /** Nobody but the app is harmed by what it made of its own data: then its data stays as it is. */
  isApps: boolean;
};

/** The app's own doing: it closed its data, or put something else in the place of a directory. */
const OWN_DOING = ['EACCES', 'EPERM', 'ENOTDIR', 'ELOOP', 'EEXIST'];

/**
 * Seeds and makes what is missing. Throws `Fault` `LINKED_ESCAPES` where a link in the data leads
 * out of it, and updater and app are one user.
 */
export async function prepareData({ directory, names, isApps }: LinkedData): Promise<void> {
  // Its owner may always enter, whatever mode it gave to it.
  if (isApps)
    await chmod(directory, 0o700 | ((await stat(directory)).mode & 0o7777)).catch(() => {});
  for (const entry of names) {
    const { data, source, isCleared, link } = entry;
    if (source !== null && (await isVacant(data, source))) {
      if (!isApps) await refuseEscape(directory, data);
      await seed(source, data);
    }
    await ensureData(entry, directory, isApps);
    if (source !== null && isCleared) await clear(source);
    if (link !== null) await replaceByLink(link.inTree, data, link.tree);
  }
}

/**
 * Removes what the app may remove: of a tree with several owners the rest is root's to take away
 * (`removeCleared` in linked.ts).
 */
async function clear(place: string): Promise<void> {
  if (!(await lstat(place)).isDirectory()) return;
  await chmod(place, 0o700).catch(unlessForbidden);
  for (const name of await readdir(place)) {
    const file = path.join(place, name);
    await clear(file);
    await ((await lstat(file)).isDirectory() ? rmdir(file) : rm(file)).catch(unlessForbidden);
  }
}

function unlessForbidden(error: unknown): void {
  if (!isErrno(error, 'EPERM', 'EACCES', 'ENOTEMPTY')) throw error;
}

/**
 * Whether nobody's data is there. A tree that lacks the name, such as the image's own, has left an
 * empty directory. A link is the app's own doing.
 */
async function isVacant(data: string, source: string): Promise<boolean> {
  const there = await lstat(data).catch(() => null);
  if (there === null) return true;
  if (!there.isDirectory() || !(await lstat(source)).isDirectory()) return false;
  const [brought, found] = await Promise.all([readdir(source), readdir(data).catch(() => null)]);
  return brought.length > 0 && found?.length === 0;
}

/**
 * What has to be there: the data itself, or, of a name with a dot, which is taken for a file's, the
 * directory that it lies in.
 */
export function neededFor({ name, data }: Pick<LinkedName, 'name' | 'data'>): string {
  return name.endsWith('/') || !path.basename(name).slice(1).includes('.')
    ? data
    : path.dirname(data);
}

async function ensureData(
  { data, name }: LinkedName,
  directory: string,
  isApps: boolean,
): Promise<void> {
  const needed = neededFor({ name, data });
  try {
    if ((await lstat(needed).catch(unlessMissing)) !== null) return;
    if (!isApps) await refuseEscape(directory, data);
    await makeDirectory(needed);
  } catch (error) {
    if (
      !isApps ||
      !isErrno(error, ...OWN_DOING) ||
      (await lstat(directory).catch(() => null)) === null
    )
      throw error;
  }
}

function unlessMissing(error: unknown): null {
  if (!isErrno(error, 'ENOENT')) throw error;
  return null;
}

/** Where one user is both, the operator is told of a link that leads the data elsewhere. */
async function refuseEscape(directory: string, data: string): Promise<void> {
  const isThere = (file: string) => stat(file).then(Boolean, () => false);
  let ancestor = path.dirname(data);
  while (!(await isThere(ancestor)) && ancestor !== directory && ancestor !== '/')
    ancestor = path.dirname(ancestor);
  if (!(await isThere(ancestor)) || !(await isThere(directory))) return;
  const [inside, root] = [await realpath(ancestor), await realpath(directory)];
  if (inside !== root && !inside.startsWith(`${root}/`))
    throw new Fault(
      'LINKED_ESCAPES',
      `${data} would lead out of ${directory}, through a link in the app's data: remove that link, or change UPDATE_LINKED`,
    );
}

async function makeDirectory(directory: string): Promise<void> {
  // Up to where something is: what is there may be a link of the app's own.
  if ((await stat(directory).catch(() => null)) !== null) return;
  await makeDirectory(path.dirname(directory));
  await ensureDirectory(directory);
}

/**
 * Copied under another name first, and synced: neither a crash nor a power cut leaves a half of the
 * data that looks whole.
 */
async function seed(from: string, to: string): Promise<void> {
  const temporary = `${to}.seed.tmp`;
  await makeDirectory(path.dirname(to));
  await removeTree(temporary);
  await cp(from, temporary, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  await makeWritable(temporary);
  await syncAll(path.dirname(to));
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

/** As `syncTree`, without its packages: a child starts for this. */
async function syncAll(directory: string): Promise<void> {
  const sync = (...args: string[]) =>
    promisify(execFile)('sync', args, {
      env: { PATH: process.env['PATH'] ?? '' },
      timeout: 300_000,
      killSignal: 'SIGKILL',
    });
  await (process.platform === 'linux' ? sync('-f', directory).catch(() => sync()) : sync());
}

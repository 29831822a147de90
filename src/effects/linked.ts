/**
 * The app's data: names in a tree that are links to where its data stays (Capistrano's linked files
 * and directories). Trees are ours, and data is the app's: each is changed by its own user only.
 */
import { closeSync, constants, openSync, type Stats } from 'node:fs';
import { chmod, lstat, readdir, rmdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { Fault, isErrno, toFault } from '../support/fault.ts';
import { runAsApp, type User } from './as-app.ts';
import { readLink } from './durable.ts';
import { replaceByLink, resolveInTree } from './link-in-tree.ts';
import { type LinkedData, type LinkedName, neededFor, prepareData } from './linked-data.ts';

export type LinkedOptions = {
  names: readonly string[];
  directory: string;
  /** The app's user, where that is another one than ours; else null. */
  owner: User | null;
};

/** Put in by scripts/build.ts, in the image. */
declare const BUNDLED_VERSION: string | undefined;
const CHILD_IN_IMAGE = '/usr/lib/self-update/dist/linked-child.js';
/** For gigabytes that still copy; one that is stopped, or does nothing, is ended long before. */
const CHILD_TIMEOUT_MS = 3_600_000;
/** For a look at names: the app may stop it. */
const LOOK_TIMEOUT_MS = 2000;

/**
 * Makes every name in `tree` a link into `options.directory`. What the tree brings under such a
 * name seeds the data once, and is never copied over data that is there; an empty directory is
 * none. A name of neither is made a directory, unless it has a dot (`a.json`).
 */
export async function ensureLinked(
  tree: string,
  { names, directory, owner }: LinkedOptions,
): Promise<void> {
  // One after another: a name may lie below another one.
  for (const name of names) {
    const clean = name.replace(/\/+$/, '');
    const data = path.join(directory, clean);
    const parent = await resolveInTree(tree, path.dirname(clean));
    const inTree = parent === null ? null : path.join(parent, path.basename(clean));
    const isNew = inTree !== null && (await readLink(inTree)) !== data;
    const source = isNew && (await isBrought(inTree)) ? inTree : null;
    // An image may bring a tree that is the app's (COPY --chown), or a part of one.
    const link =
      isNew && owner !== null && !(await isWayOurs(tree, inTree)) ? { inTree, tree } : null;
    const isCleared =
      source !== null && owner !== null && link === null && !(await makeReadable(source));
    await prepare(
      { directory, names: [{ data, name, source, isCleared, link }], isApps: owner !== null },
      owner,
    );
    if (isCleared) await removeCleared(source);
    if (isNew && link === null) await replaceByLink(inTree, data, tree);
  }
}

const isBrought = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );

/** Whether nobody else can change what a name in the tree means, from the tree down. */
async function isWayOurs(tree: string, inTree: string): Promise<boolean> {
  for (let place = path.dirname(inTree); place.startsWith(tree); place = path.dirname(place))
    if (!isOurs(await lstat(place).catch(() => null))) return false;
  return true;
}

/**
 * The app copies from there what it is given: also of an image whose files only root may read.
 * False where something is not ours.
 */
async function makeReadable(place: string): Promise<boolean> {
  const stats = await lstat(place).catch(() => null);
  if (!isOurs(stats)) return false;
  if (stats === null || stats.isSymbolicLink()) return true;
  const needed = stats.isDirectory() ? 0o555 : 0o444;
  if ((stats.mode & needed) !== needed && (stats.isFile() || stats.isDirectory()))
    await chmod(place, (stats.mode & 0o7777) | needed).catch((error: unknown) =>
      throwUnreadable(error, place),
    );
  let isAllOurs = true;
  if (stats.isDirectory())
    for (const name of await readdir(place))
      if (!(await makeReadable(path.join(place, name)))) isAllOurs = false;
  return isAllOurs;
}

function throwUnreadable(error: unknown, place: string): never {
  if (!isErrno(error, 'EPERM', 'EACCES', 'EROFS')) throw error;
  const what = `${place} (UPDATE_LINKED): the app's user, who copies it to the app's data, may not read it, and that can't be changed`;
  throw new Fault(
    'PERMISSION_DENIED',
    `${what}: run \`chmod -R a+rX\` on it where it is made, most likely in the image's Dockerfile`,
    { cause: error },
  );
}

/**
 * Removes what the app has left of a place that is in part its own. Root takes names out of
 * directories only that are root's alone; one of the app's has to be empty by now.
 */
async function removeCleared(place: string): Promise<void> {
  const stats = await lstat(place).catch(() => null);
  if (stats === null) return;
  if (!stats.isDirectory()) return unlink(place);
  if (isOurs(stats)) {
    await chmod(place, 0o700);
    for (const name of await readdir(place)) await removeCleared(path.join(place, name));
  }
  await rmdir(place).catch((error: unknown) => {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST', 'EPERM', 'EACCES')) throw error;
    const what = `${place} (UPDATE_LINKED) is not root's alone, and the app's user could not empty it after it was copied to the app's data`;
    throw new Fault(
      'PERMISSION_DENIED',
      `${what}: run \`chown -R 0:0\` on it where it is made, most likely in the image's Dockerfile`,
      { cause: error },
    );
  });
}

/** Nothing there is nobody's. */
function isOurs(stats: Stats | null): boolean {
  return (
    stats === null ||
    (stats.uid === process.getuid?.() && (stats.isSymbolicLink() || (stats.mode & 0o022) === 0))
  );
}

async function prepare(request: LinkedData, owner: LinkedOptions['owner']): Promise<void> {
  if (owner === null) return prepareData(request);
  // Where nothing is to be made, as at most switches, that is found without a start of Node.
  if (
    request.names.every(({ source, link }) => source === null && link === null) &&
    (await isThere(request, owner))
  )
    return;
  await prepareAsApp(request, owner);
}

async function isThere({ names }: LinkedData, owner: User): Promise<boolean> {
  const look = 'for file; do [ -e "$file" ] || [ -L "$file" ] || exit 1; done';
  const args = ['-c', look, 'sh', ...names.map(neededFor)];
  const { status } = await runAsApp({
    file: '/bin/sh',
    args,
    user: owner,
    timeoutMs: LOOK_TIMEOUT_MS,
  });
  return status === 0;
}

/**
 * Throws what went wrong there. What the child says may be the app's words: it can steer processes
 * of its own user.
 */
async function prepareAsApp(request: LinkedData, owner: User): Promise<void> {
  const sources: number[] = [];
  try {
    // By descriptor, since a tree that is being unpacked lies where the app may not pass through.
    const names = request.names.map((name): LinkedName => {
      if (name.source === null) return name;
      sources.push(
        openSync(
          path.dirname(name.source),
          constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
        ),
      );
      return {
        ...name,
        source: `/proc/self/fd/${2 + sources.length}/${path.basename(name.source)}`,
      };
    });
    const child =
      typeof BUNDLED_VERSION === 'string'
        ? CHILD_IN_IMAGE
        : path.join(import.meta.dirname, 'linked-child.ts');
    // Debugger as a way in: the app may send it SIGUSR1, by which Node begins to listen for one.
    const args = ['--disable-sigusr1', '--disable-warning=ExperimentalWarning', child];
    const input = JSON.stringify({ ...request, names });
    const { status, said } = await runAsApp({
      file: process.execPath,
      args,
      user: owner,
      descriptors: sources,
      input,
      timeoutMs: CHILD_TIMEOUT_MS,
    });
    if (status !== 0) throw failure(said, request.directory);
  } finally {
    for (const descriptor of sources) closeSync(descriptor);
  }
}

const failureSchema = z.object({
  code: z.string().regex(/^[A-Z][A-Z0-9_]{1,40}$/),
  message: z.string().max(1000),
  syscall: z.string().max(40).optional(),
  path: z.string().max(1000).optional(),
});

/**
 * Denial of a fix: by a debugger the app could have it say what a release is denied for
 * (ARCHIVE_REFUSED). So whatever it says counts as trouble of this machine, which it is.
 */
function failure(said: string, directory: string): Fault {
  const text = said.startsWith('{') ? said : '{}';
  const parsed = failureSchema.safeParse(parseJson(text));
  if (!parsed.success)
    return new Fault(
      'DISK_ERROR',
      `the app's data in ${directory} could not be prepared: the process for that was ended, or took too long`,
    );
  const { code, message, syscall, path: file } = parsed.data;
  return toFault(
    Object.assign(new Error(message), {
      code,
      syscall: syscall ?? 'open',
      path: file ?? directory,
    }),
    'DISK_ERROR',
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

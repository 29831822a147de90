/**
 * Operations on files that survive a power cut once they return. Each syncs what it wrote and the
 * directory entries it changed: see fsync(2), "Calling fsync() does not necessarily ensure that the
 * entry in the directory … has also reached disk".
 */
import { constants } from 'node:fs';
import {
  chmod,
  lchown,
  lstat,
  mkdir,
  open,
  opendir,
  readlink,
  rename,
  rm,
  rmdir,
  symlink,
  unlink,
} from 'node:fs/promises';
import path from 'node:path';
import { MAX_OUTPUT_BYTES } from '../support/bounded.ts';
import { Fault, isErrno } from '../support/fault.ts';
import { loadExeca } from './packages.ts';

/**
 * Makes the entries of a directory durable. CIFS and some FUSE file systems have no such call for a
 * directory, and say so: their entries are as durable as those file systems make them.
 */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EBADF')) throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file whole: another name first, sync, rename over, sync the directory. Readers see the
 * old or the new one.
 */
export async function writeFileDurably(
  file: string,
  data: string | AsyncIterable<string>,
  mode = 0o644,
): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    // Not what somebody else placed there: a link, or a FIFO that nobody reads.
    await rm(temporary, { force: true });
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    // After a failed fsync the pages may be marked clean (fsyncgate): the file is discarded, never
    // synced again.
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(path.dirname(file));
}

/** Makes a directory and its entry durable. An existing one is left as it is. */
export async function ensureDirectory(directory: string, mode = 0o755): Promise<void> {
  try {
    await mkdir(directory, { mode });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    // Node's recursive mkdir says ENOENT where the truth is EROFS, so it is kept for what it is
    // needed for.
    if (!isErrno(error, 'ENOENT')) throw error;
    await ensureDirectory(path.dirname(directory), mode);
    await mkdir(directory, { mode });
  }
  await syncDirectory(path.dirname(directory));
}

/** Renames between directories and makes both entries durable. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(path.dirname(to));
  if (path.dirname(from) !== path.dirname(to)) await syncDirectory(path.dirname(from));
}

/**
 * Points a link at a target by rename, so that there is no moment without a link. A link that is
 * right stays untouched. When it can't be made durable it is as it was before, and the error is
 * thrown; with `bestEffort` it stays moved.
 */
export async function linkAtomically(
  target: string,
  link: string,
  { bestEffort = false } = {},
): Promise<void> {
  const before = await readLink(link);
  if (before === target) return;
  await moveLink(target, link);
  try {
    await syncDirectory(path.dirname(link));
  } catch (error) {
    if (bestEffort) return;
    await (before === null ? rm(link, { force: true }) : moveLink(before, link));
    throw error;
  }
}

async function moveLink(target: string, link: string): Promise<void> {
  const temporary = `${link}.${process.pid}.tmp`;
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  await rename(temporary, link);
}

/** What a link says; null if there is none. */
export async function readLink(link: string): Promise<string | null> {
  try {
    return await readlink(link);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EINVAL', 'ENOTDIR')) return null;
    throw error;
  }
}

/**
 * Syncs the file system that holds a tree: one call for thousands of files, where fsync(2) would
 * need one each.
 */
export async function syncTree(directory: string): Promise<void> {
  const { execa } = await loadExeca();
  const sync = (args: string[]) =>
    execa('sync', args, {
      reject: false,
      cleanup: false,
      timeout: 300_000,
      killSignal: 'SIGKILL',
      stdin: 'ignore',
      env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
      extendEnv: false,
      maxBuffer: MAX_OUTPUT_BYTES,
    });
  const one = await sync(process.platform === 'linux' ? ['-f', directory] : []);
  if (!one.failed) return;
  // A file system without syncfs(2): then all of them are synced.
  const result = /Invalid argument|not implemented|not supported/.test(one.stderr)
    ? await sync([])
    : one;
  if (result.failed)
    throw new Fault(
      'DISK_ERROR',
      `${directory} can't be made durable (${result.shortMessage}): check the volume`,
    );
}

/** Names that are removed at a time. */
const REMOVED_AT_ONCE = 64;
const MAX_ROUNDS = 10;

/**
 * Removes a tree, also one whose directories are read-only; links are removed, and not followed.
 * Missing is fine. Throws where `signal` is aborted meanwhile: what is left can be removed the next
 * time.
 */
export async function removeTree(
  directory: string,
  signal: AbortSignal | null = null,
): Promise<void> {
  const stats = await lstat(directory).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  });
  if (stats?.isDirectory()) await removeDirectory(directory, signal);
  else if (stats !== null) await removeName(directory);
}

async function removeDirectory(directory: string, signal: AbortSignal | null): Promise<void> {
  // Nobody else's directory can be made writable, and need not be.
  if (process.getuid?.() === 0) await takeOver(directory);
  else await chmod(directory, 0o700).catch(() => {});
  // Some file systems pass over names while others are removed. A process that keeps adding some is
  // not waited for: then it is not empty.
  for (let round = 0; round < MAX_ROUNDS; round++)
    if ((await removeNames(directory, signal)) === 0) break;
  await rmdir(directory);
}

const DIRECTORY_ITSELF = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Makes a directory root's alone. Who owns it, or may write it, could exchange its names while root
 * removes by name what lies in it, and have root remove something else. Its own name can't be
 * exchanged: what it lies in is root's place, or was taken over before.
 */
async function takeOver(directory: string): Promise<void> {
  const handle = await open(directory, DIRECTORY_ITSELF).catch(async (error: unknown) => {
    // Root may lack the right to look into what another keeps for himself (CAP_DAC_OVERRIDE), but
    // not to own it.
    if (!isErrno(error, 'EACCES')) throw error;
    await lchown(directory, 0, 0);
    await chmod(directory, 0o700);
    return open(directory, DIRECTORY_ITSELF);
  });
  try {
    const { uid } = await handle.stat();
    // An export with root_squash makes root's own directories nobody's, and gives them to no one.
    if (uid !== 0 && uid !== (await lstat(path.dirname(directory))).uid) await handle.chown(0, 0);
    await handle.chmod(0o700).catch((error: unknown) => {
      // A volume may know no modes, or keep its owner's right to change them.
      if (!isErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS')) throw error;
    });
  } finally {
    await handle.close();
  }
}

/**
 * Few at a time: Node's own `rm` begins with all names of a directory at once, which takes 150 MB
 * for a hundred thousand of them.
 */
async function removeNames(directory: string, signal: AbortSignal | null): Promise<number> {
  let found = 0;
  let batch: Promise<void>[] = [];
  try {
    for await (const entry of await opendir(directory, { bufferSize: REMOVED_AT_ONCE })) {
      signal?.throwIfAborted();
      found += 1;
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) await removeDirectory(file, signal);
      else batch.push(removeName(file));
      if (batch.length < REMOVED_AT_ONCE) continue;
      await Promise.all(batch);
      batch = [];
    }
    await Promise.all(batch);
  } finally {
    await Promise.allSettled(batch);
  }
  return found;
}

async function removeName(file: string): Promise<void> {
  await unlink(file).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error;
  });
}

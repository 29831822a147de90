/** Walks a tree that was just unpacked: what is really there, link by link, is what the manifest says. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, lstat, readdir, readFile, readlink, realpath } from 'node:fs/promises';
import path from 'node:path';
import { isErrno } from '../../support/fault.ts';
import { MANIFEST_NAME, type TreeEntry } from '../trees.ts';
import { installedMode, refused } from './rules.ts';

/** Files up to this size are read whole. */
const SMALL_FILE_BYTES = 1024 * 1024;

/** Every entry below `root` but those in `except`, sorted by path. Throws `Fault` `ARCHIVE_REFUSED` for a link that leaves the tree, or a device. */
export async function walk(root: string, except: readonly string[] = []): Promise<TreeEntry[]> {
  const real = await realpath(root);
  const entries: TreeEntry[] = [];
  for (const name of await readdir(root, { recursive: true })) {
    if (name === MANIFEST_NAME || isWithin(name, except)) continue;
    entries.push(await describe(real, name));
  }
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Whether a path is one of the names, or below one. */
export function isWithin(name: string, names: readonly string[]): boolean {
  return names.some((other) => name === other || name.startsWith(`${other}/`));
}

async function describe(root: string, name: string): Promise<TreeEntry> {
  const file = path.join(root, name);
  const stats = await lstat(file);
  const mode = stats.mode & 0o7777;
  if (stats.isDirectory()) return { path: name, type: 'directory', mode, sizeBytes: 0, content: '' };
  if (stats.isSymbolicLink()) {
    await checkLink(root, file, name);
    return { path: name, type: 'link', mode: 0o777, sizeBytes: 0, content: await readlink(file) };
  }
  if (!stats.isFile()) throw refused(`${JSON.stringify(name)} is neither a file nor a directory nor a link`);
  return { path: name, type: 'file', mode, sizeBytes: stats.size, content: await hashOf(file, stats.size) };
}

/** A link can leave the tree through another link: only the kernel's own answer counts. One that leads nowhere leads nowhere. */
async function checkLink(root: string, file: string, name: string): Promise<void> {
  try {
    const target = await realpath(file);
    if (target !== root && !target.startsWith(`${root}${path.sep}`)) throw refused(`the link ${JSON.stringify(name)} leads out of the tree`);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    // Nothing is there now; something may be, beside this tree, once that has its place among others.
    const lexical = path.resolve(path.dirname(path.join(root, name)), await readlink(file));
    if (lexical !== root && !lexical.startsWith(`${root}${path.sep}`)) throw refused(`the link ${JSON.stringify(name)} leads out of the tree`);
    // `a/../../x` climbs from wherever `a` leads once something is there; only leading `..` mean what they seem to.
    if (/(?:^|\/)(?!\.\.\/)[^/]+\/(?:.*\/)?\.\.(?:\/|$)/.test(await readlink(file)))
      throw refused(`the link ${JSON.stringify(name)} leads nowhere, by a way that can't be checked`);
  }
}

async function hashOf(file: string, size: number): Promise<string> {
  const hash = createHash('sha256');
  if (size <= SMALL_FILE_BYTES) return hash.update(await readFile(file)).digest('hex');
  for await (const chunk of createReadStream(file, { highWaterMark: SMALL_FILE_BYTES })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Takes the right to write from every file and directory but the root, which has yet to be renamed. Returns the entries as they are then. */
export async function makeReadOnly(root: string, entries: readonly TreeEntry[]): Promise<TreeEntry[]> {
  const result = entries.map((entry) =>
    entry.type === 'link' ? entry : { ...entry, mode: entry.type === 'directory' ? 0o555 : installedMode('file', entry.mode) },
  );
  // Deepest first: a directory is closed after what is in it.
  for (const entry of result.toReversed()) if (entry.type !== 'link') await chmod(path.join(root, entry.path), entry.mode);
  return result;
}

/**
 * Walks a tree that was just unpacked: what is really there, link by link, is what the manifest says. Small files synchronously, in
 * slices: thousands of them are in the page cache, and a round trip through the thread pool would cost more than each call.
 */
import { hash } from 'node:crypto';
import { chmodSync, lstatSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { isErrno } from '../../support/fault.ts';
import { sumOf } from '../pieces.ts';
import { MANIFEST_NAME, type TreeEntry } from '../trees.ts';
import { installedMode, refused } from './rules.ts';

/** Files up to this size are read whole. */
const SMALL_FILE_BYTES = 1024 * 1024;
/** After this the event loop has its turn: signals, requests and deadlines wait no longer. */
const SLICE_MS = 10;

/** Every entry below `root` but those in `except`, sorted by path. Throws `Fault` `ARCHIVE_REFUSED` for a link that leaves the tree, or a device. */
export async function walk(root: string, except: readonly string[] = []): Promise<TreeEntry[]> {
  const real = realpathSync.native(root);
  const entries: TreeEntry[] = [];
  for await (const name of inSlices(await readdir(root, { recursive: true }))) {
    if (name === MANIFEST_NAME || isWithin(name, except)) continue;
    const entry = describe(real, name);
    if (entry.type === 'file')
      entry.content = entry.sizeBytes <= SMALL_FILE_BYTES ? hash('sha256', readFileSync(path.join(real, name))) : (await sumOf(path.join(real, name))).sha256;
    entries.push(entry);
  }
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function* inSlices<T>(items: readonly T[]): AsyncGenerator<T> {
  let since = performance.now();
  for (const item of items) {
    if (performance.now() - since > SLICE_MS) {
      await turn();
      since = performance.now();
    }
    yield item;
  }
}

/** Whether a path is one of the names, or below one. */
export function isWithin(name: string, names: readonly string[]): boolean {
  return names.some((other) => name === other || name.startsWith(`${other}/`));
}

/** All but the content of a file. */
function describe(root: string, name: string): TreeEntry {
  const file = path.join(root, name);
  const stats = lstatSync(file);
  const mode = stats.mode & 0o7777;
  if (stats.isDirectory()) return { path: name, type: 'directory', mode, sizeBytes: 0, content: '' };
  if (stats.isSymbolicLink()) {
    checkLink(root, file, name);
    return { path: name, type: 'link', mode: 0o777, sizeBytes: 0, content: readlinkSync(file) };
  }
  if (!stats.isFile()) throw refused(`${JSON.stringify(name)} is neither a file nor a directory nor a link`);
  return { path: name, type: 'file', mode, sizeBytes: stats.size, content: '' };
}

/** A link can leave the tree through another link: only the kernel's own answer counts. One that leads nowhere leads nowhere. */
function checkLink(root: string, file: string, name: string): void {
  try {
    const target = realpathSync.native(file);
    if (target !== root && !target.startsWith(`${root}${path.sep}`)) throw refused(`the link ${JSON.stringify(name)} leads out of the tree`);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    // Nothing is there now; something may be, beside this tree, once that has its place among others.
    const lexical = path.resolve(path.dirname(path.join(root, name)), readlinkSync(file));
    if (lexical !== root && !lexical.startsWith(`${root}${path.sep}`)) throw refused(`the link ${JSON.stringify(name)} leads out of the tree`);
    // `a/../../x` climbs from wherever `a` leads once something is there; only leading `..` mean what they seem to.
    if (/(?:^|\/)(?!\.\.\/)[^/]+\/(?:.*\/)?\.\.(?:\/|$)/.test(readlinkSync(file)))
      throw refused(`the link ${JSON.stringify(name)} leads nowhere, by a way that can't be checked`);
  }
}

/** Takes the right to write from every file and directory but the root, which has yet to be renamed. Returns the entries as they are then. */
export async function makeReadOnly(root: string, entries: readonly TreeEntry[]): Promise<TreeEntry[]> {
  const result = entries.map((entry) =>
    entry.type === 'link' ? entry : { ...entry, mode: entry.type === 'directory' ? 0o555 : installedMode('file', entry.mode) },
  );
  // Deepest first: a directory is closed after what is in it.
  for await (const index of inSlices(result.map((_, at) => at).reverse())) {
    const { type, path: name, mode } = result[index] as TreeEntry;
    if (type !== 'link' && mode !== entries[index]?.mode) chmodSync(path.join(root, name), mode);
  }
  return result;
}

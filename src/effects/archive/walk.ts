/**
 * Walks a tree that was just unpacked: what is really there is what the manifest says. No link is
 * followed, and each file is read once, whatever it is called. Small files synchronously, in
 * slices: thousands of them are in the page cache, and a round trip through the thread pool would
 * cost more than each call.
 */
import { hash } from 'node:crypto';
import { chmodSync, lstatSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { MANIFEST_NAME, type TreeEntry } from '../manifest.ts';
import { sumOf } from '../pieces.ts';
import { inSlices } from '../slices.ts';
import { Links } from './links.ts';
import { installedMode, refused } from './rules.ts';

/** Files up to this size are read whole. */
const SMALL_FILE_BYTES = 1024 * 1024;

/**
 * Every entry below `root`, sorted by path. `linked`: names that will lead to the app's data.
 * Throws `Fault` `ARCHIVE_REFUSED` for a link that leaves the tree, or a device.
 */
export async function walk(
  root: string,
  linked: readonly string[] = [],
  signal: AbortSignal | null = null,
): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  const sums = new Sums();
  for (const directories = ['']; ; ) {
    const directory = directories.pop();
    if (directory === undefined) break;
    for await (const base of inSlices(await readdir(path.join(root, directory)), signal)) {
      const name = directory === '' ? base : `${directory}/${base}`;
      if (name === MANIFEST_NAME) continue;
      const entry = await look(root, name, sums);
      if (entry.type === 'directory') directories.push(name);
      entries.push(entry);
    }
  }
  const links = new Links(root, linked);
  for await (const { type, path: name } of inSlices(entries, signal))
    if (type === 'link') links.check(name);
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * One entry as it is. Throws `Fault` `ARCHIVE_REFUSED` for what is neither a file nor a directory
 * nor a link; nothing else is opened.
 */
export async function look(root: string, name: string, sums: Sums): Promise<TreeEntry> {
  const file = path.join(root, name);
  const stats = lstatSync(file);
  const mode = stats.mode & 0o7777;
  if (stats.isDirectory())
    return { path: name, type: 'directory', mode, sizeBytes: 0, content: '' };
  if (stats.isSymbolicLink())
    return { path: name, type: 'link', mode: 0o777, sizeBytes: 0, content: readlinkSync(file) };
  if (!stats.isFile())
    throw refused(`${JSON.stringify(name)} is neither a file nor a directory nor a link`);
  return {
    path: name,
    type: 'file',
    mode,
    sizeBytes: stats.size,
    content: await sums.of(file, stats),
  };
}

/**
 * What is in files. A file of a thousand names would be read a thousand times: 160 kB of an
 * archive, and 90 GB of reading.
 */
export class Sums {
  readonly #known = new Map<string, string>();

  /** sha256 in lower-case hex. `stats`: the file's own. */
  async of(file: string, { dev, ino, nlink, size }: Stats): Promise<string> {
    const identity = nlink > 1 ? `${dev}:${ino}` : null;
    const known = identity === null ? undefined : this.#known.get(identity);
    if (known !== undefined) return known;
    const sum =
      size <= SMALL_FILE_BYTES ? hash('sha256', readFileSync(file)) : (await sumOf(file)).sha256;
    if (identity !== null) this.#known.set(identity, sum);
    return sum;
  }
}

/**
 * Takes the right to write from every file and directory but the root, which has yet to be renamed.
 * Returns the entries as they are then.
 */
export async function makeReadOnly(
  root: string,
  entries: readonly TreeEntry[],
): Promise<TreeEntry[]> {
  const result = entries.map((entry) =>
    entry.type === 'link'
      ? entry
      : { ...entry, mode: entry.type === 'directory' ? 0o555 : installedMode('file', entry.mode) },
  );
  // Deepest first: a directory is closed after what is in it.
  for await (const index of inSlices(result.map((_, at) => at).reverse())) {
    const { type, path: name, mode } = result[index] as TreeEntry;
    if (type !== 'link' && mode !== entries[index]?.mode) chmodSync(path.join(root, name), mode);
  }
  return result;
}

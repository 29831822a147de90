/** A tree on disk against its manifest. */
import { isErrno } from '../support/fault.ts';
import { isWithin, Links } from './archive/links.ts';
import { look, Sums } from './archive/walk.ts';
import { readEntries, readManifest, type TreeEntry } from './manifest.ts';
import { inSlices } from './slices.ts';

/**
 * What was changed, or is missing; empty for a tree that is as it was installed. `linked`: names
 * that lead to the app's data. Only what the manifest names is looked at, below directories that
 * are directories: what else lies there can't make it longer.
 */
export async function problemsOf(
  tree: string,
  linked: readonly string[],
  signal: AbortSignal | null = null,
): Promise<string[]> {
  if ((await readManifest(tree)) === null) return ['no manifest'];
  const found: string[] = [];
  try {
    const expected: TreeEntry[] = [];
    for await (const entry of readEntries(tree))
      if (!isWithin(entry.path, linked)) expected.push(entry);
    const sums = new Sums();
    const links = new Links(tree, linked);
    const directories = new Set(['']);
    for await (const entry of inSlices(expected, signal)) {
      // Missing, or changed: that was said.
      if (!directories.has(entry.path.slice(0, Math.max(entry.path.lastIndexOf('/'), 0)))) continue;
      const problem = await problemOf(tree, entry, { sums, links });
      if (problem !== null) found.push(problem);
      else if (entry.type === 'directory') directories.add(entry.path);
    }
  } catch (error) {
    signal?.throwIfAborted();
    found.push((error as Error).message);
  }
  return found;
}

async function problemOf(
  tree: string,
  expected: TreeEntry,
  { sums, links }: { sums: Sums; links: Links },
): Promise<string | null> {
  try {
    const now = await look(tree, expected.path, sums);
    if (
      now.type !== expected.type ||
      now.content !== expected.content ||
      now.mode !== expected.mode
    )
      return `${expected.path} was changed`;
    // An older version of this program let some in.
    if (now.type === 'link') links.check(expected.path);
    return null;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return `${expected.path} is missing`;
    return (error as Error).message;
  }
}

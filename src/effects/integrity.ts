/** A tree on disk against its manifest. */
import { isWithin, walk } from './archive/walk.ts';
import { readManifest, type TreeEntry } from './trees.ts';

/** What was changed, or is missing; empty for a tree that is as it was installed. `linked`: names that lead to the app's data. */
export async function problemsOf(tree: string, linked: readonly string[]): Promise<string[]> {
  const manifest = await readManifest(tree);
  if (manifest === null) return ['no manifest'];
  return differences(manifest.entries, await walk(tree, linked).catch((error: Error) => error.message), linked);
}

function differences(expected: readonly TreeEntry[], found: readonly TreeEntry[] | string, except: readonly string[]): string[] {
  if (typeof found === 'string') return [found];
  const actual = new Map(found.map((entry) => [entry.path, entry]));
  return expected.flatMap((entry) => {
    if (isWithin(entry.path, except)) return [];
    const now = actual.get(entry.path);
    if (now === undefined) return [`${entry.path} is missing`];
    return now.type === entry.type && now.content === entry.content && now.mode === entry.mode ? [] : [`${entry.path} was changed`];
  });
}

/** `removeOldVersions`: trees beyond the number kept, and whatever a crash left in `tmp/`. Never current or last good. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { removeTree } from './durable.ts';
import { type Places, readWorld, releasesDir, temporaryDir } from './trees.ts';

export async function removeOldVersions(
  { keep, reject }: EffectInputs['removeOldVersions'],
  signal: AbortSignal,
  keptTrees: number,
  places: Places,
): Promise<Fact> {
  const world = await readWorld(places);
  // The links are looked at again here: what they name stays, whatever memory says.
  const needed = new Set([world.current?.path, world.lastGood?.path]);
  const preferred = new Set(keep);
  const found = await Promise.all((await list(releasesDir(places))).map(async (file) => ({ file, changedAt: (await stat(file)).mtimeMs })));
  const removable = found.filter(({ file }) => !needed.has(file));
  const rejected = removable.filter(({ file }) => reject.includes(file));
  const optional = removable
    .filter(({ file }) => !reject.includes(file))
    .sort((a, b) => Number(preferred.has(b.file)) - Number(preferred.has(a.file)) || b.changedAt - a.changedAt)
    .slice(Math.max(0, keptTrees - found.filter(({ file }) => needed.has(file)).length));
  const removed = [...rejected, ...optional];
  for (const { file } of removed) {
    signal.throwIfAborted();
    await removeTree(file);
  }
  signal.throwIfAborted();
  await clearTemporary(places, null, signal);
  return { type: 'oldVersionsRemoved', names: removed.map(({ file }) => path.basename(file)) };
}

/** What earlier tries left, but for the part that is gone on with: no more than one asset and one tree lie there. */
export async function clearTemporary(places: Places, except: string | null = null, signal: AbortSignal | null = null): Promise<void> {
  for (const file of await list(temporaryDir(places))) {
    signal?.throwIfAborted();
    if (file !== except) await removeTree(file);
  }
}

async function list(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.map((name) => path.join(directory, name));
}

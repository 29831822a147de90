/** `removeOldVersions`: trees beyond the number kept, and whatever a crash left in `tmp/`. Never current or last good. */
import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { isErrno } from '../support/fault.ts';
import { foreignOwner, userId } from '../support/own.ts';
import { removeTree, syncDirectory } from './durable.ts';
import { MANIFEST_NAME } from './manifest.ts';
import { currentLink, lastGoodLink, linkedPath, type Places, readWorld, releasesDir, temporaryDir } from './trees.ts';

export async function removeOldVersions(
  { keep, reject }: EffectInputs['removeOldVersions'],
  signal: AbortSignal,
  keptTrees: number,
  places: Places,
): Promise<Fact> {
  const world = await readWorld(places);
  // The links are looked at again here: what they name stays, whatever memory says.
  const named = [currentLink(places), lastGoodLink(places)].map((link) => linkedPath(places, link));
  const needed = new Set([world.current?.path, world.lastGood?.path, ...named]);
  const preferred = new Set(keep);
  const found = await Promise.all((await list(releasesDir(places))).map((file) => describe(file)));
  // Another user's stays: its owner could lead a removal elsewhere.
  const removable = found.filter(({ file, isOwnLink }) => !needed.has(file) && (isOwnLink || foreignOwner(file, places.root) === null));
  // A link by which a running app kept its files is of no more use: see claim.ts.
  const isRejected = ({ file, isOwnLink }: Found): boolean => isOwnLink || reject.includes(file);
  const rejected = removable.filter(isRejected);
  const optional = removable
    .filter((one) => !isRejected(one))
    .sort((a, b) => Number(preferred.has(b.file)) - Number(preferred.has(a.file)) || b.changedAt - a.changedAt)
    .slice(Math.max(0, keptTrees - found.filter(({ file }) => needed.has(file)).length));
  const removed = [...rejected, ...optional];
  for (const { file } of removed) {
    signal.throwIfAborted();
    await discardTree(file, signal);
  }
  signal.throwIfAborted();
  await clearTemporary(places, null, signal);
  return { type: 'oldVersionsRemoved', names: removed.map(({ file }) => path.basename(file)) };
}

type Found = { file: string; changedAt: number; isOwnLink: boolean };

async function describe(file: string): Promise<Found> {
  const stats = await lstat(file);
  return { file, changedAt: stats.mtimeMs, isOwnLink: stats.isSymbolicLink() && stats.uid === userId() };
}

/** Its manifest first, durably: wherever this is killed, half of a tree doesn't count as a version that could be switched to. */
async function discardTree(tree: string, signal: AbortSignal): Promise<void> {
  if ((await lstat(tree)).isDirectory()) {
    await chmod(tree, 0o755).catch((error: unknown) => {
      if (!isErrno(error, 'EPERM')) throw error;
    });
    await rm(path.join(tree, MANIFEST_NAME), { force: true, recursive: true });
    await syncDirectory(tree);
  }
  await removeTree(tree, signal);
}

/** What earlier tries left, but for the part that is gone on with: no more than one asset and one tree lie there. */
export async function clearTemporary(places: Places, except: string | null = null, signal: AbortSignal | null = null): Promise<void> {
  for (const file of await list(temporaryDir(places))) {
    signal?.throwIfAborted();
    if (file !== except) await removeTree(file, signal);
  }
}

async function list(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.map((name) => path.join(directory, name));
}

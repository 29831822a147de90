/**
 * `removeOldVersions`: trees beyond the number kept, and what a crash left in `tmp/`. Never current
 * or last good, and nothing that is not by its name ours: UPDATE_DIR may be a directory that has
 * `releases` and `tmp` of its own (a home, or as Capistrano and Rails have it), or a link of the
 * operator's lead to another one (`/tmp`).
 */
import { existsSync } from 'node:fs';
import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { isErrno } from '../support/fault.ts';
import { foreignOwner, userId } from '../support/own.ts';
import { removeTree, syncDirectory } from './durable.ts';
import { MANIFEST_NAME } from './manifest.ts';
import {
  currentLink,
  lastGoodLink,
  linkedPath,
  type Places,
  readWorld,
  releasesDir,
  temporaryDir,
} from './trees.ts';

/** What tries of a directory leave in it, after a crash. */
const TRIES = String.raw`\.preflight|\.owner-\d+`;
/** What download and extraction call their files, by digest or by the asset's number. */
const TEMPORARY = new RegExp(
  String.raw`^(?:(?:[0-9a-f]{32}|asset_\d{1,26})\.part|tree-[0-9a-f]{12}|${TRIES})$`,
);
/** As `treeName` has it; half of a tree has no manifest. */
const INSTALLED = new RegExp(`^(?:.+-[0-9a-f]{12}|${TRIES})$`);

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
  const isOurs = (file: string) =>
    INSTALLED.test(path.basename(file)) ||
    reject.includes(file) ||
    existsSync(path.join(file, MANIFEST_NAME));
  const trees = (await list(releasesDir(places))).filter(isOurs);
  const found = await Promise.all(trees.map((file) => describe(file)));
  // Another user's stays: its owner could lead a removal elsewhere.
  const removable = found.filter(
    ({ file, isOwnLink }) =>
      !needed.has(file) && (isOwnLink || foreignOwner(file, places.root) === null),
  );
  // A link by which a running app kept its files is of no more use: see claim.ts.
  const isRejected = ({ file, isOwnLink }: Found): boolean => isOwnLink || reject.includes(file);
  const rejected = removable.filter(isRejected);
  const optional = removable
    .filter((one) => !isRejected(one))
    .sort(
      (a, b) =>
        Number(preferred.has(b.file)) - Number(preferred.has(a.file)) || b.changedAt - a.changedAt,
    )
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
  return {
    file,
    changedAt: stats.mtimeMs,
    isOwnLink: stats.isSymbolicLink() && stats.uid === userId(),
  };
}

/**
 * Its manifest first, durably: wherever this is killed, half of a tree doesn't count as a version
 * that could be switched to.
 */
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

/**
 * What earlier tries left, but for the part that is gone on with: no more than one asset and one
 * tree lie there.
 */
export async function clearTemporary(
  places: Places,
  except: string | null = null,
  signal: AbortSignal | null = null,
): Promise<void> {
  for (const file of await list(temporaryDir(places))) {
    signal?.throwIfAborted();
    if (file !== except && TEMPORARY.test(path.basename(file))) await removeTree(file, signal);
  }
}

async function list(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.map((name) => path.join(directory, name));
}

/**
 * `prepareSwitch`: whatever can be found out while the app still runs, is. Nothing is changed by a
 * check that fails.
 */
import { access, constants, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { Fault, isErrno } from '../support/fault.ts';
import { findTool, toolFor } from './archive/tool.ts';
import { claimDirectories } from './claim.ts';
import { checkAnnouncedSize } from './download.ts';
import { type AppOptions, checkEntryPoint } from './entry-point.ts';
import { assertDescribable } from './manifest.ts';
import { loadPackages } from './packages.ts';
import { checkSpace } from './space.ts';
import type { Supervisor } from './supervisor/supervisor.ts';
import { findKept, type Places, readBaked, releasesDir, temporaryDir } from './trees.ts';

export type PrepareDependencies = {
  places: Places;
  app: AppOptions;
  supervisor: Supervisor;
  maxAssetBytes: number;
  warn: (message: string) => void;
};

export async function prepareSwitch(
  { release, from, attempt, installed }: EffectInputs['prepareSwitch'],
  deps: PrepareDependencies,
): Promise<Fact> {
  const { places, app, supervisor, maxAssetBytes, warn } = deps;
  await supervisor.assertReachable();
  await loadPackages();
  await claimDirectories(places, warn);
  await access(releasesDir(places), constants.W_OK);
  await tryToWrite(places, app);
  const tree =
    release.origin === 'baked' ? await readBaked(places) : await findKept(places, release);
  // An outage for nothing: a tree may have waited long, and somebody have removed it.
  if (tree === null && installed)
    throw new Fault(
      'TREE_INCOMPLETE',
      `the tree of ${release.version} is gone: something removed files from UPDATE_DIR. It is downloaded again`,
    );
  if (tree === null) assertDescribable(release, places.rules ?? '');
  if (tree !== null) await checkEntryPoint(tree.path, app);
  // The tree is complete where the download comes first; else there has to be room for it before
  // the app is stopped.
  else if (release.origin === 'github') {
    checkAnnouncedSize(release, maxAssetBytes);
    await checkSpace(places, release, { generous: true });
  }
  // The name says what unpacking will need.
  const tool = tree === null ? toolFor(release.asset.name) : null;
  if (tool !== null) findTool(tool);
  return { type: 'switchStarted', from, to: release.version, attempt };
}

/**
 * A real file, so that a full, a read-only and a `noexec` volume all show, and places that nothing
 * can be renamed between.
 */
async function tryToWrite(places: Places, { command }: AppOptions): Promise<void> {
  const links = path.join(places.root, '.preflight');
  const file = path.join(temporaryDir(places), '.preflight');
  const renamed = path.join(releasesDir(places), '.preflight');
  try {
    await writeFile(links, '');
    await writeFile(file, '#', { mode: 0o755 });
    // access(2): EACCES for a regular file on a `noexec` mount, also for root. A command of the
    // operator's reads the tree, and need not execute it.
    if (command === null) await access(file, constants.X_OK).catch(notExecutable);
    await rename(file, renamed);
  } finally {
    // Each, also where another one can't be removed.
    await Promise.all([links, file, renamed].map((leftover) => rm(leftover, { force: true })));
  }
}

function notExecutable(error: unknown): never {
  if (!isErrno(error, 'EACCES')) throw error;
  throw new Fault(
    'NOT_EXECUTABLE',
    "nothing on UPDATE_DIR's volume can be executed: it is mounted `noexec`. Mount it without, or set UPDATE_APP_COMMAND to a program of the image that reads the tree",
  );
}

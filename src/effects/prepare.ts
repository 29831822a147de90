/** `prepareSwitch`: whatever can be found out while the app still runs, is. Nothing is changed by a check that fails. */
import { access, constants, statfs } from 'node:fs/promises';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { Fault } from '../support/fault.ts';
import { checkAnnouncedSize } from './download.ts';
import { ensureDirectory } from './durable.ts';
import { findKept, type Places, releasesDir, temporaryDir } from './trees.ts';

/** An archive and what comes out of it; apps compress to about a third. */
const SPACE_FACTOR = 4;

export type PrepareDependencies = { places: Places; maxAssetBytes: number };

export async function prepareSwitch({ release, from, attempt }: EffectInputs['prepareSwitch'], { places, maxAssetBytes }: PrepareDependencies): Promise<Fact> {
  await ensureDirectory(places.root);
  await access(places.root, constants.W_OK);
  // The tree is complete where the download comes first; else there has to be room for it before the app is stopped.
  if (release.origin === 'github' && (await findKept(places, release)) === null) {
    checkAnnouncedSize(release, maxAssetBytes);
    await ensureDirectory(temporaryDir(places), 0o700);
    await ensureDirectory(releasesDir(places));
    const { bavail, bsize } = await statfs(places.root);
    const free = bavail * bsize;
    const needed = release.asset.sizeBytes * SPACE_FACTOR;
    if (free < needed)
      throw new Fault('NO_SPACE', `${places.root} has ${free} bytes free, and about ${needed} are needed for ${release.asset.name}: free some space`);
  }
  return { type: 'switchStarted', from, to: release.version, attempt };
}

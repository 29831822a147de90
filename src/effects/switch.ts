/** `switchCurrent`: one symlink, one rename. The links are all that `app/run` needs to know. */
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { InstalledVersion } from '../machines/model.ts';
import { Fault, isErrno } from '../support/fault.ts';
import { linkAtomically } from './durable.ts';
import { ensureLinked, type LinkedOptions } from './linked.ts';
import {
  currentLink,
  isTreeThere,
  lastGoodLink,
  linkTarget,
  type Places,
  readWorld,
} from './trees.ts';

export type SwitchDependencies = { places: Places; linked: LinkedOptions };

export async function switchCurrent(
  { to, bestEffort }: EffectInputs['switchCurrent'],
  { places, linked }: SwitchDependencies,
): Promise<Fact> {
  assertComplete(to, places);
  const baked = to.path.startsWith(`${places.bakedDir}/`);
  try {
    await ensureLinked(to.path, linked);
  } catch (error) {
    // An image's own tree may lie on a read-only root; the app then sees it as it was built.
    if (!baked || !isErrno(error, 'EROFS', 'EACCES', 'EPERM', 'PERMISSION_DENIED')) throw error;
  }
  await linkAtomically(linkTarget(places, to), currentLink(places), { bestEffort });
  return { type: 'switched', to };
}

/**
 * Complete versions only: what has no manifest is never linked, and never started. Throws `Fault`
 * `TREE_MISSING`.
 */
export function assertComplete(version: InstalledVersion, places: Places): void {
  if (isTreeThere(version.path, places)) return;
  throw new Fault(
    'TREE_MISSING',
    `the files of version ${version.version} are gone from ${version.path}: something outside the updater removed them. They are downloaded again if nothing else can run`,
  );
}

/** Moves `last-good` to what `current` names. */
export async function markLastGood(places: Places): Promise<void> {
  const { current } = await readWorld(places);
  if (current) await linkAtomically(linkTarget(places, current), lastGoodLink(places));
}

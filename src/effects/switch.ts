/** `switchCurrent`: one symlink, one rename. The links are all that `app/run` needs to know. */
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { Fault, isErrno } from '../support/fault.ts';
import { linkAtomically } from './durable.ts';
import { ensureLinked, type LinkedOptions } from './linked.ts';
import { currentLink, exists, lastGoodLink, linkTarget, type Places, readManifest, readWorld } from './trees.ts';

export type SwitchDependencies = { places: Places; linked: LinkedOptions };

export async function switchCurrent({ to, bestEffort }: EffectInputs['switchCurrent'], { places, linked }: SwitchDependencies): Promise<Fact> {
  const baked = to.path.startsWith(`${places.bakedDir}/`);
  // Complete versions only: what has no manifest is never linked.
  if (!(baked ? await exists(to.path) : await readManifest(to.path)))
    throw new Fault('TREE_INCOMPLETE', `${to.path} is not a complete tree: something removed files from UPDATE_DIR`);
  try {
    await ensureLinked(to.path, linked);
  } catch (error) {
    // An image's own tree may lie on a read-only root; the app then sees it as it was built.
    if (!baked || !isErrno(error, 'EROFS', 'EACCES', 'EPERM')) throw error;
  }
  await linkAtomically(linkTarget(places, to), currentLink(places), { bestEffort });
  return { type: 'switched', to };
}

/** Moves `last-good` to what `current` names. */
export async function markLastGood(places: Places): Promise<void> {
  const { current } = await readWorld(places);
  if (current) await linkAtomically(linkTarget(places, current), lastGoodLink(places));
}

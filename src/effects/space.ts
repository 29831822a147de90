/**
 * Whether there is room for a release, asked before anything is written: a full volume would hurt
 * the app, too.
 */
import { statfs } from 'node:fs/promises';
import type { Release } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import type { Places } from './trees.ts';

/**
 * The archive and what comes out of it, which is as large at least; programs unpack to about three
 * times as much.
 */
const MIN_FACTOR = 2;
const USUAL_FACTOR = 4;

/**
 * Throws `Fault` `NO_SPACE`. With the app down already there would be no good time to find out:
 * `generous` asks for what is usual.
 */
export async function checkSpace(
  places: Places,
  { asset }: Release,
  { alreadyThere = 0, generous = false }: { alreadyThere?: number; generous?: boolean } = {},
): Promise<void> {
  const { bavail, bsize } = await statfs(places.root);
  const free = bavail * bsize;
  const needed = asset.sizeBytes * (generous ? USUAL_FACTOR : MIN_FACTOR) - alreadyThere;
  if (free < needed)
    throw new Fault(
      'NO_SPACE',
      `${places.root} has ${free} bytes free, and about ${needed} are needed for ${asset.name}: free some space, or use a larger volume`,
    );
}

/** The phased rollout: when a release's turn is on this container. Pure. */
import type { Policy, Release } from './model.ts';

/**
 * The place of a container in a rollout, 0 ≤ place < 1: uniform over containers, and in another
 * order for each version. FNV-1a with the final mix of MurmurHash3, since the machine imports
 * nothing of Node's: http://www.isthe.com/chongo/tech/comp/fnv/ (public domain).
 */
export function rolloutPlace(id: string, version: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${id}\0${version}`))
    hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** From when on a release may be run here; null for never, as where its publication is not known. */
export function rolloutDueAt(
  { publishedAt, version }: Pick<Release, 'publishedAt' | 'version'>,
  rollout: NonNullable<Policy['rollout']>,
): number | null {
  const published = publishedAt === null ? Number.NaN : Date.parse(publishedAt);
  // Without a name (fleet-id.ts) all such containers would have one place.
  const isPlaced = rollout.wariness !== null || rollout.id !== '';
  if (Number.isNaN(published) || !isPlaced) return null;
  const place = rollout.wariness ?? rolloutPlace(rollout.id, version);
  return Math.ceil(published + place * rollout.periodMs);
}

export function isItsTurn(
  release: Pick<Release, 'publishedAt' | 'version'>,
  { rollout }: Policy,
  at: number,
): boolean {
  if (rollout === null) return true;
  const dueAt = rolloutDueAt(release, rollout);
  return dueAt !== null && dueAt <= at;
}

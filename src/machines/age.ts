/** How old a release is, against the minimum age that the operator asks for. Pure. */
import type { Policy, Release } from './model.ts';

/** From when on a release may be run; null for never: a time that is not known is not long ago. */
export function oldEnoughAt(
  { publishedAt }: Pick<Release, 'publishedAt'>,
  { minAgeMs }: Policy,
): number | null {
  const published = publishedAt === null ? Number.NaN : Date.parse(publishedAt);
  return Number.isNaN(published) ? null : published + minAgeMs;
}

export function isOldEnough(
  release: Pick<Release, 'publishedAt'>,
  policy: Policy,
  at: number,
): boolean {
  const from = oldEnoughAt(release, policy);
  return policy.minAgeMs === 0 || (from !== null && from <= at);
}

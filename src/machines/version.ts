/** Versions: from a tag, compared, matched against a range. Pure. */
import semver from 'semver';
import type { Versioning } from './model.ts';

/** `2024.01.05`, `1.2`, `1.2.3.4`, each optionally with `-prerelease` and `+build`. */
const LOOSE = /^(\d{1,15}(?:\.\d{1,15}){0,7})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;

/** The version in a tag: the prefix and a leading `v` are taken off. Null if the tag names no version. */
export function versionFromTag(tag: string, versioning: Versioning, prefix = ''): string | null {
  if (!tag.startsWith(prefix)) return null;
  const bare = tag.slice(prefix.length).replace(/^[vV]/, '');
  if (versioning === 'loose') return LOOSE.test(bare) && bare.length <= 256 ? bare : null;
  return semver.parse(bare)?.version ?? null;
}

/** Negative, zero or positive, as `Array.prototype.sort` wants it. A string that is no version is older than any. */
export function compareVersions(a: string, b: string, versioning: Versioning): number {
  if (versioning === 'semver') {
    const [x, y] = [semver.parse(a), semver.parse(b)];
    if (x && y) return x.compare(y);
  }
  const [x, y] = [LOOSE.exec(a), LOOSE.exec(b)];
  if (!x || !y) return Number(x !== null) - Number(y !== null);
  const [left, right] = [numbers(x), numbers(y)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return comparePrereleases(x[2], y[2]);
}

function numbers(match: RegExpExecArray): number[] {
  return (match[1] ?? '').split('.').map(Number);
}

function comparePrereleases(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  const [left, right] = [a.split('.'), b.split('.')];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [l, r] = [left[i], right[i]];
    if (l === undefined || r === undefined) return left.length - right.length;
    const difference = semver.compareIdentifiers(l, r);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether the version carries a prerelease part (`-rc.1`). */
export function isPrerelease(version: string): boolean {
  return (LOOSE.exec(version)?.[2] ?? semver.parse(version)?.prerelease[0]) !== undefined;
}

/**
 * Whether the version lies in a semver range. Prereleases are judged like releases, because whether they count at all
 * is a setting of its own. Loose versions are judged by their first three numbers.
 */
export function satisfies(version: string, range: string, versioning: Versioning): boolean {
  if (range === '*') return true;
  const candidate = versioning === 'loose' ? semver.coerce(version, { includePrerelease: true }) : semver.parse(version);
  return candidate !== null && semver.satisfies(candidate, range, { includePrerelease: true });
}

/**
 * Versions: from a tag, compared, matched against a range. Pure.
 *
 * Two readings. `semver` is strict. `loose` reads numbers, and what stands behind them
 * (docs/releases.md has the rules for users):
 * 1. Numbers separated by dots, or by underscores, compare as numbers; missing ones are 0.
 * 2. What follows decides between equal numbers: a prerelease is older than the plain version, a
 *    letter or a further part is newer.
 * 3. `rc`, `beta`, `dev` and their like make a prerelease. `a1`, `b2` and `c3` are alpha, beta and
 *    candidate (as in PEP 440); a letter without a number behind it is a letter release (`3.7b`).
 *
 * Versions are stored in journals, and their order must not change: what `1.2.3-anything` compares
 * to is semver's rule in both readings.
 */
import semver from 'semver';
import type { Versioning } from './model.ts';

/**
 * `2024.01.05`, `1.2`, `1.2.3.4`, each optionally with `-suffix` and `+build`: what loose versions
 * were from the first release on.
 */
const DASHED = /^(\d{1,15}(?:\.\d{1,15}){0,7})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;
/** `3.7b`, `1.2.3_1`, `1.0rc1`, `16_2`: read loosely since the second release. */
const LETTERED = /^(\d{1,15}(?:[._]\d{1,15}){0,7})([0-9A-Za-z._~-]*)(?:\+[0-9A-Za-z._-]+)?$/;
/** Git allows 255 bytes; npm's semver has this bound. */
const MAX_CHARACTERS = 256;

/** These say that it is the plain version. */
const FINAL_WORDS = new Set(['stable', 'final', 'release', 'ga', 'lts', 'tag']);
const PRERELEASE_WORDS = new Set(
  [
    'rc',
    'cr',
    'candidate',
    'alpha',
    'beta',
    'pre',
    'preview',
    'prerelease',
    'dev',
    'devel',
    'nightly',
    'snapshot',
    'canary',
  ].concat([
    'unstable',
    'experimental',
    'insider',
    'insiders',
    'milestone',
    'next',
    'edge',
    'eap',
    'test',
    'testing',
  ]),
);
/**
 * PEP 440's short forms, only with a number behind them. See
 * https://peps.python.org/pep-0440/#pre-releases
 */
const SHORT_PRERELEASES: Readonly<Record<string, string>> = { a: 'alpha', b: 'beta', c: 'rc' };

type Parsed = {
  numbers: number[];
  /** -1: before the plain version, 0: the plain version, 1: after it. */
  rank: -1 | 0 | 1;
  /** What decides between versions of equal numbers and rank. */
  identifiers: readonly string[];
  isPrerelease: boolean;
};

/**
 * The version in a tag: the prefix and a leading `v` are taken off. Null if the tag names no
 * version.
 */
export function versionFromTag(tag: string, versioning: Versioning, prefix = ''): string | null {
  if (!tag.startsWith(prefix)) return null;
  const bare = tag.slice(prefix.length).replace(/^[vV]/, '');
  if (versioning === 'loose')
    return bare.length <= MAX_CHARACTERS && parseLoose(bare) !== null ? bare : null;
  return semver.parse(bare)?.version ?? null;
}

/**
 * Negative, zero or positive, as `Array.prototype.sort` wants it. A string that is no version is
 * older than any.
 */
export function compareVersions(a: string, b: string, versioning: Versioning): number {
  if (versioning === 'semver') {
    const [x, y] = [semver.parse(a), semver.parse(b)];
    if (x && y) return x.compare(y);
  }
  const parse = versioning === 'semver' ? parseDashed : parseLoose;
  const [x, y] = [parse(a), parse(b)];
  if (!x || !y) return Number(x !== null) - Number(y !== null);
  for (let i = 0; i < Math.max(x.numbers.length, y.numbers.length); i++) {
    const difference = (x.numbers[i] ?? 0) - (y.numbers[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return x.rank - y.rank || compareIdentifiers(x.identifiers, y.identifiers);
}

/** The higher one; null only where there is none. */
export function higherOf(
  one: string | null,
  other: string | null,
  versioning: Versioning,
): string | null {
  if (one === null || other === null) return one ?? other;
  return compareVersions(one, other, versioning) >= 0 ? one : other;
}

/** Whether the version is a prerelease. Read loosely, `4.7.2-stable` and `2024-01-05` are none. */
export function isPrerelease(version: string, versioning: Versioning): boolean {
  if (versioning === 'loose') return parseLoose(version)?.isPrerelease ?? false;
  return semver.parse(version)?.prerelease[0] !== undefined || parseDashed(version)?.rank === -1;
}

/**
 * Whether a tag says by itself that it is a prerelease, in either reading. What only semver calls
 * one (`4.7.2-stable`, `1.2.3-1`) is left to those who read it.
 */
export function isPrereleaseTag(tag: string): boolean {
  const version = versionFromTag(tag, 'loose');
  return version !== null && isPrerelease(version, 'loose');
}

/**
 * Whether the version lies in a semver range. Prereleases are judged like releases, because whether
 * they count at all is a setting of its own. Loose versions are judged by their first three
 * numbers.
 */
export function satisfies(version: string, range: string, versioning: Versioning): boolean {
  if (range === '*') return true;
  const candidate = versioning === 'loose' ? asSemver(version) : semver.parse(version);
  return candidate !== null && semver.satisfies(candidate, range, { includePrerelease: true });
}

/** What stands behind a `+` in a tag; null where nothing does. Semver does not compare it. */
export function buildOf(tag: string): string | null {
  return /\+([0-9A-Za-z._-]+)$/.exec(tag)?.[1] ?? null;
}

/** `REL_16_2` without its prefix as `16.2.0`, for semver's ranges. */
function asSemver(version: string): semver.SemVer | null {
  const parsed = parseLoose(version);
  if (parsed === null) return null;
  const [major = 0, minor = 0, patch = 0] = parsed.numbers;
  const plain = `${major}.${minor}.${patch}`;
  const suffix = parsed.isPrerelease ? parsed.identifiers.join('.') : '';
  return (suffix === '' ? null : semver.parse(`${plain}-${suffix}`)) ?? semver.parse(plain);
}

function parseLoose(text: string): Parsed | null {
  return parseDashed(text) ?? parseLettered(text);
}

function parseDashed(text: string): Parsed | null {
  const match = DASHED.exec(text);
  if (match === null) return null;
  const numbers = (match[1] ?? '').split('.').map(Number);
  const suffix = match[2];
  if (suffix === undefined) return { numbers, rank: 0, identifiers: [], isPrerelease: false };
  return {
    numbers,
    rank: -1,
    identifiers: suffix.split('.'),
    isPrerelease: tokensOf(suffix).some(isPrereleaseToken),
  };
}

function parseLettered(text: string): Parsed | null {
  const match = LETTERED.exec(text);
  if (match === null) return null;
  const numbers = (match[1] ?? '').split(/[._]/).map(Number);
  const tokens = tokensOf(match[2] ?? '');
  const identifiers = tokens
    .map((token, index) => expand(token, tokens[index + 1]))
    .filter((token) => !FINAL_WORDS.has(token));
  if (identifiers.length === 0) return { numbers, rank: 0, identifiers, isPrerelease: false };
  const before = tokens.some(isPrereleaseToken);
  return { numbers, rank: before ? -1 : 1, identifiers, isPrerelease: before };
}

/** `_rc1-final` as rc, 1, final: split at separators, and between letters and digits. */
function tokensOf(suffix: string): string[] {
  return suffix.toLowerCase().match(/[a-z]+|\d+/g) ?? [];
}

function expand(token: string, next: string | undefined): string {
  return next !== undefined && /^\d/.test(next) ? (SHORT_PRERELEASES[token] ?? token) : token;
}

function isPrereleaseToken(token: string, index: number, tokens: readonly string[]): boolean {
  return PRERELEASE_WORDS.has(expand(token, tokens[index + 1]));
}

function compareIdentifiers(left: readonly string[], right: readonly string[]): number {
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [l, r] = [left[i], right[i]];
    if (l === undefined || r === undefined) return left.length - right.length;
    const difference = semver.compareIdentifiers(l, r);
    if (difference !== 0) return difference;
  }
  return 0;
}

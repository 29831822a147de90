/**
 * Which setting would follow a release that the rules pass over: found by trying, never by
 * guessing. Pure.
 */
import type { Policy } from './model.ts';

/** The rules that say which releases count. */
export type Rules = Pick<Policy, 'versioning' | 'tagPrefix' | 'prerelease' | 'range'>;
type Change = { text: string; rules: Partial<Rules> };

/** A separator before the version, as in `app-a/v1.2.3`, `n8n@2.3.5` or `release-5.1.4`. */
const SEPARATED = /[^0-9A-Za-z]$/;

/**
 * The fewest settings, as `NAME=value`, under which `allows` accepts the tag; null where there are
 * none. One is preferred to two, and of several the one that changes least about what else is
 * followed.
 */
export function settingsThatAllow(
  tag: string,
  rules: Rules,
  allows: (rules: Rules) => boolean,
): string[] | null {
  const loose: Change[] =
    rules.versioning === 'loose'
      ? []
      : [{ text: 'UPDATE_VERSIONING=loose', rules: { versioning: 'loose' } }];
  const prefixes = prefixesOf(tag)
    .filter((prefix) => prefix !== rules.tagPrefix)
    .map((tagPrefix): Change => ({ text: `UPDATE_TAG_PREFIX=${tagPrefix}`, rules: { tagPrefix } }));
  const prerelease: Change[] = rules.prerelease
    ? []
    : [{ text: 'UPDATE_PRERELEASE=on', rules: { prerelease: true } }];
  const range: Change[] =
    rules.range === '*' ? [] : [{ text: 'UPDATE_RANGE=*', rules: { range: '*' } }];
  const combinations = combine([loose, prefixes, prerelease, range]).sort(
    (a, b) => a.length - b.length,
  );
  const found = combinations.find((changes) =>
    allows(Object.assign({}, rules, ...changes.map((change) => change.rules))),
  );
  return found?.map(({ text }) => text) ?? null;
}

/** Every way to take one or none of each group, in the groups' order. */
function combine(groups: readonly (readonly Change[])[]): Change[][] {
  const [first, ...others] = groups;
  if (first === undefined) return [[]];
  const rest = combine(others);
  return [...first.flatMap((change) => rest.map((changes) => [change, ...changes])), ...rest];
}

/** The name of a commit, which no number in it makes a version: `main-a1b2c3d`. */
const COMMIT = /(?<![0-9A-Za-z])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d[0-9a-f]*$)[0-9a-f]{7,40}$/;

/**
 * What may stand before the version, most likely first. It ends where a digit begins, and never
 * inside of what looks like a version: `release-5.` would read `release-5.1.4` as 1.4, and follow
 * no other.
 */
export function prefixesOf(tag: string): string[] {
  const version = /\d+[._]\d/.exec(tag) ?? /\d+-\d/.exec(tag);
  if (version === null && COMMIT.test(tag)) return [];
  const ends = [...tag.matchAll(/(?<!\d)\d/g)]
    .map(({ index }) => index)
    .filter((index) => index > 0 && index <= (version?.index ?? tag.length));
  const prefixes = ends.map((end) => withoutV(tag.slice(0, end))).filter((prefix) => prefix !== '');
  const rank = (prefix: string) => (SEPARATED.test(prefix) ? 0 : 1);
  // `v7-beta` would read `v7-beta2` as 2, and never follow version 8.
  const withoutNumber = prefixes.filter((prefix) => !/\d/.test(prefix));
  const isPart = (prefix: string) =>
    version === null && /\d/.test(prefix) && (withoutNumber.length > 0 || /^v?\d/i.test(prefix));
  return [...new Set(prefixes)]
    .filter((prefix) => !isPart(prefix))
    .sort((a, b) => rank(a) - rank(b) || b.length - a.length);
}

/** The `v` of `app-a/v1.2.3` belongs to the version; that of `rev12` does not. */
function withoutV(prefix: string): string {
  return prefix.replace(/(?<![A-Za-z])[vV]$/, '');
}

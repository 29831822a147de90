/**
 * Which release to follow, out of what GitHub answered. Pure: the same answer and rules give the
 * same choice.
 */

import { oldEnoughAt } from './age.ts';
import { type AssetPattern, chooseAsset, chooseChecksums, chooseSignatures } from './asset.ts';
import { formatOfName } from './asset-format.ts';
import type { Asset, Policy, Release } from './model.ts';
import { rolloutDueAt } from './rollout.ts';
import { compareVersions, isPrerelease, satisfies, versionFromTag } from './version.ts';
import { type Rules, settingsThatAllow } from './which-setting.ts';

/** Releases lag behind their assets by up to 20 minutes; after a day they won't come any more. */
export const ASSETS_AWAITED_FOR_MS = 24 * 60 * 60 * 1000;

/**
 * A release as published, before an asset is chosen. `uploaded` is false while GitHub still
 * receives the asset.
 */
export type PublishedRelease = {
  tag: string;
  draft: boolean;
  prerelease: boolean;
  publishedAt: string | null;
  /** A line of its notes says so. */
  urgent: boolean;
  /** See `Release`. */
  indexKey?: string;
  assets: (Asset & { uploaded: boolean })[];
};

export type ReleaseChoice =
  | { kind: 'release'; release: Release }
  /**
   * Nothing that was published is allowed. `tag`: the release that the message explains; null where
   * nothing was published.
   */
  | { kind: 'none'; tag: string | null; code: string; message: string }
  | { kind: 'assetsAwaited'; tag: string; version: string; code: string; message: string }
  | { kind: 'refused'; tag: string; version: string; code: string; message: string };

/**
 * Which address answers the question: `latest` leaves out drafts and prereleases, and follows the
 * maintainer's word.
 */
export function whereToLook(
  policy: Policy,
): { kind: 'latest' } | { kind: 'list' } | { kind: 'tag'; tag: string } {
  if (policy.tag !== null) return { kind: 'tag', tag: policy.tag };
  const isByRules = policy.tagPrefix !== '' || policy.prerelease || policy.range !== '*';
  // The newest may not be the one whose time has come.
  const isByTime = policy.minAgeMs > 0 || policy.rollout !== null;
  return { kind: isByRules || isByTime ? 'list' : 'latest' };
}

/** The asset by which a release calls itself urgent, where its notes don't. */
const URGENT_ASSET = /^urgent(?:\.[a-z]{1,8})?$/i;

export type ChoiceContext = {
  policy: Policy;
  pattern: AssetPattern | null;
  nowMs: number;
  running: string | null;
  /**
   * Whether `published` is all there is: the list is read to a bound. True unless said otherwise.
   */
  isComplete?: boolean;
};

/**
 * The newest release that the rules allow, with its asset for this platform. `nowMs` decides how
 * long assets are awaited, and with a minimum age which release is old enough. `running` is the
 * version that one has to be newer than; null for none. The order of `published` does not matter.
 */
export function chooseRelease(
  published: readonly PublishedRelease[],
  context: ChoiceContext,
): ReleaseChoice {
  const { policy, pattern, nowMs, running } = context;
  const allowed = published
    .map((release) => ({ release, version: versionUnder(release, policy) }))
    .filter((entry): entry is Allowed => entry.version !== null)
    .sort(
      (a, b) =>
        compareVersions(b.version, a.version, policy.versioning) ||
        compareAge(b.release, a.release),
    );
  const chosen = firstDue(allowed, policy, nowMs, running) ?? allowed[0];
  if (!chosen) return nothingAllowed(published, policy, context.isComplete ?? true);
  return withAsset(chosen.release, chosen.version, policy, pattern, nowMs);
}

/**
 * Between versions that compare as equal the one published last is taken, so that the answer's
 * order decides nothing.
 */
function compareAge(a: PublishedRelease, b: PublishedRelease): number {
  return (
    (a.publishedAt ?? '').localeCompare(b.publishedAt ?? '') ||
    (a.tag < b.tag ? -1 : Number(a.tag !== b.tag))
  );
}

/**
 * Whether the tag of what GitHub marks as latest names a version. One that does not is told,
 * whatever else was published.
 */
export function isLatestReadable(
  latest: PublishedRelease,
  { versioning, tagPrefix }: Policy,
): boolean {
  return versionFromTag(latest.tag, versioning, tagPrefix) !== null;
}

/**
 * The releases that may be newer than what is marked as latest. Versions by the year and others are
 * not compared: a project that went from 2021.3.0 to 1.0.0 is followed by what it marks as latest.
 */
export function rivalsOf(
  latest: PublishedRelease,
  published: readonly PublishedRelease[],
  policy: Policy,
): PublishedRelease[] {
  const version = versionUnder(latest, policy);
  if (version === null) return [...published];
  const isByYear = (text: string) => Number.parseInt(text, 10) >= MIN_YEAR;
  return published.filter((release) => {
    const other = versionUnder(release, policy);
    return (
      other !== null &&
      isByYear(other) === isByYear(version) &&
      compareVersions(other, version, policy.versioning) > 0
    );
  });
}
/** A first number from here on is a year, or a date. */
const MIN_YEAR = 1900;

type Allowed = { release: PublishedRelease; version: string };

/**
 * Starvation: where every release is followed by the next before it is old enough, or has its turn,
 * the newest would never be run. So it is the newest of those that may be, else the one that will
 * be first.
 */
function firstDue(
  allowed: readonly Allowed[],
  policy: Policy,
  nowMs: number,
  running: string | null,
): Allowed | null {
  if (policy.minAgeMs === 0 && policy.rollout === null) return null;
  const newer = allowed.filter(
    ({ version }) => running === null || compareVersions(version, running, policy.versioning) > 0,
  );
  const hurries = ({ release }: Allowed) => policy.urgentAllowed && isUrgent(release);
  const due = newer.find((entry) => hurries(entry) || dueAt(entry, policy) <= nowMs);
  const [first] = newer.toSorted((a, b) => dueAt(a, policy) - dueAt(b, policy));
  return due ?? first ?? null;
}

/**
 * For sources that tell the tags first, and a release by a question of its own: the tags that the
 * rules allow, the newest version first.
 */
export function allowedTags(tags: readonly string[], policy: Policy): string[] {
  const rest = { draft: false, prerelease: false, publishedAt: null, urgent: false, assets: [] };
  return tags
    .map((tag) => ({ tag, version: versionUnder({ tag, ...rest }, policy) }))
    .filter((entry): entry is { tag: string; version: string } => entry.version !== null)
    .sort(
      (a, b) =>
        compareVersions(b.version, a.version, policy.versioning) || (a.tag < b.tag ? 1 : -1),
    )
    .map(({ tag }) => tag);
}

/** Whether it may be run now, as far as its age and its turn go: no older one is chosen then. */
export function isDue(release: PublishedRelease, policy: Policy, nowMs: number): boolean {
  const version = versionUnder(release, policy);
  return (
    version !== null &&
    ((policy.urgentAllowed && isUrgent(release)) || dueAt({ release, version }, policy) <= nowMs)
  );
}

/** Wall clock; infinite where it is not known when the release was published. */
function dueAt({ release, version }: Allowed, policy: Policy): number {
  const oldAt = policy.minAgeMs === 0 ? 0 : oldEnoughAt(release, policy);
  const { publishedAt } = release;
  const turnAt =
    policy.rollout === null ? 0 : rolloutDueAt({ publishedAt, version }, policy.rollout);
  return Math.max(oldAt ?? Infinity, turnAt ?? Infinity);
}

function isUrgent({ urgent, assets }: PublishedRelease): boolean {
  return urgent || assets.some(({ name, uploaded }) => uploaded && URGENT_ASSET.test(name));
}

/** The operator named this very tag: rules about newness do not apply, those about the asset do. */
export function chooseTagged(
  release: PublishedRelease,
  policy: Policy,
  pattern: AssetPattern | null,
  nowMs: number,
): ReleaseChoice {
  return withAsset(
    release,
    versionFromTag(release.tag, policy.versioning, policy.tagPrefix) ?? release.tag,
    policy,
    pattern,
    nowMs,
  );
}

/** The version of a release that the rules allow; null for one that they don't. */
function versionUnder(
  release: PublishedRelease,
  policy: Policy | (Rules & { tag: null }),
): string | null {
  if (release.draft) return null;
  const version = versionFromTag(release.tag, policy.versioning, policy.tagPrefix);
  // An exact tag may be a moving one (`nightly`), which names no version: the tag itself then
  // stands for it.
  if (policy.tag !== null) return release.tag === policy.tag ? (version ?? release.tag) : null;
  if (version === null) return null;
  if (!policy.prerelease && (release.prerelease || isPrerelease(version, policy.versioning)))
    return null;
  return satisfies(version, policy.range, policy.versioning) ? version : null;
}

/**
 * Says which setting would follow what was published. Of several releases it explains the one that
 * needs the fewest.
 */
function nothingAllowed(
  published: readonly PublishedRelease[],
  policy: Policy,
  isComplete: boolean,
): ReleaseChoice {
  const seen = published.filter(({ draft }) => !draft).toSorted((a, b) => compareAge(b, a));
  const explained = seen
    .slice(0, MAX_EXPLAINED)
    .map((release) => ({ release, needs: settingsFor(release, policy) }))
    .sort(
      (a, b) =>
        (a.needs?.length ?? Infinity) - (b.needs?.length ?? Infinity) ||
        Number(a.release.prerelease) - Number(b.release.prerelease),
    );
  const [first] = explained;
  if (first === undefined)
    return {
      kind: 'none',
      tag: null,
      code: 'NOT_FOUND',
      message: `${policy.repository} has published no release yet`,
    };
  const { release, needs } = first;
  const { tag } = release;
  const isUnreadable = versionFromTag(tag, policy.versioning, policy.tagPrefix) === null;
  const reason = isUnreadable ? unreadable(tag, policy) : excluded(release, policy);
  const remedy =
    needs === null
      ? `No setting reads it as a version; UPDATE_TAG=${tag} follows exactly this tag`
      : `${needs.join(' and ')} would follow it`;
  const isPrereleaseOnly = needs?.length === 1 && needs[0]?.startsWith('UPDATE_PRERELEASE');
  const code = !isComplete
    ? 'LIST_TOO_LONG'
    : isUnreadable && seen.length === 1
      ? 'TAG_UNREADABLE'
      : isPrereleaseOnly
        ? 'PRERELEASE_ONLY'
        : 'NONE_ALLOWED';
  return {
    kind: 'none',
    tag,
    code,
    message: `${subject(policy, seen.length, isComplete)}: ${reason}. ${remedy}`,
  };
}
/** Releases that are tried with other settings; the newest tell enough. */
const MAX_EXPLAINED = 50;

/** The settings that would follow this release, by trying each; null where none does. */
export function settingsFor(release: PublishedRelease, policy: Policy): string[] | null {
  return settingsThatAllow(
    release.tag,
    policy,
    (rules) => versionUnder(release, { ...rules, tag: null }) !== null,
  );
}

function subject({ repository }: Policy, count: number, isComplete: boolean): string {
  if (!isComplete)
    return `none of the first ${count} releases of ${repository} is allowed by the settings, and no more are read`;
  return count === 1
    ? `the release of ${repository} is not followed`
    : `none of the ${count} releases of ${repository} is allowed by the settings`;
}

function unreadable(tag: string, { versioning, tagPrefix }: Policy): string {
  if (!tag.startsWith(tagPrefix))
    return `tag ${tag} does not begin with UPDATE_TAG_PREFIX=${tagPrefix}`;
  return `tag ${tag} is not a version under UPDATE_VERSIONING=${versioning}`;
}

function excluded(
  release: PublishedRelease,
  { versioning, tagPrefix, prerelease, range }: Policy,
): string {
  const version = versionFromTag(release.tag, versioning, tagPrefix) ?? '';
  if (!prerelease && (release.prerelease || isPrerelease(version, versioning)))
    return `${release.tag} is a prerelease`;
  return `${release.tag} is outside of UPDATE_RANGE=${range}`;
}

function withAsset(
  release: PublishedRelease,
  version: string,
  policy: Policy,
  pattern: AssetPattern | null,
  nowMs: number,
): ReleaseChoice {
  const uploaded = release.assets.filter((asset) => asset.uploaded);
  const choice = chooseAsset(
    uploaded,
    pattern,
    policy.platform,
    policy.repository.split('/').at(-1),
  );
  const named = { tag: release.tag, version };
  switch (choice.kind) {
    case 'one': {
      const asset = withoutUploaded(choice.asset);
      if (formatOfName(asset.name).format === 'unsupported')
        return { kind: 'refused', ...named, ...unsupported(release.tag, [asset.name]) };
      const sums = chooseChecksums(uploaded, asset.name);
      const checksums = sums === null ? null : withoutUploaded(sums);
      if (policy.requireDigest && asset.digest === null && checksums === null) {
        const message = `release ${release.tag} has no digest for ${asset.name} and no checksums file, so it can't be verified. Publish a checksums.txt with it (on GitHub it is enough to upload the asset again; \`self-update index\` writes sums for a directory), or set UPDATE_VERIFY=none`;
        return { kind: 'refused', ...named, code: 'DIGEST_MISSING', message };
      }
      const signatures = chooseSignatures(uploaded, asset.name, checksums?.name ?? null).map(
        ({ asset, ...rest }) => ({
          ...rest,
          asset: withoutUploaded(asset),
        }),
      );
      const isVouchedFor = release.indexKey !== undefined && asset.digest !== null;
      if (
        policy.requireMinisign &&
        !isVouchedFor &&
        !signatures.some(({ kind }) => kind === 'minisign')
      ) {
        const message = `release ${release.tag} has no minisign signature of ${asset.name} or its checksums file. ${isYoung(release, nowMs) ? 'It may still be uploading; else publish' : 'Publish'} ${asset.name}.minisig`;
        return {
          kind: isYoung(release, nowMs) ? 'assetsAwaited' : 'refused',
          ...named,
          code: 'SIGNATURE_MISSING',
          message,
        };
      }
      const { publishedAt, prerelease } = release;
      const urgent = isUrgent(release);
      return {
        kind: 'release',
        release: {
          repository: policy.repository,
          ...named,
          publishedAt,
          prerelease,
          asset,
          checksums,
          signatures,
          urgent,
          ...(release.indexKey === undefined ? {} : { indexKey: release.indexKey }),
          ...(policy.source === undefined ? {} : { source: policy.source.url }),
          origin: 'github',
        },
      };
    }
    case 'several': {
      const message = `release ${release.tag} has several assets for ${choice.wanted}: ${list(choice.names)}. Set UPDATE_ASSET to a pattern that matches exactly one`;
      return { kind: 'refused', ...named, code: 'ASSET_AMBIGUOUS', message };
    }
    case 'none': {
      if (choice.unusable.length > 0)
        return { kind: 'refused', ...named, ...unsupported(release.tag, choice.unusable) };
      const has = choice.names.length === 0 ? 'it has none' : `it has ${list(choice.names)}`;
      const young = isYoung(release, nowMs);
      const remedy = `one, or ${pattern === null ? 'set' : 'correct'} UPDATE_ASSET`;
      const message = `release ${release.tag} has no asset for ${choice.wanted} (${has}). ${young ? 'It may still be uploading; else publish' : 'Publish'} ${remedy}`;
      return {
        kind: young ? 'assetsAwaited' : 'refused',
        ...named,
        code: 'ASSET_MISSING',
        message,
      };
    }
    default:
      return choice satisfies never;
  }
}

/**
 * More uploads may follow, and the next check finds them; but nobody should wait a day for what
 * will not come.
 */
function unsupported(tag: string, names: readonly string[]): { code: string; message: string } {
  const message = `release ${tag} can't be installed: its asset is ${list(names)}, of a format that this program can't unpack. Publish a .tar.gz, a .zip or the executable itself`;
  return { code: 'ASSET_FORMAT_UNSUPPORTED', message };
}

function isYoung({ publishedAt }: PublishedRelease, nowMs: number): boolean {
  return publishedAt !== null && nowMs - Date.parse(publishedAt) < ASSETS_AWAITED_FOR_MS;
}

function withoutUploaded({ id, name, url, browserUrl, sizeBytes, digest }: Asset): Asset {
  return { id, name, url, browserUrl, sizeBytes, digest };
}

/** At most ten names: a release may carry hundreds. */
function list(names: readonly string[]): string {
  return (
    names.slice(0, 10).join(', ') + (names.length > 10 ? `, and ${names.length - 10} more` : '')
  );
}

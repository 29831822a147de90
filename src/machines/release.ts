/** Which release to follow, out of what GitHub answered. Pure: the same answer and rules give the same choice. */

import { isOldEnough, oldEnoughAt } from './age.ts';
import { type AssetPattern, chooseAsset, chooseChecksums, chooseSignatures } from './asset.ts';
import { formatOfName } from './asset-format.ts';
import type { Asset, Policy, Release } from './model.ts';
import { compareVersions, isPrerelease, satisfies, versionFromTag } from './version.ts';

/** Releases lag behind their assets by up to 20 minutes; after a day they won't come any more. */
export const ASSETS_AWAITED_FOR_MS = 24 * 60 * 60 * 1000;

/** A release as published, before an asset is chosen. `uploaded` is false while GitHub still receives the asset. */
export type PublishedRelease = {
  tag: string;
  draft: boolean;
  prerelease: boolean;
  publishedAt: string | null;
  /** A line of its notes says so. */
  urgent: boolean;
  assets: (Asset & { uploaded: boolean })[];
};

export type ReleaseChoice =
  | { kind: 'release'; release: Release }
  | { kind: 'none'; message: string }
  | { kind: 'assetsAwaited'; tag: string; version: string; code: string; message: string }
  | { kind: 'refused'; tag: string; version: string; code: string; message: string };

/** Which address answers the question: `latest` leaves out drafts and prereleases, and follows the maintainer's word. */
export function whereToLook(policy: Policy): { kind: 'latest' } | { kind: 'list' } | { kind: 'tag'; tag: string } {
  if (policy.tag !== null) return { kind: 'tag', tag: policy.tag };
  return policy.tagPrefix !== '' || policy.prerelease || policy.range !== '*' || policy.minAgeMs > 0 ? { kind: 'list' } : { kind: 'latest' };
}

/** The asset by which a release calls itself urgent, where its notes don't. */
const URGENT_ASSET = /^urgent(?:\.[a-z]{1,8})?$/i;

export type ChoiceContext = { policy: Policy; pattern: AssetPattern | null; nowMs: number; running: string | null };

/**
 * The newest release that the rules allow, with its asset for this platform. `nowMs` decides how long assets are awaited,
 * and with a minimum age which release is old enough. `running` is the version that one has to be newer than; null for none.
 */
export function chooseRelease(published: readonly PublishedRelease[], { policy, pattern, nowMs, running }: ChoiceContext): ReleaseChoice {
  const allowed = published
    .map((release) => ({ release, version: versionOf(release, policy) }))
    .filter((entry): entry is { release: PublishedRelease; version: string } => entry.version !== null)
    .sort((a, b) => compareVersions(b.version, a.version, policy.versioning));
  const chosen = oldEnough(allowed, policy, nowMs, running) ?? allowed[0];
  if (!chosen) return { kind: 'none', message: nothingAllowed(published, policy) };
  return withAsset(chosen.release, chosen.version, policy, pattern, nowMs);
}

type Allowed = { release: PublishedRelease; version: string };

/**
 * Starvation: where every release is followed by the next before it is old enough, the newest would never be run. So it is the
 * newest of those old enough, else the one that will be first.
 */
function oldEnough(allowed: readonly Allowed[], policy: Policy, nowMs: number, running: string | null): Allowed | null {
  if (policy.minAgeMs === 0) return null;
  const newer = allowed.filter(({ version }) => running === null || compareVersions(version, running, policy.versioning) > 0);
  const hurries = ({ release }: Allowed) => policy.urgentAllowed && isUrgent(release);
  const old = newer.find((entry) => hurries(entry) || isOldEnough(entry.release, policy, nowMs));
  const [first] = newer.toSorted((a, b) => (oldEnoughAt(a.release, policy) ?? Infinity) - (oldEnoughAt(b.release, policy) ?? Infinity));
  return old ?? first ?? null;
}

function isUrgent({ urgent, assets }: PublishedRelease): boolean {
  return urgent || assets.some(({ name, uploaded }) => uploaded && URGENT_ASSET.test(name));
}

/** The operator named this very tag: rules about newness do not apply, those about the asset do. */
export function chooseTagged(release: PublishedRelease, policy: Policy, pattern: AssetPattern | null, nowMs: number): ReleaseChoice {
  return withAsset(release, versionFromTag(release.tag, policy.versioning, policy.tagPrefix) ?? release.tag, policy, pattern, nowMs);
}

function versionOf(release: PublishedRelease, policy: Policy): string | null {
  if (release.draft) return null;
  // An exact tag may be a moving one (`nightly`), which names no version: the tag itself then stands for it.
  if (policy.tag !== null) return release.tag === policy.tag ? (versionFromTag(release.tag, policy.versioning, policy.tagPrefix) ?? release.tag) : null;
  const version = versionFromTag(release.tag, policy.versioning, policy.tagPrefix);
  if (version === null) return null;
  if (!policy.prerelease && (release.prerelease || isPrerelease(version))) return null;
  return satisfies(version, policy.range, policy.versioning) ? version : null;
}

function nothingAllowed(published: readonly PublishedRelease[], policy: Policy): string {
  const tags = published.map((release) => release.tag);
  if (tags.length === 0) return `${policy.repository} has published no release yet`;
  const looked = tags.slice(0, 5).join(', ') + (tags.length > 5 ? ', …' : '');
  return `no release of ${policy.repository} fits the rules (seen: ${looked}); see UPDATE_RANGE, UPDATE_PRERELEASE, UPDATE_TAG_PREFIX, UPDATE_VERSIONING`;
}

function withAsset(release: PublishedRelease, version: string, policy: Policy, pattern: AssetPattern | null, nowMs: number): ReleaseChoice {
  const uploaded = release.assets.filter((asset) => asset.uploaded);
  const choice = chooseAsset(uploaded, pattern, policy.platform, policy.repository.split('/').at(-1));
  const named = { tag: release.tag, version };
  switch (choice.kind) {
    case 'one': {
      const asset = withoutUploaded(choice.asset);
      if (formatOfName(asset.name).format === 'unsupported') return { kind: 'refused', ...named, ...unsupported(release.tag, [asset.name]) };
      const sums = chooseChecksums(uploaded, asset.name);
      const checksums = sums === null ? null : withoutUploaded(sums);
      if (policy.requireDigest && asset.digest === null && checksums === null) {
        const message = `release ${release.tag} has no digest for ${asset.name} and no checksums file, so it can't be verified. Upload the asset again, add a checksums.txt, or set UPDATE_VERIFY=none`;
        return { kind: 'refused', ...named, code: 'DIGEST_MISSING', message };
      }
      const signatures = chooseSignatures(uploaded, asset.name, checksums?.name ?? null).map(({ asset, ...rest }) => ({
        ...rest,
        asset: withoutUploaded(asset),
      }));
      if (policy.requireMinisign && !signatures.some(({ kind }) => kind === 'minisign')) {
        const message = `release ${release.tag} has no minisign signature of ${asset.name} or its checksums file. ${isYoung(release, nowMs) ? 'It may still be uploading; else publish' : 'Publish'} ${asset.name}.minisig`;
        return { kind: isYoung(release, nowMs) ? 'assetsAwaited' : 'refused', ...named, code: 'SIGNATURE_MISSING', message };
      }
      const { publishedAt, prerelease } = release;
      const urgent = isUrgent(release);
      return {
        kind: 'release',
        release: { repository: policy.repository, ...named, publishedAt, prerelease, asset, checksums, signatures, urgent, origin: 'github' },
      };
    }
    case 'several': {
      const message = `release ${release.tag} has several assets for ${choice.wanted}: ${list(choice.names)}. Set UPDATE_ASSET to a pattern that fits exactly one`;
      return { kind: 'refused', ...named, code: 'ASSET_AMBIGUOUS', message };
    }
    case 'none': {
      if (choice.unusable.length > 0) return { kind: 'refused', ...named, ...unsupported(release.tag, choice.unusable) };
      const has = choice.names.length === 0 ? 'it has none' : `it has ${list(choice.names)}`;
      const young = isYoung(release, nowMs);
      const message = `release ${release.tag} has no asset for ${choice.wanted} (${has}). ${young ? 'It may still be uploading; else publish one or set UPDATE_ASSET' : 'Publish one or set UPDATE_ASSET'}`;
      return { kind: young ? 'assetsAwaited' : 'refused', ...named, code: 'ASSET_MISSING', message };
    }
    default:
      return choice satisfies never;
  }
}

/** More uploads may follow, and the next check finds them; but nobody should wait a day for what will not come. */
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
  return names.slice(0, 10).join(', ') + (names.length > 10 ? `, and ${names.length - 10} more` : '');
}

/**
 * Whether a release takes the place of what runs. This is asked here, and nowhere else: by the
 * machine when a release was found, and by `self-update check`, which only tells. Which of the
 * releases on GitHub is found, release.ts decides by the rules alone. Pure.
 */
import type { Context } from './context.ts';
import type { EffectInputs } from './effects.ts';
import type { StampedFact } from './facts.ts';
import {
  compareBytes,
  fingerprint,
  type InstalledVersion,
  type Policy,
  type Release,
} from './model.ts';
import { fallback, isDenied } from './rules.ts';
import { compareVersions, satisfies, versionFromTag } from './version.ts';

/**
 * What is asked of GitHub now: for the operator's version, else for one that is newer than what
 * runs.
 */
export function checkInput(context: Context): EffectInputs['check'] {
  const { policy, request, replacedBy } = context;
  return {
    policy,
    request,
    running: fallback(context)?.version ?? null,
    fresh: replacedBy !== null,
  };
}

/** How the end of an app is told, and for how long that holds, whatever it is called next. */
const CRASHES = new Set(['CRASH_LOOP', 'TREE_MISSING', 'ADDRESS_HELD']);
const CRASH_TOLD_FOR_MS = 60 * 1000;

/** What is to be done about a release by itself, and if nothing, why. */
export type Choice =
  | 'follow'
  | 'notNewer'
  | 'belowFloor'
  | 'replaced'
  | 'denied'
  | 'held'
  | 'paused';

/** The order is the one in which it is told. */
export function choiceOn(context: Context, release: Release): Choice {
  const { current, hold, paused, policy } = context;
  const hasMoved = current !== null && hasTagMoved(current, release, policy);
  const found = newness(context, release.version, release.tag);
  if (found !== 'news' && !hasMoved) return isReplacement(context, release) ? 'replaced' : found;
  if (isDenied(context, release.version, fingerprint(release))) return 'denied';
  if (hold !== null) return 'held';
  return paused ? 'paused' : 'follow';
}

/**
 * Whether a found release is to be fetched now. The operator's own request is never questioned, but
 * by his environment.
 */
export function isWanted(context: Context, release: Release, at: number): boolean {
  if (context.request !== null) return !context.policy.denied.includes(release.version);
  return (
    !context.candidate?.byOperator &&
    !waitsForItsTime(context, release, at) &&
    choiceOn(context, release) === 'follow'
  );
}

/** The release at hand is asked about, or tried again, when its time comes. */
function waitsForItsTime(
  { app, candidate, retryAt }: Context,
  release: Release,
  at: number,
): boolean {
  if (candidate === null || fingerprint(candidate.release) !== fingerprint(release)) return false;
  // A boot asks anew: what it waited for may be long over, or have been noted while the clock was
  // wrong.
  if (candidate.deferral !== null) return app === 'up';
  return retryAt !== null && at < retryAt;
}

/**
 * Whether a version is one that may replace what runs: newer, and not below the highest that was
 * ever healthy.
 */
export function isNews(context: Context, version: string, tag: string): boolean {
  return newness(context, version, tag) === 'news';
}

function newness(
  context: Context,
  version: string,
  tag: string,
): 'news' | 'notNewer' | 'belowFloor' {
  const { policy } = context;
  const current = fallback(context);
  if (current === null || current.repository !== policy.repository) return 'news';
  if (policy.tag !== null) return tag !== current.tag ? 'news' : 'notNewer';
  if (compareVersions(version, current.version, policy.versioning) <= 0) return 'notNewer';
  return isBelowFloor(context, version) ? 'belowFloor' : 'news';
}

/** Rollback attack: an older release that is made "latest" again is never installed by itself. */
function isBelowFloor(context: Context, version: string): boolean {
  const floor = floorOf(context);
  return floor !== null && compareVersions(version, floor, context.policy.versioning) < 0;
}

/**
 * The highest version that was ever healthy. Fast-forward attack: one 999.0.0 would shut out all
 * that come after it, so the operator's word against it (`deny`, UPDATE_DENY, UPDATE_RANGE) takes
 * it away. A denial of our own does not: an app can bring that about.
 */
function floorOf({ denied, highestHealthy, policy }: Context): string | null {
  if (
    highestHealthy === null ||
    policy.denied.includes(highestHealthy) ||
    !satisfies(highestHealthy, policy.range, policy.versioning)
  )
    return null;
  // By its code: our own denial of an image's version has no fingerprint either.
  return denied.some(
    ({ version, code }) => version === highestHealthy && code === 'DENIED_BY_OPERATOR',
  )
    ? null
    : highestHealthy;
}

/**
 * Whether the tag that the operator named stands for other bytes now. One that names no version is
 * expected to move: where its bytes can't be compared, since the source is another one, it has.
 */
function hasTagMoved(
  current: InstalledVersion,
  release: Release,
  { tag, versioning, tagPrefix }: Policy,
): boolean {
  if (tag === null) return false;
  const bytes = compareBytes(current, release);
  return bytes === 'other' || (bytes === 'unknown' && !versionFromTag(tag, versioning, tagPrefix));
}

/**
 * Whether the version that runs has other bytes now, under its very tag or under one that compares
 * as equal (other build metadata), and that was not told yet. A moving tag is followed instead.
 */
export function isReplaced(context: Context, release: Release): boolean {
  return isReplacement(context, release) && context.replacedBy !== fingerprint(release);
}

function isReplacement({ current, policy, hold }: Context, release: Release): boolean {
  if (
    policy.tag !== null ||
    hold !== null ||
    current === null ||
    current.repository !== release.repository
  )
    return false;
  const isSame =
    current.tag === release.tag ||
    compareVersions(release.version, current.version, policy.versioning) === 0;
  return isSame && compareBytes(current, release) === 'other';
}

/**
 * Whether a found release is the candidate with other addresses: it was uploaded again, and is
 * downloaded from there.
 */
export function isCandidateElsewhere({ candidate }: Context, release: Release): boolean {
  if (candidate === null || fingerprint(candidate.release) !== fingerprint(release)) return false;
  return JSON.stringify(candidate.release) !== JSON.stringify(release);
}

/**
 * Whether the operator asked for the very version that runs: it is held as it is, without a
 * restart.
 */
export function runsAlready({ app, current, request }: Context, release: Release): boolean {
  if (
    request === null ||
    app !== 'up' ||
    current === null ||
    current.repository !== release.repository
  )
    return false;
  return release.origin === 'baked'
    ? current.path === release.asset.url
    : current.fingerprint === fingerprint(release);
}

/**
 * A refusal or a wait is a fact once, not at every poll. Endless facts: what it says may be another
 * text each time, which a server chooses; the newest is shown by what polling noted.
 */
export function isNewsworthy(context: Context, fact: StampedFact): boolean {
  const { awaiting, refused, lastError } = context;
  if (fact.type === 'appCrashLooped') {
    if (lastError === null || (context.current?.version ?? null) !== fact.version) return true;
    if (fact.code === 'ADDRESS_HELD')
      return lastError.code !== fact.code || lastError.message !== fact.message;
    // An app that ends can end in another way each time.
    const isTold =
      CRASHES.has(lastError.code) && Math.abs(fact.at - lastError.at) < CRASH_TOLD_FOR_MS;
    return lastError.code !== fact.code && !isTold;
  }
  if (fact.type !== 'assetsAwaited' && fact.type !== 'releaseRefused') return false;
  const known = fact.type === 'assetsAwaited' ? awaiting : refused;
  const isKnown = known?.tag === fact.tag && known.code === fact.code;
  return (fact.version === undefined || isNews(context, fact.version, fact.tag)) && !isKnown;
}

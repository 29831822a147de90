/**
 * `check`: asks GitHub, chooses by the machine's rules, and keeps what polling learns in one note
 * beside the facts.
 */
import path from 'node:path';
import type { AssetPattern } from '../machines/asset.ts';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { InstalledVersion, Policy, Release } from '../machines/model.ts';
import {
  isLimitInForce,
  MAX_LIMIT_PAUSE_MS,
  pollPauseMs,
  pollSpread,
  sharedPauseMs,
} from '../machines/pacing.ts';
import { isLimitOf, type PollNote } from '../machines/poll-note.ts';
import {
  chooseRelease,
  chooseTagged,
  isLatestReadable,
  type PublishedRelease,
  type ReleaseChoice,
  rivalsOf,
  whereToLook,
} from '../machines/release.ts';
import { versionFromTag } from '../machines/version.ts';
import { Fault, toFault } from '../support/fault.ts';
import { withFirstSeen } from './first-seen.ts';
import { openLocal } from './local-file.ts';
import { piecesFrom, sumOfPieces } from './pieces.ts';
import { type AssetSource, RateLimited, type ReleaseSource } from './sources/source.ts';
import { keptTrees, type Places, readBaked } from './trees.ts';

/**
 * A new release with an old commit is not always marked as latest: the list is read again after
 * this.
 */
const COMPARED_FOR_MS = 6 * 60 * 60 * 1000;
/**
 * Requests for the list: beside the latest release, and where only the list answers. Without a
 * token GitHub allows 60 an hour.
 */
const MAX_REQUESTS_BESIDE_LATEST = 3;
const MAX_REQUESTS = 30;

export type CheckDependencies = {
  source: ReleaseSource & Pick<AssetSource, 'sizeOf'>;
  places: Places;
  note: { read(): PollNote; write(note: PollNote): void };
  pollIntervalMs: number;
  now: () => number;
  random: () => number;
  /** Globbing is the platform's. */
  assetPattern: AssetPattern | null;
};

/** Never rejects for what a server does: every outcome is a fact. */
export async function check(
  { policy, request, running, fresh }: EffectInputs['check'],
  signal: AbortSignal,
  deps: CheckDependencies,
): Promise<Fact> {
  if (request?.file)
    return { type: 'releaseFound', release: await localRelease(request.file, policy, signal) };
  if (request?.tag && !fresh) {
    const kept = await findLocally(request.tag, policy, deps.places);
    if (kept) return { type: 'releaseFound', release: kept };
  }
  const before = deps.note.read();
  const startedAt = deps.now();
  if (isLimitInForce(before.limitedUntilAt, startedAt) && isLimitOf(before, deps.source.identity)) {
    return {
      type: 'checkFailed',
      code: 'RATE_LIMITED',
      message: `the limit that was met is in force until ${new Date(before.limitedUntilAt).toISOString()}: nothing is asked before`,
    };
  }
  // From the end on: a check that hung longer than the pause between two would be followed by the
  // next at once, for ever.
  const learnt = () => {
    const endedAt = deps.now();
    const dice = deps.random();
    const { quota } = deps.source;
    const pauseMs = pollPauseMs(deps.pollIntervalMs, dice, pollSpread(policy));
    const sharedMs = quota === null ? 0 : sharedPauseMs(quota, before.quota, endedAt);
    const sharedUntilAt =
      sharedMs > 0 ? endedAt + Math.min(pollPauseMs(sharedMs, dice), MAX_LIMIT_PAUSE_MS) : null;
    return {
      ...before,
      quota: quota ?? before.quota,
      lastCheckAt: endedAt,
      sharedUntilAt,
      nextCheckAt: Math.max(endedAt + pauseMs, sharedUntilAt ?? 0),
    };
  };
  try {
    const question = {
      policy,
      running,
      tag: request?.tag ?? null,
      strikes: before.strikes,
      compared: before.compared,
    };
    const { source, firstSeen } = withFirstSeen(deps.source, before.firstSeen, startedAt);
    const { choice: chosen, compared } = await look(question, signal, { ...deps, source });
    const choice = await withSize(chosen, signal, deps.source);
    if (choice.kind === 'none' && choice.tag === null) throw new Fault(choice.code, choice.message);
    const problem =
      choice.kind === 'release'
        ? null
        : { code: choice.code, message: choice.message, at: startedAt };
    const latest = request ? before.latest : latestOf(choice);
    deps.note.write({
      ...learnt(),
      lastSuccessAt: startedAt,
      limitedUntilAt: null,
      limitedFor: null,
      strikes: 0,
      lastError: problem,
      latest,
      compared,
      firstSeen: firstSeen(),
    });
    return factOf(choice);
  } catch (error) {
    signal.throwIfAborted();
    const fault = toFault(error, 'CHECK_FAILED');
    const lastError = { code: fault.code, message: fault.message, at: startedAt };
    if (fault instanceof RateLimited) {
      const usual = learnt();
      // Spread as polls are: a hundred that come back at once use the next window up in seconds.
      const nextCheckAt = Math.max(
        usual.nextCheckAt,
        fault.untilMs + Math.round(deps.random() * deps.pollIntervalMs),
      );
      deps.note.write({
        ...usual,
        nextCheckAt,
        limitedUntilAt: fault.untilMs,
        limitedFor: deps.source.identity,
        strikes: before.strikes + 1,
        lastError,
      });
    } else {
      deps.note.write({ ...learnt(), lastError });
    }
    return { type: 'checkFailed', code: fault.code, message: fault.message };
  }
}

type Question = {
  policy: Policy;
  running: string | null;
  tag: string | null;
  strikes: number;
  compared: PollNote['compared'];
};
type Finding = { choice: ReleaseChoice; compared: PollNote['compared'] };

async function look(
  question: Question,
  signal: AbortSignal,
  deps: CheckDependencies,
): Promise<Finding> {
  const { policy, running, tag, strikes, compared } = question;
  const { source, assetPattern, now } = deps;
  const where = tag === null ? whereToLook(policy) : ({ kind: 'tag', tag } as const);
  switch (where.kind) {
    case 'latest':
      return lookBesideLatest(question, signal, deps);
    case 'list': {
      const { releases, isComplete } = await source.list(strikes, signal, MAX_REQUESTS);
      return {
        choice: chooseRelease(releases, {
          policy,
          pattern: assetPattern,
          nowMs: now(),
          running,
          isComplete,
        }),
        compared,
      };
    }
    case 'tag': {
      const { setting = 'UPDATE_GH_API_URL' } = source;
      const release = await source.tagged(where.tag, strikes, signal);
      if (release === null)
        throw new Fault(
          'NOT_FOUND',
          `${policy.repository} has no release ${where.tag}, or does not exist, or is private: check the tag${otherSpelling(where.tag)}, GH_USER, GH_REPO, UPDATE_GH_TOKEN and ${setting}`,
        );
      // Rollback: another release's answer, however well signed, is not the one that was asked for.
      if (release.tag !== where.tag)
        throw new Fault(
          'ANSWER_UNEXPECTED',
          `asked for ${where.tag}, the server answered ${release.tag}: a proxy answers in its place, or the address is another server's; check ${setting}`,
        );
      return { choice: chooseTagged(release, policy, assetPattern, now()), compared };
    }
    default:
      return where satisfies never;
  }
}

/**
 * What GitHub marks as latest, unless a higher version was published: a backport of an older line
 * is marked so too. There may be none, where all are prereleases. The list that tells is read when
 * the latest release is another one than before, and every few hours.
 */
async function lookBesideLatest(
  question: Question,
  signal: AbortSignal,
  deps: CheckDependencies,
): Promise<Finding> {
  const { policy, strikes, running } = question;
  const { source, assetPattern, now } = deps;
  const choose = (releases: readonly PublishedRelease[], isComplete = true) =>
    chooseRelease(releases, { policy, pattern: assetPattern, nowMs: now(), running, isComplete });
  const rules = JSON.stringify([policy.repository, policy.versioning, source.identity]);
  const latest = await source.latest(strikes, signal);
  if (latest !== null && !isLatestReadable(latest, policy))
    return { choice: choose([latest]), compared: null };
  const latestTag = latest?.tag ?? null;
  const own = latest === null ? [] : [latest];
  const known = question.compared;
  if (
    known !== null &&
    known.rules === rules &&
    known.latest === latestTag &&
    Math.abs(now() - known.at) < COMPARED_FOR_MS
  ) {
    if (known.refusal !== null)
      return { choice: { kind: 'none', ...known.refusal }, compared: known };
    if (known.instead === null) return { choice: choose(own), compared: known };
    const other = await source.tagged(known.instead, strikes, signal);
    if (other !== null) return { choice: choose([...own, other]), compared: known };
  }
  try {
    const { releases, isComplete } = await source.list(strikes, signal, MAX_REQUESTS_BESIDE_LATEST);
    if (latest === null && releases.length === 0) throw source.notFound();
    const highest = choose(
      latest === null ? releases : [latest, ...rivalsOf(latest, releases, policy)],
      isComplete,
    );
    // A higher version that can't be run (it has no files, say) is no reason to pass over the one
    // that can.
    const choice = highest.kind === 'release' ? highest : orElse(choose(own), highest);
    const refusal =
      choice.kind === 'none'
        ? { tag: choice.tag, code: choice.code, message: choice.message }
        : null;
    const instead = choice.kind === 'none' ? null : tagOf(choice);
    return {
      choice,
      compared: {
        rules,
        latest: latestTag,
        at: now(),
        instead: instead === latestTag ? null : instead,
        refusal,
      },
    };
  } catch (error) {
    signal.throwIfAborted();
    // The latest release is known, and good enough until the list can be had.
    const choice = choose(own);
    if (choice.kind === 'none') throw error;
    return { choice, compared: null };
  }
}

/** Asked for one asset only: the one that would be downloaded. */
async function withSize(
  choice: ReleaseChoice,
  signal: AbortSignal,
  source: CheckDependencies['source'],
): Promise<ReleaseChoice> {
  if (choice.kind !== 'release' || choice.release.asset.sizeBytes > 0) return choice;
  const { release } = choice;
  const sizeBytes = await source.sizeOf?.(release.asset, signal);
  return sizeBytes === undefined
    ? choice
    : { ...choice, release: { ...release, asset: { ...release.asset, sizeBytes } } };
}

function orElse(choice: ReleaseChoice, other: ReleaseChoice): ReleaseChoice {
  return choice.kind === 'release' ? choice : other;
}

function tagOf(choice: Exclude<ReleaseChoice, { kind: 'none' }>): string {
  return choice.kind === 'release' ? choice.release.tag : choice.tag;
}

function latestOf(choice: ReleaseChoice): PollNote['latest'] {
  if (choice.kind === 'none') return null;
  if (choice.kind !== 'release')
    return { version: choice.version, tag: choice.tag, publishedAt: null };
  const { version, tag, publishedAt } = choice.release;
  return { version, tag, publishedAt };
}

function factOf(choice: ReleaseChoice): Fact {
  switch (choice.kind) {
    case 'release':
      return { type: 'releaseFound', release: choice.release };
    case 'none':
      // Told as a refusal: "nothing newer" would say that all is well.
      return choice.tag === null
        ? { type: 'nothingNewer' }
        : { type: 'releaseRefused', tag: choice.tag, code: choice.code, message: choice.message };
    case 'assetsAwaited':
    case 'refused': {
      const { kind, ...rest } = choice;
      return { type: kind === 'refused' ? 'releaseRefused' : 'assetsAwaited', ...rest };
    }
    default:
      return choice satisfies never;
  }
}

/**
 * A version that is still on disk, or baked, needs no network. The operator may leave out the `v`.
 */
async function findLocally(tag: string, policy: Policy, places: Places): Promise<Release | null> {
  // With its build metadata, if it has any: `v1.2.3+6` is another release than `v1.2.3+5`, though
  // both are version 1.2.3.
  const version = (
    tag.startsWith(policy.tagPrefix) ? tag.slice(policy.tagPrefix.length) : tag
  ).replace(/^[vV](?=\d)/, '');
  const fits = (candidate: InstalledVersion) =>
    candidate.tag === tag || candidate.version === version;
  const kept = (await keptTrees(places)).find(
    (tree) =>
      tree.version.repository === policy.repository &&
      tree.verifiedUnder === (places.rules ?? '') &&
      fits(tree.version),
  );
  if (kept) return kept.release;
  const baked = await readBaked(places);
  if (!baked || !fits(baked)) return null;
  const asset = {
    id: 0,
    name: path.basename(baked.path),
    url: baked.path,
    browserUrl: '',
    sizeBytes: 0,
    digest: null,
  };
  return {
    repository: policy.repository,
    tag: baked.tag,
    version: baked.version,
    publishedAt: null,
    prerelease: false,
    asset,
    checksums: null,
    signatures: [],
    urgent: false,
    origin: 'baked',
  };
}

/**
 * An archive on this machine, named by the operator: its version is in its name, else it is told
 * apart by its digest.
 */
export async function localRelease(
  file: string,
  policy: Policy,
  signal: AbortSignal | null = null,
): Promise<Release> {
  const opened = await openLocal(file);
  const { sha256: digest, sizeBytes } = await sumOfPieces(
    piecesFrom(opened.handle, opened.sizeBytes),
    signal,
  );
  const name = path.basename(file);
  const found =
    /(?:^|[^0-9A-Za-z])v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+?)?)(?=[_-](?:linux|darwin|any|all)|\.(?:tar|t[gx]z|tbz2?|tzst|zip|gz|xz|bz2|zst|jar|war|[cm]?js|phar|pyz)|_|$)/.exec(
      name,
    )?.[1];
  const version =
    (found && versionFromTag(found, policy.versioning)) ?? `0.0.0-file.${digest.slice(0, 12)}`;
  const asset = { id: 0, name, url: file, browserUrl: '', sizeBytes, digest };
  return {
    repository: policy.repository,
    tag: `v${version}`,
    version,
    publishedAt: null,
    prerelease: false,
    asset,
    checksums: null,
    signatures: [],
    urgent: false,
    origin: 'file',
  };
}

/** Tags count as written, and the `v` is what people leave out or add. */
function otherSpelling(tag: string): string {
  const [, v = '', version] = /^(v?)(\d+\.\d.*)$/.exec(tag) ?? [];
  if (version === undefined) return '';
  return ` (is it ${v === '' ? `v${version}` : version}?)`;
}

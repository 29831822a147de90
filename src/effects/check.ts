/** `check`: asks GitHub, chooses by the machine's rules, and keeps what polling learns in one note beside the facts. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { isOldEnough } from '../machines/age.ts';
import type { AssetPattern } from '../machines/asset.ts';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { InstalledVersion, Policy, Release } from '../machines/model.ts';
import { isLimitInForce, LONGEST_LIMIT_PAUSE_MS, pollPauseMs, sharedPauseMs } from '../machines/pacing.ts';
import { chooseRelease, chooseTagged, type PublishedRelease, type ReleaseChoice, whereToLook } from '../machines/release.ts';
import { versionFromTag } from '../machines/version.ts';
import { Fault, toFault } from '../support/fault.ts';
import { type GitHub, RateLimited } from './github/client.ts';
import { ANONYMOUS_LIMIT } from './github/rate-limit.ts';
import { sumOf } from './pieces.ts';
import { keptTrees, type Places, readBaked } from './trees.ts';

/** What polling learnt: one note, overwritten. Times are wall-clock ms, null for never. */
export const pollNoteSchema = z.object({
  lastCheckAt: z.number().nullable().default(null),
  lastSuccessAt: z.number().nullable().default(null),
  nextCheckAt: z.number().nullable().default(null),
  limitedUntilAt: z.number().nullable().default(null),
  /** Limits met in a row. */
  strikes: z.number().int().default(0),
  /** What the newest answer left of GitHub's quota. */
  quota: z
    .object({ limit: z.number().int().default(ANONYMOUS_LIMIT), remaining: z.number().int(), resetAt: z.number() })
    .nullable()
    .default(null),
  /** Until then the others behind this address have their turn. */
  sharedUntilAt: z.number().nullable().default(null),
  latest: z.object({ version: z.string(), tag: z.string(), publishedAt: z.string().nullable() }).nullable().default(null),
  lastError: z.object({ code: z.string(), message: z.string(), at: z.number() }).nullable().default(null),
});
export type PollNote = z.infer<typeof pollNoteSchema>;

/** When the next poll is due, wall clock; null for now. A shorter interval counts at once, a limit is waited out, and so is the turn of others. */
export function nextPollAt({ lastCheckAt, nextCheckAt, limitedUntilAt, sharedUntilAt }: PollNote, pollIntervalMs: number, nowMs: number): number | null {
  // A check in the future: the clock was set back since, and says nothing about what is due.
  if (lastCheckAt !== null && lastCheckAt > nowMs && !isLimitInForce(limitedUntilAt, nowMs)) return nowMs;
  if (nextCheckAt === null || lastCheckAt === null || limitedUntilAt !== null) return nextCheckAt;
  return Math.max(Math.min(nextCheckAt, lastCheckAt + pollPauseMs(pollIntervalMs, 1)), isLimitInForce(sharedUntilAt, nowMs) ? sharedUntilAt : 0);
}

export type CheckDependencies = {
  github: GitHub;
  places: Places;
  note: { read(): PollNote; write(note: PollNote): void };
  pollIntervalMs: number;
  now: () => number;
  random: () => number;
  /** Globbing is the platform's. */
  assetPattern: AssetPattern | null;
};

/** Never rejects for what a server does: every outcome is a fact. */
export async function check({ policy, request, running, fresh }: EffectInputs['check'], signal: AbortSignal, deps: CheckDependencies): Promise<Fact> {
  if (request?.file) return { type: 'releaseFound', release: await localRelease(request.file, policy) };
  if (request?.tag && !fresh) {
    const kept = await findLocally(request.tag, policy, deps.places);
    if (kept) return { type: 'releaseFound', release: kept };
  }
  const before = deps.note.read();
  const startedAt = deps.now();
  if (isLimitInForce(before.limitedUntilAt, startedAt)) {
    return { type: 'checkFailed', code: 'RATE_LIMITED', message: `GitHub's limit is in force until ${new Date(before.limitedUntilAt).toISOString()}` };
  }
  // From the end on: a check that hung longer than the pause between two would be followed by the next at once, for ever.
  const learnt = () => {
    const endedAt = deps.now();
    const dice = deps.random();
    const { quota } = deps.github;
    const sharedMs = quota === null ? 0 : sharedPauseMs(quota, before.quota, endedAt);
    const sharedUntilAt = sharedMs > 0 ? endedAt + Math.min(pollPauseMs(sharedMs, dice), LONGEST_LIMIT_PAUSE_MS) : null;
    return {
      ...before,
      quota: quota ?? before.quota,
      lastCheckAt: endedAt,
      sharedUntilAt,
      nextCheckAt: Math.max(endedAt + pollPauseMs(deps.pollIntervalMs, dice), sharedUntilAt ?? 0),
    };
  };
  try {
    const choice = await look({ policy, running, tag: request?.tag ?? null, strikes: before.strikes }, signal, deps);
    const problem = choice.kind === 'release' || choice.kind === 'none' ? null : { code: choice.code, message: choice.message, at: startedAt };
    const latest = request ? before.latest : latestOf(choice);
    deps.note.write({ ...learnt(), lastSuccessAt: startedAt, limitedUntilAt: null, strikes: 0, lastError: problem, latest });
    return factOf(choice);
  } catch (error) {
    signal.throwIfAborted();
    const fault = toFault(error, 'CHECK_FAILED');
    const lastError = { code: fault.code, message: fault.message, at: startedAt };
    if (fault instanceof RateLimited) {
      const usual = learnt();
      const nextCheckAt = Math.max(usual.nextCheckAt, fault.untilMs + Math.round(deps.random() * 10_000));
      deps.note.write({ ...usual, nextCheckAt, limitedUntilAt: fault.untilMs, strikes: before.strikes + 1, lastError });
    } else {
      deps.note.write({ ...learnt(), lastError });
    }
    return { type: 'checkFailed', code: fault.code, message: fault.message };
  }
}

type Question = { policy: Policy; running: string | null; tag: string | null; strikes: number };

async function look({ policy, running, tag, strikes }: Question, signal: AbortSignal, deps: CheckDependencies): Promise<ReleaseChoice> {
  const { github, assetPattern, now } = deps;
  const choose = (releases: readonly PublishedRelease[]) => chooseRelease(releases, { policy, pattern: assetPattern, nowMs: now(), running });
  const where = tag === null ? whereToLook(policy) : ({ kind: 'tag', tag } as const);
  switch (where.kind) {
    case 'latest': {
      const latest = await github.latest(strikes, signal);
      if (latest === null) throw github.notFound();
      return choose([latest]);
    }
    case 'list': {
      return choose(await github.list(strikes, signal, (releases) => isEnough(choose(releases), policy, now())));
    }
    case 'tag': {
      const release = await github.tagged(where.tag, strikes, signal);
      if (release === null)
        throw new Fault(
          'NOT_FOUND',
          `${policy.repository} has no release ${where.tag}, or does not exist, or is private: check the tag, GH_USER, GH_REPO and UPDATE_GH_TOKEN`,
        );
      // Rollback: another release's answer, however well signed, is not the one that was asked for.
      if (release.tag !== where.tag)
        throw new Fault('ANSWER_UNEXPECTED', `asked for ${where.tag}, the server answered ${release.tag}: that is not GitHub; check UPDATE_GH_API_URL`);
      return chooseTagged(release, policy, assetPattern, now());
    }
    default:
      return where satisfies never;
  }
}

/** Whether no later page can hold a better choice: with a minimum age, one that is old enough may come on the next. */
function isEnough(choice: ReleaseChoice, policy: Policy, nowMs: number): boolean {
  if (choice.kind === 'none') return false;
  return choice.kind !== 'release' || isOldEnough(choice.release, policy, nowMs) || (policy.urgentAllowed && choice.release.urgent);
}

function latestOf(choice: ReleaseChoice): PollNote['latest'] {
  if (choice.kind === 'none') return null;
  if (choice.kind !== 'release') return { version: choice.version, tag: choice.tag, publishedAt: null };
  const { version, tag, publishedAt } = choice.release;
  return { version, tag, publishedAt };
}

function factOf(choice: ReleaseChoice): Fact {
  switch (choice.kind) {
    case 'release':
      return { type: 'releaseFound', release: choice.release };
    case 'none':
      return { type: 'nothingNewer' };
    case 'assetsAwaited':
    case 'refused': {
      const { kind, ...rest } = choice;
      return { type: kind === 'refused' ? 'releaseRefused' : 'assetsAwaited', ...rest };
    }
    default:
      return choice satisfies never;
  }
}

/** A version that is still on disk, or baked, needs no network. The operator may leave out the `v`. */
async function findLocally(tag: string, policy: Policy, places: Places): Promise<Release | null> {
  const version = versionFromTag(tag, policy.versioning, policy.tagPrefix) ?? versionFromTag(tag, policy.versioning);
  const fits = (candidate: InstalledVersion) => candidate.tag === tag || (version !== null && candidate.version === version);
  const kept = (await keptTrees(places)).find(
    (tree) => tree.version.repository === policy.repository && tree.verifiedUnder === (places.rules ?? '') && fits(tree.version),
  );
  if (kept) return kept.release;
  const baked = await readBaked(places);
  if (!baked || !fits(baked)) return null;
  const asset = { id: 0, name: path.basename(baked.path), url: baked.path, browserUrl: '', sizeBytes: 0, digest: null };
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

/** An archive on this machine, named by the operator: its version is in its name, else it is told apart by its digest. */
export async function localRelease(file: string, policy: Policy): Promise<Release> {
  const stats = await stat(file).catch(() => null);
  if (!stats?.isFile()) throw new Fault('FILE_MISSING', `${file} is not a file that the updater can read: give the path as the updater sees it`);
  const { sha256: digest } = await sumOf(file);
  const name = path.basename(file);
  const found = /(?:^|[^0-9A-Za-z])v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+?)?)(?=[_-](?:linux|darwin|any|all)|\.(?:tar|tgz|zip|tzst)|_|$)/.exec(name)?.[1];
  const version = (found && versionFromTag(found, policy.versioning)) ?? `0.0.0-file.${digest.slice(0, 12)}`;
  const asset = { id: 0, name, url: file, browserUrl: '', sizeBytes: stats.size, digest };
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

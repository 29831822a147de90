/** What the machine remembers, and how each fact changes it. Pure functions of (context, fact). */
import type { ChangeReason } from './effects.ts';
import type { FactOf, StampedFact } from './facts.ts';
import {
  type Approval,
  type Denial,
  fingerprint,
  type Inhibitor,
  type InstalledVersion,
  type Policy,
  type Problem,
  type Release,
  type World,
} from './model.ts';
import { backoffMs, isForceInForce, nextOutage, type Outage } from './pacing.ts';
import { compareVersions } from './version.ts';

/** A release on its way in. `attempt` counts from 1. */
export type Candidate = {
  release: Release;
  attempt: number;
  /** The operator asked for this very one: rules about newness do not apply, and it is held once it runs. */
  byOperator: boolean;
  /** Failures so far, whosever fault: they pace the next try. */
  setbacks: number;
  /** How often the updater was ended in the middle of it. */
  interruptions: number;
  /** Set once a stop-first attempt failed: a bad network costs one outage at most. */
  downloadFirst: boolean;
  /** The operator said `--force`: no condition counts but a pause. */
  forced: boolean;
  /** Whether what was verified says that it is urgent; null while nothing was verified. */
  vouched: boolean | null;
  /** Why the app was not interrupted for it when that was last asked; `times` counts how often its pre-stop hook said "not now". */
  deferral: { since: number; inhibitors: Inhibitor[]; message: string | null; times: number } | null;
};

/** A change of the version from which the hooks have been told, or are to be told. */
export type Change = { from: string | null; to: string; reason: ChangeReason };

/** A version that was denied because it ended on probation, and everything that is needed to take that back. */
export type Verdict = { candidate: Candidate; installed: InstalledVersion; code: string };

/** How often the judgement of a version was cut short, by what ended: the updater alone, or the app with it. */
export type CutShort = { path: string; kills: number; ends: number };

export type Request = { tag: string | null; file: string | null; force?: boolean | undefined };

export type Context = {
  policy: Policy;
  baked: InstalledVersion | null;
  /** What the `current` link names. */
  current: InstalledVersion | null;
  previous: InstalledVersion | null;
  lastGood: InstalledVersion | null;
  /** The rollback floor: nothing older is installed but by the operator. */
  highestHealthy: string | null;
  candidate: Candidate | null;
  download: { path: string; sha256: string } | null;
  installed: InstalledVersion | null;
  /** What `switching` links and `starting` starts. */
  target: InstalledVersion | null;
  /** Whether the app runs. `booting`: since the start of the container (or of the embedded supervisor) it has not been started yet. */
  app: 'up' | 'stopped' | 'booting';
  startedAt: number;
  /** Trees that failed to start since the last one that became healthy. */
  failedPaths: string[];
  /** Trees that ended early and were started once more, since the last one that became healthy. */
  restarted: string[];
  /** Counts for the version that has yet to prove itself; null when no probation was cut short. */
  cutShort: CutShort | null;
  /** The last denial, until the version that came back shows whether it was just: see `src/machines/outage.ts`. */
  verdict: Verdict | null;
  /** Pauses in a row because nothing could be started. */
  outage: Outage | null;
  denied: Denial[];
  hold: { version: string; tag: string; since: number } | null;
  paused: boolean;
  pausedAt: number | null;
  approved: Approval[];
  /** When the operator last said `--force`. */
  forcedAt: number | null;
  /** The tree that the app's data is prepared for: it ran last, or its pre-start hook was begun. */
  prepared: { path: string; version: string } | null;
  /** Null when all hooks have been told how it ended. */
  change: Change | null;
  /** No version could be started: what else might be had is not to wait. */
  nothingStarts: boolean;
  /** GitHub's id of the repository that is followed; null until it was told. */
  repositoryId: number | null;
  /** The fingerprint of an asset that took the place of what runs, under the same tag: told once. */
  replacedBy: string | null;
  request: Request | null;
  retryAt: number | null;
  awaiting: { tag: string; version: string; since: number; code: string; message: string } | null;
  refused: { tag: string; code: string; message: string } | null;
  lastError: Problem | null;
};

export function initialContext({ policy, world, floor }: { policy: Policy; world: World; floor: string | null }): Context {
  return {
    policy,
    baked: world.baked,
    current: world.current,
    previous: null,
    lastGood: world.lastGood,
    highestHealthy: higher(floor, world.lastGood?.version ?? null, policy),
    candidate: null,
    download: null,
    installed: null,
    target: null,
    app: 'stopped',
    startedAt: 0,
    failedPaths: [],
    restarted: [],
    cutShort: null,
    verdict: null,
    outage: null,
    denied: [],
    hold: null,
    paused: false,
    pausedAt: null,
    approved: [],
    forcedAt: null,
    prepared: null,
    change: null,
    nothingStarts: false,
    repositoryId: null,
    replacedBy: null,
    request: null,
    retryAt: null,
    awaiting: null,
    refused: null,
    lastError: null,
  };
}

function higher(one: string | null, other: string | null, { versioning }: Policy): string | null {
  if (one === null || other === null) return one ?? other;
  return compareVersions(one, other, versioning) >= 0 ? one : other;
}

/** These say something about the bytes of a release; trying the same bytes again can't help. */
const PERMANENT = new Set(['ARCHIVE_REFUSED', 'ARCHIVE_CORRUPT', 'ARCHIVE_TOO_LARGE', 'ASSET_TOO_LARGE', 'ENTRY_POINT_MISSING', 'WRONG_PLATFORM']);
/** These say something about this machine; they pace retries, but no release is given up for them. */
const LOCAL = new Set([
  'NO_SPACE',
  'READ_ONLY',
  'DISK_ERROR',
  'PERMISSION_DENIED',
  'TOO_MANY_FILES',
  'CROSS_DEVICE',
  'NO_MEMORY',
  'NO_LOCKS',
  'NOT_EXECUTABLE',
  'TOOL_MISSING',
  'TOOL_FAILED',
  'INTERPRETER_MISSING',
  'SUPERVISOR_MISSING',
  'DOWNLOAD_LOST',
  'DOWNLOAD_SLOW',
  'TREE_INCOMPLETE',
  'TREE_MISSING',
  'APP_NOT_STOPPED',
  'INTERRUPTED',
  'PRE_STOP_HOOK_FAILED',
]);
/** A release in whose course the updater is killed again and again (no memory, most likely) is given up like any other. */
export const MOST_INTERRUPTIONS = 10;

export type Failure = Extract<StampedFact, { jitter: number }>;

/** The candidate that follows from a release: the one at hand if it is the same bytes, else a fresh one. */
export function candidateFor(context: Context, release: Release): Candidate {
  const same = context.candidate !== null && fingerprint(context.candidate.release) === fingerprint(release);
  const byOperator = context.request !== null;
  const forced = context.request?.force === true;
  if (same && context.candidate) {
    const { candidate } = context;
    // Its notes may say so again at every poll: only what was verified counts.
    const urgent = release.urgent && candidate.vouched !== false;
    return { ...candidate, release: { ...release, urgent }, byOperator: candidate.byOperator || byOperator, forced: candidate.forced || forced };
  }
  return { release, attempt: 1, setbacks: 0, interruptions: 0, byOperator, downloadFirst: false, forced, vouched: null, deferral: null };
}

/** What was noted in the course of an attempt, and is over with it. */
const noAttempt = { retryAt: null, download: null, installed: null };
/** Nothing is on its way in any more. */
export const noCandidate = { candidate: null, ...noAttempt };

export function adoptRelease(context: Context, fact: FactOf<'releaseFound'> & { at: number }): Partial<Context> {
  const fresh = candidateFor(context, fact.release);
  const candidate = { ...fresh, forced: fresh.forced || isForceInForce(context.forcedAt, fact.at) };
  const denied = candidate.byOperator ? context.denied.filter((denial) => denial.version !== fact.release.version) : context.denied;
  const found = { request: null, replacedBy: null, awaiting: null, refused: null };
  return { candidate, denied, ...found, ...noAttempt, failedPaths: [], restarted: [], cutShort: null, verdict: null };
}

/** What was learnt while the bytes were checked. */
export function recordVerified({ repositoryId, candidate }: Context, fact: FactOf<'verified'>): Partial<Context> {
  const vouched = fact.urgent !== false;
  const urgent = candidate?.release.urgent === true && vouched;
  return { repositoryId: fact.repositoryId ?? repositoryId, candidate: candidate && { ...candidate, vouched, release: { ...candidate.release, urgent } } };
}

/** A try failed: paced again, or given up and denied. What was downloaded is looked at again from the disk. */
export function recordFailure(context: Context, fact: Failure): Partial<Context> {
  const lastError = { code: fact.code, message: fact.message, at: fact.at };
  const { candidate, policy } = context;
  const undone = { lastError, download: null, installed: null };
  if (candidate === null) return undone;
  const lastTry = !isTroubleOfMachine(fact.code) && candidate.attempt >= policy.maxAttempts;
  if (PERMANENT.has(fact.code) || lastTry) {
    const message = lastTry
      ? `${fact.message} (given up after ${candidate.attempt} tries; \`self-update retry ${candidate.release.version}\` tries again)`
      : fact.message;
    return { ...undone, ...giveUp(context, { ...lastError, message }), lastError: { ...lastError, message } };
  }
  const stoppedFirst = policy.strategy === 'kill-then-download' && context.app === 'stopped';
  // While nothing runs the outage paces the tries, and those in quick succession are no reason to give the release up.
  const isOutage = isNothingThere(context);
  const isQuick = isOutage && nextOutage(context.outage, fact.at, policy.retryBaseMs, fact.jitter).until - fact.at < policy.retryBaseMs;
  const attempt = isTroubleOfMachine(fact.code) || isQuick ? candidate.attempt : candidate.attempt + 1;
  return {
    ...undone,
    candidate: { ...candidate, attempt, deferral: null, setbacks: candidate.setbacks + 1, downloadFirst: candidate.downloadFirst || stoppedFirst },
    retryAt: isOutage ? null : fact.at + backoffMs(candidate.setbacks + 1, policy.retryBaseMs, fact.jitter),
  };
}

/** The updater was ended in the middle of the work, and begins it once more. */
export function recordWorkInterrupted({ candidate }: Context): Partial<Context> {
  return candidate === null ? {} : { candidate: { ...candidate, interruptions: candidate.interruptions + 1 } };
}

/** The updater was ended while it judged what runs: the next one judges it anew, from the beginning. */
export function recordCutShort({ current, cutShort }: Context, { appUp, at }: FactOf<'workInterrupted'> & { at: number }): Partial<Context> {
  if (current === null) return {};
  const { kills, ends } = cutShort?.path === current.path ? cutShort : { kills: 0, ends: 0 };
  const counted = appUp === false ? { kills, ends: ends + 1 } : { kills: kills + 1, ends };
  return { startedAt: at, cutShort: { path: current.path, ...counted } };
}

/** It was ended too often for that to be an accident. */
export function giveUpInterrupted(context: Context, { effect, at }: FactOf<'workInterrupted'> & { at: number }): Partial<Context> {
  const version = context.candidate?.release.version;
  const message = `the updater was killed ${MOST_INTERRUPTIONS} times while it was busy with ${version} (${effect}): too little memory, most likely. Give the container more, then \`self-update retry ${version}\``;
  const problem = { code: 'INTERRUPTED', message, at };
  return { lastError: problem, download: null, installed: null, ...giveUp(context, problem) };
}

/** The app was found down in the middle of a stop-first update: the attempt ends, the old version comes back at once. */
export function recordInterruption(context: Context, fact: FactOf<'appFoundDown'> & { at: number }): Partial<Context> {
  const message = 'the update was interrupted while the app was down; the old version was started again';
  return {
    ...recordFailure(context, { type: 'downloadFailed', code: 'INTERRUPTED', message, jitter: 0, at: fact.at }),
    ...seenOnDisk(context, fact.world),
  };
}

/** The version that was started did not prove itself: it is denied, and not started again by itself. */
export function recordBadVersion(context: Context, fact: Failure): Partial<Context> {
  const lastError = { code: fact.code, message: fact.message, at: fact.at };
  const bad = context.target ?? context.current;
  if (bad === null) return { lastError };
  const failedPaths = [...context.failedPaths.filter((path) => path !== bad.path), bad.path];
  // What says something about this machine says nothing about the version: it is tried again.
  if (isTroubleOfMachine(fact.code)) return { ...recordFailure(context, fact), failedPaths, ...treeLost(context, fact.code, bad) };
  const isCandidate = context.candidate !== null && bad.path === context.installed?.path;
  if (isCandidate && fact.code === 'APP_KILLED') return recordKilled(context, fact, failedPaths);
  const proven = bad.path === context.lastGood?.path || bad.path === context.baked?.path;
  if (!isCandidate && proven) return { lastError, failedPaths };
  const denial = { version: bad.version, fingerprint: bad.fingerprint, code: fact.code, reason: fact.message, at: fact.at };
  const { candidate, installed, restarted } = context;
  // Only what ended twice is looked at again: a file of another platform is no trouble of this machine's.
  const isDoubtful = isCandidate && restarted.includes(bad.path) && candidate !== null && installed !== null;
  const verdict = isDoubtful ? { candidate, installed, code: fact.code } : null;
  return { lastError, failedPaths, verdict, denied: deny(context.denied, denial), ...noCandidate, hold: null };
}

/**
 * Denial of a fix: somebody's signal ended it, and not its own fault. What was good before comes back, and it is tried again later, with
 * pauses that grow; what is killed at every try is given up like any other.
 */
function recordKilled(context: Context, fact: Failure, failedPaths: string[]): Partial<Context> {
  const failed = recordFailure(context, fact);
  return { ...failed, failedPaths, ...(failed.candidate === null ? { hold: null } : {}) };
}

/** Whether no version is there that could be started: neither linked nor part of the image. */
export function isNothingThere({ app, baked, current, lastGood, previous, failedPaths }: Context): boolean {
  return app !== 'up' && [baked, current, lastGood, previous].every((version) => version === null || failedPaths.includes(version.path));
}

/** The files of a version are gone: it is forgotten, so that a release of it is news again. */
export function treeLost({ baked, current, lastGood, previous }: Context, code: string, lost: InstalledVersion | null): Partial<Context> {
  if (code !== 'TREE_MISSING' || lost === null) return {};
  const unlessLost = (version: InstalledVersion | null) => (version?.path === lost.path ? null : version);
  return { baked: unlessLost(baked), current: unlessLost(current), lastGood: unlessLost(lastGood), previous: unlessLost(previous) };
}

/** Whether a failure says something about this machine, and nothing about the release. */
export function isTroubleOfMachine(code: string): boolean {
  return LOCAL.has(code);
}

/**
 * A version that had been trusted crash-loops: it is denied like one that never was, and what was good before it comes back. Without
 * its files it is only forgotten: another one takes its place, or it is fetched anew.
 */
export function recordCrashLoop(context: Context, fact: Failure): Partial<Context> {
  const { current, lastGood } = context;
  if (fact.code === 'TREE_MISSING') return { lastError: { code: fact.code, message: fact.message, at: fact.at }, ...treeLost(context, fact.code, current) };
  const bad = recordBadVersion({ ...context, target: current, lastGood: null, baked: null }, fact);
  return { ...bad, lastGood: lastGood?.path === current?.path ? null : lastGood };
}

function giveUp(context: Context, problem: Problem): Partial<Context> {
  if (context.candidate === null) return {};
  const { release } = context.candidate;
  const denial = { version: release.version, fingerprint: fingerprint(release), code: problem.code, reason: problem.message, at: problem.at };
  return { candidate: null, retryAt: null, denied: deny(context.denied, denial) };
}

/** The list stays short: the newest word about a version replaces older ones, and the oldest versions fall out. */
const MOST_DENIALS = 100;
export function deny(denied: readonly Denial[], denial: Denial): Denial[] {
  const others = denied.filter((other) => other.version !== denial.version || (denial.fingerprint !== null && other.fingerprint !== denial.fingerprint));
  // The operator's word is not pushed out by a hundred releases that fail.
  const dropped = others.length < MOST_DENIALS ? null : (others.find(({ code }) => code !== 'DENIED_BY_OPERATOR') ?? others[0]);
  return [...others.filter((other) => other !== dropped), denial];
}

/** Links and trees as they are on the disk; where they and memory disagree, the disk is right. */
export function prepare(version: InstalledVersion | null): Context['prepared'] {
  return version && { path: version.path, version: version.version };
}

export function seenOnDisk(context: Context, world: World): Partial<Context> {
  return { baked: world.baked, current: world.current, lastGood: world.lastGood ?? context.lastGood };
}

export function recordSwitch(context: Context, fact: FactOf<'switched'>): Partial<Context> {
  const changed = context.current?.path !== fact.to.path;
  return { current: fact.to, previous: changed ? context.current : context.previous };
}

export function recordStart(context: Context, at: number): Partial<Context> {
  const { current, candidate, installed, lastGood } = context;
  const started = { app: 'up' as const, startedAt: at, nothingStarts: false, prepared: prepare(current) };
  if (candidate === null || current === null || current.path !== installed?.path) return started;
  const hold = candidate.byOperator ? holdOf(current, at) : context.hold;
  // What was healthy before needs no probation: the update ends here.
  const ended = current.path === lastGood?.path ? noCandidate : {};
  return { ...started, hold, ...ended };
}

/** The operator's choice stands until it is released. */
export function holdOf(version: InstalledVersion | null, at: number): Context['hold'] {
  return version && { version: version.version, tag: version.tag, since: at };
}

export function recordHealthy(context: Context, fact: FactOf<'versionBecameHealthy'> & { at: number }): Partial<Context> {
  const { current, policy } = context;
  // Another release may wait for its moment meanwhile.
  const waits = context.candidate?.deferral != null;
  const settled = waits ? {} : noCandidate;
  const highestHealthy = higher(context.highestHealthy, fact.version, policy);
  // That the version before came back and is well is no end of the trouble: why the newer one was denied stays to be seen.
  const denial = context.denied.find(({ version }) => version === context.verdict?.candidate.release.version);
  const lastError = denial === undefined ? null : { code: denial.code, message: denial.reason, at: denial.at };
  return { lastGood: current, highestHealthy, ...settled, failedPaths: [], restarted: [], cutShort: null, verdict: null, lastError };
}

/** Whether a release on its way in would be chosen under other rules too: one that is denied now, or beside the pinned tag, is not run. */
function isChosenStill({ candidate, policy: before }: Context, policy: Policy): boolean {
  if (candidate === null) return true;
  if (policy.denied.includes(candidate.release.version)) return false;
  const same = (['tag', 'range', 'prerelease', 'tagPrefix', 'versioning', 'assetGlob'] as const).every((rule) => policy[rule] === before[rule]);
  return candidate.byOperator || same;
}

/** A changed repository is the operator's word: what was learnt of the other one does not bind this one. */
export function adoptPolicy(context: Context, policy: Policy): Partial<Context> {
  if (policy.repository === context.policy.repository) return { policy, ...(isChosenStill(context, policy) ? {} : noCandidate) };
  return {
    policy,
    highestHealthy: null,
    denied: [],
    approved: [],
    repositoryId: null,
    candidate: null,
    retryAt: null,
    awaiting: null,
    refused: null,
    hold: null,
  };
}

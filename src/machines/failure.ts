/**
 * A try that failed or was cut short, and when a release is given up. Pure functions of (context,
 * fact).
 */
import type { Context } from './context.ts';
import { seenOnDisk } from './current.ts';
import type { FactOf, StampedFact } from './facts.ts';
import { keepFleetLock } from './fleet.ts';
import { type Denial, fingerprint, type Problem } from './model.ts';
import { backoffMs, nextOutage } from './pacing.ts';

/** These say something about the bytes of a release; trying the same bytes again can't help. */
const PERMANENT = new Set([
  'ARCHIVE_REFUSED',
  'ARCHIVE_CORRUPT',
  'ARCHIVE_TOO_LARGE',
  'ASSET_TOO_LARGE',
  'ENTRY_POINT_MISSING',
  'WRONG_PLATFORM',
]);
/**
 * These say something about this machine; they pace retries, but no release is given up for them.
 */
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
  'SOCKET_WITH_APP',
  'INTERRUPTED',
  'PRE_STOP_HOOK_FAILED',
  'LISTEN_FAILED',
  'ADDRESS_HELD',
  // Of this address: others behind it have used the quota up.
  'RATE_LIMITED',
]);
/**
 * A release in whose course the updater is killed again and again (no memory, most likely) is given
 * up like any other.
 */
export const MAX_INTERRUPTIONS = 10;

export type Failure = Extract<StampedFact, { jitter: number }>;

/** Whether a failure says something about this machine, and nothing about the release. */
export function isHostFailure(code: string): boolean {
  return LOCAL.has(code);
}

/**
 * A try failed: paced again, or given up and denied. What was downloaded is looked at again from
 * the disk.
 */
export function recordFailure(context: Context, fact: Failure): Partial<Context> {
  const lastError = { code: fact.code, message: fact.message, at: fact.at };
  const { candidate, policy } = context;
  const undone = { lastError, download: null, installed: null };
  if (candidate === null) return undone;
  const lastTry = !isHostFailure(fact.code) && candidate.attempt >= policy.maxAttempts;
  if (PERMANENT.has(fact.code) || lastTry) {
    const message = lastTry
      ? `${fact.message} (given up after ${candidate.attempt} tries; \`self-update retry ${candidate.release.version}\` tries again)`
      : fact.message;
    return {
      ...undone,
      ...giveUp(context, { ...lastError, message }),
      lastError: { ...lastError, message },
    };
  }
  const stoppedFirst = policy.strategy === 'kill-then-download' && context.app === 'stopped';
  // While nothing runs the outage paces the tries, and those in quick succession are no reason to
  // give the release up.
  const isOutage = isNothingThere(context);
  const isQuick =
    isOutage &&
    nextOutage(context.outage, fact.at, policy.retryBaseMs, fact.jitter).until - fact.at <
      policy.retryBaseMs;
  const attempt = isHostFailure(fact.code) || isQuick ? candidate.attempt : candidate.attempt + 1;
  return {
    ...undone,
    candidate: {
      ...candidate,
      attempt,
      deferral: null,
      setbacks: candidate.setbacks + 1,
      downloadFirst: candidate.downloadFirst || stoppedFirst,
    },
    retryAt: isOutage
      ? null
      : fact.at + backoffMs(candidate.setbacks + 1, policy.retryBaseMs, fact.jitter),
  };
}

/** The updater was ended in the middle of the work, and begins it once more. */
export function recordWorkInterrupted({ candidate }: Context): Partial<Context> {
  return candidate === null
    ? {}
    : { candidate: { ...candidate, interruptions: candidate.interruptions + 1 } };
}

/** It was ended too often for that to be an accident. */
export function giveUpInterrupted(
  context: Context,
  { effect, at }: FactOf<'workInterrupted'> & { at: number },
): Partial<Context> {
  const version = context.candidate?.release.version;
  const message = `the updater was killed ${MAX_INTERRUPTIONS} times while it was busy with ${version} (${effect}): probably out of memory. Give the container more, then \`self-update retry ${version}\``;
  const problem = { code: 'INTERRUPTED', message, at };
  return { lastError: problem, download: null, installed: null, ...giveUp(context, problem) };
}

/**
 * The app was found down in the middle of a stop-first update: the attempt ends, the old version
 * comes back at once.
 */
export function recordInterruption(
  context: Context,
  fact: FactOf<'appFoundDown'> & { at: number },
): Partial<Context> {
  const message =
    'the update was interrupted while the app was down; the old version was started again';
  return {
    ...recordFailure(context, {
      type: 'downloadFailed',
      code: 'INTERRUPTED',
      message,
      jitter: 0,
      at: fact.at,
    }),
    ...seenOnDisk(context, fact.world),
  };
}

/** Whether no version is there that could be started: neither linked nor part of the image. */
export function isNothingThere({
  app,
  baked,
  current,
  lastGood,
  previous,
  failedPaths,
}: Context): boolean {
  return (
    app !== 'up' &&
    [baked, current, lastGood, previous].every(
      (version) => version === null || failedPaths.includes(version.path),
    )
  );
}

function giveUp(context: Context, problem: Problem): Partial<Context> {
  if (context.candidate === null) return {};
  const { release } = context.candidate;
  const denial = {
    version: release.version,
    fingerprint: fingerprint(release),
    code: problem.code,
    reason: problem.message,
    at: problem.at,
  };
  return {
    candidate: null,
    retryAt: null,
    denied: deny(context.denied, denial),
    fleetLock: keepFleetLock(context, release.version, problem),
  };
}

/**
 * The list stays short: the newest word about a version replaces older ones, and the oldest
 * versions fall out.
 */
const MAX_DENIALS = 100;
export function deny(denied: readonly Denial[], denial: Denial): Denial[] {
  const others = denied.filter(
    (other) =>
      other.version !== denial.version ||
      (denial.fingerprint !== null && other.fingerprint !== denial.fingerprint),
  );
  // The operator's word is not pushed out by a hundred releases that fail.
  const dropped =
    others.length < MAX_DENIALS
      ? null
      : (others.find(({ code }) => code !== 'DENIED_BY_OPERATOR') ?? others[0]);
  return [...others.filter((other) => other !== dropped), denial];
}

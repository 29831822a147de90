/** When to try again. Pure: the time and the dice come in as arguments. */
import type { Policy } from './model.ts';

/** No pause between tries at a release is longer than this. */
export const MAX_BACKOFF_MS = 60 * 60 * 1000;
/** GitHub asks for at least a minute after a limit that names no time. */
export const MIN_LIMIT_PAUSE_MS = 60 * 1000;
/** Longer announcements are a wrong clock somewhere; a limit window is one hour. */
export const MAX_LIMIT_PAUSE_MS = 2 * 60 * 60 * 1000;

/** Exponential, ±25 %: `attempt` 1 waits about `baseMs`. */
export function backoffMs(attempt: number, baseMs: number, jitter: number): number {
  const pause = Math.min(baseMs * 2 ** Math.min(attempt - 1, 30), MAX_BACKOFF_MS);
  return Math.round(pause * (0.75 + jitter / 2));
}

/** How soon a fleet's lock that others hold is asked for again, and how seldom at most. */
const FIRST_LOCK_PAUSE_MS = 30_000;
export const MAX_LOCK_PAUSE_MS = 5 * 60 * 1000;

/** The pause between two requests to the lock's server, ±25 %. */
export function lockPauseMs(attempt: number, pollIntervalMs: number, jitter: number): number {
  const baseMs = Math.min(pollIntervalMs, FIRST_LOCK_PAUSE_MS);
  const pauseMs = Math.min(baseMs * 2 ** Math.min(attempt - 1, 30), MAX_LOCK_PAUSE_MS);
  return Math.round(pauseMs * (0.75 + jitter / 2));
}

/** While nothing runs, the first pause is this short: every second is an outage. */
const FIRST_OUTAGE_PAUSE_MS = 4_000;
/** While nothing runs, no pause is longer, unless polls are rarer than that. */
const MAX_OUTAGE_PAUSE_MS = 5 * 60 * 1000;
/**
 * A pause that ended this long ago says nothing about the next one. What was healthy for a moment
 * only does not count.
 */
const OUTAGE_FORGOTTEN_MS = 10 * 60 * 1000;
/** What ends later was noted while the clock was wrong. What was not proven waits for so long. */
const LONGEST_PAUSE_MS = MAX_BACKOFF_MS * 1.25;

/** Pauses because nothing could be started: how many in a row, and when the last one ends. */
export type Outage = { pauses: number; until: number };

/**
 * The next pause. They double: from seconds up to five minutes, or up to `pollIntervalMs` where
 * that is longer.
 */
export function nextOutage(
  before: Outage | null,
  at: number,
  pollIntervalMs: number,
  jitter: number,
): Outage {
  const isOver =
    before === null ||
    at - before.until > OUTAGE_FORGOTTEN_MS ||
    before.until - at > LONGEST_PAUSE_MS;
  const pauses = isOver ? 1 : before.pauses + 1;
  const pauseMs = Math.min(
    backoffMs(pauses, FIRST_OUTAGE_PAUSE_MS, jitter),
    Math.max(pollIntervalMs, MAX_OUTAGE_PAUSE_MS),
  );
  return { pauses, until: at + pauseMs };
}

/**
 * Whether a limit holds now. One that ends later than any can be was noted while the clock was
 * wrong, and holds no longer.
 */
export function isLimitInForce(
  limitedUntilAt: number | null,
  nowMs: number,
): limitedUntilAt is number {
  return (
    limitedUntilAt !== null &&
    limitedUntilAt > nowMs &&
    limitedUntilAt - nowMs <= MAX_LIMIT_PAUSE_MS
  );
}

/**
 * How long the app runs at least between a switch that failed and the next release: what failed may
 * be to blame on this machine.
 */
export const REST_AFTER_FAILURE_MS = 60 * 1000;

/**
 * An operator's `--force` counts for the check that it asks for: for one release that is found
 * within this time, and for as long as that then takes.
 */
const FORCE_HOLDS_MS = 60 * 1000;

export function isForceInForce(forcedAt: number | null, nowMs: number): boolean {
  return forcedAt !== null && Math.abs(nowMs - forcedAt) <= FORCE_HOLDS_MS;
}

/**
 * How much longer than the interval a pause between two polls may be, so that containers behind one
 * address don't ask at once. A fleet that takes a day for a release need not find it in the same
 * minute.
 */
export function pollSpread({ rollout }: Pick<Policy, 'rollout'>): number {
  return rollout === null ? 0.1 : 1;
}

/** The pause between two polls. */
export function pollPauseMs(intervalMs: number, jitter: number, spread = 0.1): number {
  return Math.round(intervalMs * (1 + jitter * spread));
}

/** Requests that GitHub takes an hour without a token, for each address. */
export const ANONYMOUS_LIMIT = 60;

/** What is left of a limit of requests until `resetAt`, wall clock in ms. */
export type Quota = { limit: number; remaining: number; resetAt: number };

/** Two answers of one window name its end alike, but for rounding. */
const SAME_WINDOW_MS = 60_000;

/**
 * The pause that makes a shared quota last until its reset; 0 while half of it is left. Containers
 * behind one address share one, and none knows of the others: but what was spent since this one's
 * last answer (`before`) is what all of them spend in one round.
 */
export function sharedPauseMs(
  { limit, remaining, resetAt }: Quota,
  before: Quota | null,
  nowMs: number,
): number {
  if (remaining > limit / 2) return 0;
  const leftMs = Math.min(Math.max(resetAt - nowMs, 0), MAX_LIMIT_PAUSE_MS);
  const isSameWindow = before !== null && Math.abs(before.resetAt - resetAt) < SAME_WINDOW_MS;
  const spent = isSameWindow ? Math.max(before.remaining - remaining, 1) : 1;
  return Math.round(Math.min(leftMs, (leftMs * spent) / Math.max(remaining, 1)));
}

/**
 * What is left of a deadline, never more than `longestMs`: a clock that jumps back by years, or a
 * deadline written while it was wrong, must not silence anything for years.
 */
export function remainingMs(deadlineAt: number, nowMs: number, longestMs: number): number {
  return Math.min(Math.max(deadlineAt - nowMs, 0), longestMs);
}

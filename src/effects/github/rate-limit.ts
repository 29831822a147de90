/**
 * GitHub's limits, read from an answer. Pure. See "Rate limits for the REST API",
 * https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
import {
  ANONYMOUS_LIMIT,
  MAX_LIMIT_PAUSE_MS,
  MIN_LIMIT_PAUSE_MS,
  type Quota,
} from '../../machines/pacing.ts';
import { messageOf } from './refusal.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Whether an answer means a limit: 429 always, 403 only if it says so. A 403 is also what single
 * sign-on, an allow list or a proxy's block page answers, and waiting helps with none of them.
 */
export function isLimit(status: number, headers: Headers, body: string): boolean {
  if (status === 429) return true;
  if (status !== 403) return false;
  if (headers['retry-after'] !== undefined || number(headers['x-ratelimit-remaining']) === 0)
    return true;
  const message = messageOf(body);
  return message === null
    ? /exceeded a secondary rate limit|abuse detection/i.test(body)
    : /rate limit|abuse detection/i.test(message);
}

/**
 * Until when not to ask again: what `retry-after` says, else the reset of a used-up quota, else a
 * minute that doubles with each strike. Never longer than two windows: a wrong clock or a hostile
 * header must not silence us for years.
 */
export function limitedUntilMs(headers: Headers, nowMs: number, strikes: number): number {
  const longest = nowMs + MAX_LIMIT_PAUSE_MS;
  const retryAfter = number(headers['retry-after']);
  if (retryAfter !== null) return Math.min(nowMs + Math.max(retryAfter, 1) * 1000, longest);
  const reset = number(headers['x-ratelimit-reset']);
  if (number(headers['x-ratelimit-remaining']) === 0 && reset !== null)
    return Math.min(Math.max(reset * 1000, nowMs + 1000), longest);
  return Math.min(nowMs + MIN_LIMIT_PAUSE_MS * 2 ** Math.min(strikes, 10), longest);
}

/** Null where the server does not say (Enterprise without limits). */
export function quotaOf(headers: Headers): Quota | null {
  const remaining = number(headers['x-ratelimit-remaining']);
  const reset = number(headers['x-ratelimit-reset']);
  return remaining === null || reset === null
    ? null
    : {
        limit: number(headers['x-ratelimit-limit']) ?? ANONYMOUS_LIMIT,
        remaining,
        resetAt: reset * 1000,
      };
}

function number(value: string | string[] | undefined): number | null {
  return typeof value === 'string' && /^\d{1,12}$/.test(value) ? Number(value) : null;
}

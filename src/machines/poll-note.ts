/**
 * What polling learnt: one note beside the journal's facts, overwritten by each poll, and what it
 * says about the next one. Pure. Times are wall-clock ms, null for never.
 */
import * as z from 'zod';
import { ANONYMOUS_LIMIT, isLimitInForce, pollPauseMs } from './pacing.ts';

export const pollNoteSchema = z.object({
  lastCheckAt: z.number().nullable().default(null),
  lastSuccessAt: z.number().nullable().default(null),
  nextCheckAt: z.number().nullable().default(null),
  limitedUntilAt: z.number().nullable().default(null),
  /**
   * Fingerprint of the token that the limit was for; a new token ends the pause. Null in notes of
   * older versions.
   */
  limitedFor: z.string().nullable().default(null),
  /** Limits met in a row. */
  strikes: z.number().int().default(0),
  /** What the newest answer left of GitHub's quota. */
  quota: z
    .object({
      limit: z.number().int().default(ANONYMOUS_LIMIT),
      remaining: z.number().int(),
      resetAt: z.number(),
    })
    .nullable()
    .default(null),
  /** Until then the others behind this address have their turn. */
  sharedUntilAt: z.number().nullable().default(null),
  /** What the list said beside GitHub's latest release, so that it is not read at every poll. */
  compared: z
    .object({
      /** The rules under which it was read, and the tag that was the latest then; null for none. */
      rules: z.string(),
      latest: z.string().nullable(),
      at: z.number(),
      /** The tag of the release to follow in its place; null if there is none. */
      instead: z.string().nullable(),
      /** Why none is followed. */
      refusal: z
        .object({ tag: z.string().nullable(), code: z.string(), message: z.string() })
        .nullable(),
    })
    .nullable()
    .default(null),
  latest: z
    .object({ version: z.string(), tag: z.string(), publishedAt: z.string().nullable() })
    .nullable()
    .default(null),
  /** When releases were first seen of which nobody tells when they were published. */
  firstSeen: z.record(z.string(), z.number()).default({}),
  lastError: z
    .object({ code: z.string(), message: z.string(), at: z.number() })
    .nullable()
    .default(null),
});
export type PollNote = z.infer<typeof pollNoteSchema>;

/**
 * When the next poll is due, wall clock; null for now. A shorter interval counts at once, a limit
 * is waited out, and so is the turn of others. `identity` is the fingerprint of the token in use: a
 * limit met with another one holds no longer.
 */
export function nextPollAt(
  note: PollNote,
  pollIntervalMs: number,
  nowMs: number,
  identity: string | null = null,
  spread?: number,
): number | null {
  const { lastCheckAt, nextCheckAt, sharedUntilAt, limitedUntilAt } = note;
  if (isLimitInForce(limitedUntilAt, nowMs) && !isLimitOf(note, identity)) return nowMs;
  // A check in the future: the clock was set back since, and says nothing about what is due.
  if (lastCheckAt !== null && lastCheckAt > nowMs && !isLimitInForce(limitedUntilAt, nowMs))
    return nowMs;
  if (nextCheckAt === null || lastCheckAt === null || limitedUntilAt !== null) return nextCheckAt;
  return Math.max(
    Math.min(nextCheckAt, lastCheckAt + pollPauseMs(pollIntervalMs, 1, spread)),
    isLimitInForce(sharedUntilAt, nowMs) ? sharedUntilAt : 0,
  );
}

/** Whether a limit that was noted is that of the token in use; null where that is not known. */
export function isLimitOf({ limitedFor }: PollNote, identity: string | null): boolean {
  return limitedFor === null || identity === null || limitedFor === identity;
}

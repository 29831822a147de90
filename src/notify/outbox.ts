/**
 * Pending notifications and their channels: one note beside the facts. Pure except for its store.
 */
import * as z from 'zod';
import { type Notice, noticeSchema } from './notice.ts';

export const CHANNELS = ['url', 'command'] as const;
export type Channel = (typeof CHANNELS)[number];

const pendingSchema = z.object({
  notice: noticeSchema,
  channel: z.enum(CHANNELS),
  attempts: z.number().int(),
  nextAt: z.number(),
});
export type Pending = z.infer<typeof pendingSchema>;

export const outboxSchema = z.object({
  /** Facts up to here were looked at; null where nobody was to be told yet. */
  seq: z.number().int().nullable().default(null),
  pending: z.array(pendingSchema).default([]),
  /** Since when no check succeeded, if that is not known from the last success. */
  failingSince: z.number().nullable().default(null),
  failingTold: z.boolean().default(false),
});
export type Outbox = z.infer<typeof outboxSchema>;

/** A receiver that is away for a day missed it; what is older than fifty others is no news. */
const PAUSES_MS = [
  10_000,
  60_000,
  300_000,
  900_000,
  3_600_000,
  3 * 3_600_000,
  6 * 3_600_000,
  12 * 3_600_000,
];
const MAX_PENDING = 50;

export function enqueue(
  outbox: Outbox,
  notice: Notice,
  channels: readonly Channel[],
  now: number,
): Outbox {
  const added = channels.map((channel) => ({ notice, channel, attempts: 0, nextAt: now }));
  return { ...outbox, pending: [...outbox.pending, ...added].slice(-MAX_PENDING) };
}

export function delivered(outbox: Outbox, one: Pending): Outbox {
  return { ...outbox, pending: outbox.pending.filter((other) => !isSame(other, one)) };
}

/** Null where it was tried for the last time. */
export function postponed(one: Pending, now: number): Pending | null {
  const pause = PAUSES_MS[one.attempts];
  return pause === undefined ? null : { ...one, attempts: one.attempts + 1, nextAt: now + pause };
}

export function replaced(outbox: Outbox, one: Pending, by: Pending | null): Outbox {
  if (by === null) return delivered(outbox, one);
  return { ...outbox, pending: outbox.pending.map((other) => (isSame(other, one) ? by : other)) };
}

/** A clock that was set back must not silence it for long. */
export function dueAt({ nextAt, attempts }: Pending, now: number): number {
  return Math.min(nextAt, now + (PAUSES_MS[attempts - 1] ?? 0));
}

function isSame(one: Pending, other: Pending): boolean {
  return one.notice.id === other.notice.id && one.channel === other.channel;
}

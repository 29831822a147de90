/** The shapes of the API; `/api/openapi.json` is made from them. */
import * as z from 'zod';
import { outcomeSchema } from '../runtime/outcomes.ts';

const time = z.string().nullable().describe('RFC 3339, UTC; null if unknown');
const version = z.string().nullable();

export const failureSchema = z.object({
  ok: z.literal(false),
  error: z.object({ code: z.string(), message: z.string() }),
});

export const eventSchema = z
  .looseObject({
    seq: z.number().int(),
    at: time,
    type: z.string().describe('the fact, past tense; docs/architecture.md'),
    state: z.string().describe('the state after it: `preparing.asking`'),
    text: z.string().describe('the same for people'),
  })
  .describe('a fact of the journal, with further fields of its type');

export const eventsSchema = z.object({
  events: z.array(eventSchema),
  seq: z.number().int().describe('number of the newest fact'),
});

export const historySchema = z.object({
  updates: z.array(
    z.object({
      from: version,
      to: z.string(),
      tag: z.string().nullable(),
      startedAt: time,
      finishedAt: time,
      outcome: z.enum(['updated', 'rolledBack', 'failed', 'inProgress']),
      durationMs: z.number().nullable(),
      downtimeMs: z.number().nullable(),
      overlapMs: z.number().nullable(),
      reason: z.string().nullable(),
    }),
  ),
  way: z.array(z.string()).describe('the states that the last one passed through'),
});

export const replaySchema = z.object({
  seq: z.number().int(),
  state: z.string(),
  value: z.unknown(),
  outstanding: z.array(z.string()),
  context: z.looseObject({}).describe('the context of the machine then'),
});

export const acceptedSchema = z.object({
  ok: z.literal(true),
  id: z.string().describe('of the command; /api/command tells what becomes of it'),
});
export const commandSchema = z.object({
  id: z.string(),
  progress: z
    .enum(['waiting', 'taken', 'settled'])
    .describe('in the inbox; the updater is at it; the updater rests after it'),
  outcome: outcomeSchema.nullable().describe('null until it is settled'),
});
export const probeSchema = z.object({ ok: z.boolean(), reason: z.string().nullable() });
export const webhookSchema = z.object({
  ok: z.literal(true),
  outcome: z.enum(['checking', 'ignored', 'duplicate', 'limited']),
});

/** Routes that only read: probes, status, history, facts, time travel. */
import * as z from 'zod';
import type { JournalRecord } from '../journal/record.ts';
import { shownName } from '../machines/shown.ts';
import { eventOf, replaySummary } from '../report/event.ts';
import { statusSchema } from '../report/status.ts';
import type { Timeline } from '../report/timeline.ts';
import { describeFact } from '../report/words.ts';
import { visible, visibleJson } from '../support/visible.ts';
import { viewOf, type WebContext } from './context.ts';
import { type Api, json, queryOf, refusal } from './describe.ts';
import { failure } from './failure.ts';
import {
  commandSchema,
  eventsSchema,
  historySchema,
  probeSchema,
  replaySchema,
} from './schemas.ts';

const MAX_EVENTS = 500;

const starting = refusal('the updater is starting');

/**
 * The app is there, and will be for the next moment: an update that is about to stop it takes it
 * out of a load balancer first.
 */
const STOPS_SOON =
  /^(?:preparing\.(?:draining|inspecting)|stopping\..+|migrating|switching|starting|rollingBack)$/;

/** An event as the API tells it: with the state after it, and in words. */
export function told(record: JournalRecord, timeline: Timeline) {
  return visibleJson({
    ...eventOf(record),
    state: timeline.stateAfter(record.seq) ?? '',
    text: describeFact(record.fact),
  });
}

const factsQuery = z.object({
  before: z.coerce
    .number()
    .int()
    .min(1)
    .optional()
    .describe('facts before this one; by default the newest'),
  limit: z.coerce.number().int().min(1).max(MAX_EVENTS).default(100),
});
/** A page asks for it at every fact: years of updates are not told each time. */
const historyQuery = z.object({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(200)
    .describe('how many, of the newest'),
});
/** As the inbox makes them: a name in a directory, and no path. */
const commandQuery = z.object({
  id: z
    .string()
    .regex(/^[\w-]{1,64}$/)
    .describe('as the answer to the action names it'),
});
const replayQuery = z.object({ at: z.coerce.number().int().min(1).describe('number of the fact') });

export function addReading(api: Api, context: WebContext): void {
  addProbes(api, context);
  addCommand(api, context);
  api.add(
    {
      method: 'get',
      path: '/api/status',
      summary: 'What runs, what is new, why not now',
      responses: { 200: json(statusSchema, 'as `self-update status --json`'), 503: starting },
    },
    async (c) => c.json(visibleJson(await viewOf(context).status())),
  );
  api.add(
    {
      method: 'get',
      path: '/api/history',
      summary: 'The newest updates, oldest first',
      query: historyQuery,
      responses: {
        200: json(historySchema, 'the updates, and the states that the last one passed through'),
        400: refusal('not a number'),
        503: starting,
      },
    },
    async (c) => {
      const { timeline } = viewOf(context);
      await timeline.catchUp();
      return c.json(
        visibleJson({
          updates: timeline.updates.slice(-queryOf(c, historyQuery).limit),
          way: timeline.way,
        }),
      );
    },
  );
  api.add(
    {
      method: 'get',
      path: '/api/facts',
      summary: 'A page of the journal, oldest first',
      query: factsQuery,
      responses: {
        200: json(eventsSchema, 'the facts'),
        400: refusal('not a number'),
        503: starting,
      },
    },
    async (c) => {
      const { timeline, read } = viewOf(context);
      await timeline.catchUp();
      const { before, limit } = queryOf(c, factsQuery);
      const end = Math.min(before ?? Number.POSITIVE_INFINITY, timeline.seq + 1);
      const after = Math.max(0, end - 1 - limit);
      return c.json({
        events: read(after, end - 1 - after).map((record) => told(record, timeline)),
        seq: timeline.seq,
      });
    },
  );
  api.add(
    {
      method: 'get',
      path: '/api/replay',
      summary: 'Time travel: the state after a fact',
      query: replayQuery,
      responses: {
        200: json(replaySchema, 'as `self-update replay --json --at`'),
        400: refusal('not a number'),
        404: refusal('no such fact'),
        503: starting,
      },
    },
    async (c) => {
      const { timeline } = viewOf(context);
      await timeline.catchUp();
      const { at } = queryOf(c, replayQuery);
      const state = await timeline.at(at);
      if (state === null)
        return failure(
          c,
          404,
          'FACT_MISSING',
          `the journal has facts 1 to ${timeline.seq}, and no ${at}`,
        );
      return c.json(visibleJson(replaySummary(at, state)));
    },
  );
}

function addCommand(api: Api, context: WebContext): void {
  api.add(
    {
      method: 'get',
      path: '/api/command',
      summary: 'What became of a command',
      query: commandQuery,
      responses: {
        200: json(commandSchema, 'as far as it is known'),
        400: refusal('no id'),
        404: refusal('no such command'),
        503: starting,
      },
    },
    (c) => {
      const { id } = queryOf(c, commandQuery);
      const found = viewOf(context).command(id);
      if (found === null)
        return failure(
          c,
          404,
          'COMMAND_MISSING',
          `nothing is known of command ${id}: only the newest 64 are remembered`,
        );
      if (found === 'waits') return c.json({ id, progress: 'waiting', outcome: null });
      return c.json(
        visibleJson({
          id,
          progress: found.outcome === null ? 'taken' : 'settled',
          outcome: found.outcome,
        }),
      );
    },
  );
}

function addProbes(api: Api, context: WebContext): void {
  api.add(
    {
      method: 'get',
      path: '/healthz',
      summary: 'Whether the updater works',
      responses: {
        200: json(probeSchema, 'it does'),
        503: json(probeSchema, 'it does not, and why'),
      },
    },
    (c) => {
      const view = context.view();
      const fault = view?.fault() ?? null;
      if (view !== null && fault === null) return c.json({ ok: true, reason: null });
      return c.json(
        {
          ok: false,
          reason:
            fault === null
              ? 'the journal is not open'
              : visible(`${fault.message} [${fault.code}]`),
        },
        503,
      );
    },
  );
  api.add(
    {
      method: 'get',
      path: '/readyz',
      summary: 'Whether the app runs, and no update is about to stop it',
      responses: {
        200: json(probeSchema, 'it runs'),
        503: json(probeSchema, 'it does not, or not for long'),
      },
    },
    async (c) => {
      const view = context.view();
      const state = view === null ? null : shownName(view.state().snapshot);
      if (state !== null && STOPS_SOON.test(state))
        return c.json({ ok: false, reason: `an update is in progress: ${state}` }, 503);
      // An updater that can't open its journal is no reason to take a healthy app out.
      if (await (view ?? context).isAppUp()) return c.json({ ok: true, reason: null });
      return c.json({ ok: false, reason: 'the app is down' }, 503);
    },
  );
}

/** What `status` says, derived from the state and what polling learnt. Pure. */
import * as z from 'zod';
import type { Context } from '../machines/context.ts';
import { lockTroubleOf } from '../machines/fleet.ts';
import { type Problem, type VerifyCondition, verifyConditionSchema } from '../machines/model.ts';
import type { PollNote } from '../machines/poll-note.ts';
import { shownState } from '../machines/shown.ts';
import type { State } from '../runtime/fold.ts';
import type { ShownSource } from './source.ts';
import { waitingFor, waitingForSchema } from './waiting.ts';
import { formatTime } from './words.ts';

export type ImageInfo = { version: string | null; created: string | null };

/** RFC 3339, UTC. */
const time = z.string().meta({ format: 'date-time' }).nullable();
/** Without `v`, as compared; the tag as published stands beside it. */
const version = z.string().nullable();

const shownSourceSchema = z.object({
  name: z.string().describe('UPDATE_SOURCE'),
  url: z.string().describe('without user, password and query'),
  webUntil: time.describe(
    "until then GitHub's web pages are followed, since its API is at its limit",
  ),
}) satisfies z.ZodType<ShownSource>;

const problemSchema = z.object({ code: z.string(), message: z.string(), at: time });

/** What `status --json` shows; docs/status.schema.json is made from it. */
export const statusSchema = z.object({
  state: z.string().describe('state of the machine, see docs/statechart.md'),
  phase: z.string().nullable().describe('state within it; in `waiting`, for what'),
  repository: z.string().nullable(),
  source: shownSourceSchema.describe('where releases come from'),
  strategy: z.string().nullable(),
  version: version.describe('what `current` names'),
  tag: z.string().nullable(),
  previous: version,
  previousTag: z.string().nullable(),
  lastGood: version.describe('the newest that became healthy'),
  lastGoodTag: z.string().nullable(),
  latest: version.describe('the newest that the last check found'),
  latestTag: z.string().nullable(),
  target: version.describe('on its way in'),
  beside: z
    .object({ version: z.string(), role: z.enum(['candidate', 'retiring']) })
    .nullable()
    .describe('the second copy, in a hand-over: one that may take over, or one that did serve'),
  download: z
    .object({ receivedBytes: z.number().int(), totalBytes: z.number().int() })
    .nullable()
    .describe('how far the download that runs has come'),
  denied: z.array(
    z.object({ version: z.string(), code: z.string(), reason: z.string(), at: time }),
  ),
  hold: z.object({ version: z.string(), tag: z.string(), since: time }).nullable(),
  paused: z.boolean(),
  waitingFor: waitingForSchema.nullable(),
  fleet: z
    .object({
      id: z.string().describe('this container, for the lock and in a rollout'),
      group: z.string().nullable().describe('null without a lock'),
      lock: z
        .enum(['off', 'none', 'unknown', 'held', 'kept'])
        .describe('unknown: it may be held; kept: a version failed, and goes no further'),
      version: version.describe(
        'for which the lock was asked; where it is kept, the one that failed',
      ),
      since: time,
      failure: problemSchema.nullable().describe('why it is kept'),
      lastError: problemSchema.nullable().describe('why it could not be given back'),
    })
    .nullable()
    .describe('null without UPDATE_FLEET_LOCK_URL and UPDATE_ROLLOUT'),
  lastCheck: time,
  lastSuccessfulCheck: time,
  nextCheck: time,
  lastError: problemSchema.nullable(),
  verify: z
    .array(verifyConditionSchema)
    .describe('what a download must show; empty: nothing is checked'),
  warnings: z
    .array(z.string())
    .describe('what is less safe than it could be, by the settings; empty: nothing'),
  listening: z
    .array(
      z.object({
        name: z.string(),
        address: z.string(),
        port: z.number().int(),
        waiting: z.number().int().nullable(),
      }),
    )
    .describe('held sockets (UPDATE_LISTEN), and how many connections wait for the app on each'),
  listenOverflows: z
    .number()
    .int()
    .nullable()
    .describe(
      'connections that found an accept queue full, in this network namespace; null without held sockets',
    ),
  imageVersion: z.string().nullable(),
  imageCreated: time,
  updaterRunning: z
    .boolean()
    .describe('whether an updater is at work now; between two wake-ups none is'),
  seq: z.number().int().describe('number of the newest fact'),
});
export type Status = z.infer<typeof statusSchema>;

export function statusOf(
  state: State | null,
  note: PollNote | null,
  image: ImageInfo,
  facts: {
    updaterRunning: boolean;
    seq: number;
    repository: string | null;
    source: ShownSource;
    verify: readonly VerifyCondition[];
    warnings: readonly string[];
    now: number;
    receivedBytes: number | null;
    listening: Status['listening'];
    listenOverflows: number | null;
  },
): Status {
  const context = state?.snapshot.context ?? null;
  const shown = state === null ? { state: 'idle', phase: null } : shownState(state.snapshot);
  const error = newest(
    context === null ? null : standingError(context, note),
    note?.lastError ?? null,
  );
  return {
    ...shown,
    repository: context?.policy.repository ?? facts.repository,
    source: facts.source,
    strategy: context?.policy.strategy ?? null,
    version: context?.current?.version ?? null,
    tag: context?.current?.tag ?? null,
    previous: context?.previous?.version ?? null,
    previousTag: context?.previous?.tag ?? null,
    lastGood: context?.lastGood?.version ?? null,
    lastGoodTag: context?.lastGood?.tag ?? null,
    latest: note?.latest?.version ?? null,
    latestTag: note?.latest?.tag ?? null,
    target: context?.candidate?.release.version ?? null,
    beside: besideOf(state),
    download: downloadOf(state, facts.receivedBytes),
    denied: context === null ? [] : denials(context),
    hold: context?.hold ? { ...context.hold, since: formatTime(context.hold.since) } : null,
    paused: context?.paused ?? false,
    waitingFor: waitingFor(state, note, facts.now),
    fleet: context && fleetOf(context),
    lastCheck: formatTime(note?.lastCheckAt),
    lastSuccessfulCheck: formatTime(note?.lastSuccessAt),
    // A clock that was set back since the last check makes the next one due.
    nextCheck: formatTime(
      note?.lastCheckAt != null && note.lastCheckAt > facts.now ? facts.now : note?.nextCheckAt,
    ),
    lastError: shownProblem(error),
    verify: [...facts.verify],
    warnings: [...facts.warnings],
    listening: facts.listening,
    listenOverflows: facts.listenOverflows,
    imageVersion: image.version,
    imageCreated: image.created,
    updaterRunning: facts.updaterRunning,
    seq: facts.seq,
  };
}

function fleetOf(context: Context): Status['fleet'] {
  const { policy, fleetLock } = context;
  const id = fleetLock?.id ?? policy.fleet?.id ?? policy.rollout?.id;
  if (id === undefined) return null;
  return {
    id,
    group: fleetLock?.group ?? policy.fleet?.group ?? null,
    lock: lockOf(fleetLock, policy),
    version: fleetLock?.failure?.version ?? fleetLock?.version ?? null,
    since: formatTime(fleetLock?.since),
    failure: shownProblem(fleetLock?.failure ?? null),
    lastError: shownProblem(lockTroubleOf(context, context.fleetLock?.since ?? 0)),
  };
}

function lockOf(
  lock: Context['fleetLock'],
  { fleet }: Context['policy'],
): NonNullable<Status['fleet']>['lock'] {
  if (lock === null) return fleet === null ? 'off' : 'none';
  if (lock.failure !== null) return 'kept';
  return lock.isAcquired ? 'held' : 'unknown';
}

function shownProblem(problem: Problem | null): Status['lastError'] {
  return problem && { code: problem.code, message: problem.message, at: formatTime(problem.at) };
}

/** Which of two copies is the app, `current` says: the switch changes the roles. */
function besideOf(state: State | null): Status['beside'] {
  if (!state?.snapshot.matches('handingOver')) return null;
  const { current, target, previous } = state.snapshot.context;
  const isSwitched = current !== null && current.path === target?.path;
  const beside = isSwitched ? previous : target;
  return beside && { version: beside.version, role: isSwitched ? 'retiring' : 'candidate' };
}

function downloadOf(state: State | null, receivedBytes: number | null): Status['download'] {
  const release = state?.snapshot.matches({ incoming: { fetching: 'downloading' } })
    ? state.snapshot.context.candidate?.release
    : undefined;
  return release === undefined || receivedBytes === null
    ? null
    : { receivedBytes, totalBytes: release.asset.sizeBytes };
}

/** The journal's, and those of the environment. */
function denials({ denied, policy }: Context): Status['denied'] {
  const byEnvironment = policy.denied.map((version) => ({
    version,
    code: 'DENIED_BY_ENVIRONMENT',
    reason: 'denied by UPDATE_DENY',
    at: null,
  }));
  return [
    ...byEnvironment,
    ...denied.map(({ version, code, reason, at }) => ({
      version,
      code,
      reason,
      at: formatTime(at),
    })),
  ];
}

/**
 * A refusal is over once a later check found none: the machine is told of a refusal, and not of its
 * end.
 */
function standingError({ lastError, refused }: Context, note: PollNote | null): Problem | null {
  const isRefusal = lastError !== null && lastError.message === refused?.message;
  return isRefusal &&
    note !== null &&
    note.lastError === null &&
    (note.lastSuccessAt ?? 0) > lastError.at
    ? null
    : lastError;
}

function newest(a: Problem | null, b: Problem | null): Problem | null {
  if (a === null || b === null) return a ?? b;
  return a.at >= b.at ? a : b;
}

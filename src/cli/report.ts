/** What `status` and `history` say, derived from the state and the facts. Pure. */
import { z } from 'zod';
import type { PollNote } from '../effects/check.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { Context } from '../machines/context.ts';
import type { FactOf } from '../machines/facts.ts';
import { type Problem, type VerifyCondition, verifyConditionSchema } from '../machines/model.ts';
import { type State, stateName } from '../runtime/fold.ts';
import { waitingFor, waitingForSchema } from './waiting.ts';
import { formatTime } from './words.ts';

export type ImageInfo = { version: string | null; created: string | null };

/** RFC 3339, UTC. */
const time = z.string().meta({ format: 'date-time' }).nullable();
/** Without `v`, as compared; the tag as published stands beside it. */
const version = z.string().nullable();

/** What `status --json` shows; docs/status.schema.json is made from it. */
export const statusSchema = z.object({
  state: z.string().describe('state of the machine, see docs/statechart.md'),
  phase: z.string().nullable().describe('state within it'),
  repository: z.string().nullable(),
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
  denied: z.array(z.object({ version: z.string(), code: z.string(), reason: z.string(), at: time })),
  hold: z.object({ version: z.string(), tag: z.string(), since: time }).nullable(),
  paused: z.boolean(),
  waitingFor: waitingForSchema.nullable(),
  lastCheck: time,
  lastSuccessfulCheck: time,
  nextCheck: time,
  lastError: z.object({ code: z.string(), message: z.string(), at: time }).nullable(),
  verify: z.array(verifyConditionSchema).describe('what a download must show; empty: nothing is checked'),
  imageVersion: z.string().nullable(),
  imageCreated: time,
  updaterRunning: z.boolean().describe('whether an updater is at work now; between two wake-ups none is'),
  seq: z.number().int().describe('number of the newest fact'),
});
export type Status = z.infer<typeof statusSchema>;

export function statusOf(
  state: State | null,
  note: PollNote | null,
  image: ImageInfo,
  facts: { updaterRunning: boolean; seq: number; repository: string | null; verify: readonly VerifyCondition[]; now: number },
): Status {
  const context = state?.snapshot.context ?? null;
  const value = state?.snapshot.value;
  const error = newest(context?.lastError ?? null, note?.lastError ?? null);
  return {
    state: state === null ? 'idle' : stateName(state.snapshot),
    phase: typeof value === 'object' ? (Object.values(value)[0] ?? null) : null,
    repository: context?.policy.repository ?? facts.repository,
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
    denied: context === null ? [] : denials(context),
    hold: context?.hold ? { ...context.hold, since: formatTime(context.hold.since) } : null,
    paused: context?.paused ?? false,
    waitingFor: waitingFor(state, note, facts.now),
    lastCheck: formatTime(note?.lastCheckAt),
    lastSuccessfulCheck: formatTime(note?.lastSuccessAt),
    // A clock that was set back since the last check makes the next one due.
    nextCheck: formatTime(note?.lastCheckAt != null && note.lastCheckAt > facts.now ? facts.now : note?.nextCheckAt),
    lastError: error && { ...error, at: formatTime(error.at) },
    verify: [...facts.verify],
    imageVersion: image.version,
    imageCreated: image.created,
    updaterRunning: facts.updaterRunning,
    seq: facts.seq,
  };
}

/** The journal's, and those of the environment. */
function denials({ denied, policy }: Context): Status['denied'] {
  const byEnvironment = policy.denied.map((version) => ({ version, code: 'DENIED_BY_ENVIRONMENT', reason: 'denied by UPDATE_DENY', at: null }));
  return [...byEnvironment, ...denied.map(({ version, code, reason, at }) => ({ version, code, reason, at: formatTime(at) }))];
}

function newest(a: Problem | null, b: Problem | null): Problem | null {
  if (a === null || b === null) return a ?? b;
  return a.at >= b.at ? a : b;
}

export type Update = {
  from: string | null;
  to: string;
  tag: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  outcome: 'updated' | 'rolledBack' | 'failed' | 'inProgress';
  durationMs: number | null;
  downtimeMs: number | null;
  reason: string | null;
};

type Draft = { update: Update; startedAt: number; stoppedAt: number | null };

/** One entry for each try to change the version, oldest first. */
export function historyOf(records: readonly JournalRecord[]): Update[] {
  const history = new History();
  for (const record of records) history.add(record);
  return history.updates;
}

class History {
  readonly updates: Update[] = [];
  #found: { fact: FactOf<'releaseFound'>; at: number } | null = null;
  #draft: Draft | null = null;
  #running: string | null = null;

  add({ fact, at }: JournalRecord): void {
    switch (fact.type) {
      case 'releaseFound':
        this.#found = { fact, at };
        break;
      case 'downloaded':
      case 'installed':
        this.#begin();
        break;
      case 'switchStarted':
        this.#begin().stoppedAt ??= at;
        break;
      case 'downloadFailed':
      case 'verificationFailed':
      case 'extractionFailed':
      case 'preparationFailed':
      case 'stopFailed':
      case 'switchFailed':
        this.#begin();
        this.#end('failed', at, fact.message);
        break;
      case 'appStarted':
        this.#running = fact.version;
        if (this.#draft?.stoppedAt != null) this.#draft.update.downtimeMs ??= at - this.#draft.stoppedAt;
        break;
      case 'versionBecameHealthy':
        if (this.#draft?.update.to === fact.version) this.#end('updated', at, null);
        this.#draft = null;
        break;
      case 'hookFailed':
        // After the pre-stop hook the app runs on; after the pre-start hook the old version comes back.
        if (fact.code === 'PRE_STOP_HOOK_FAILED') this.#end('failed', at, fact.message);
        if (fact.code === 'PRE_START_HOOK_FAILED') this.#end('rolledBack', at, fact.message);
        break;
      case 'startFailed':
      case 'probationFailed':
      case 'appCrashLooped':
        this.#end('rolledBack', at, fact.message);
        this.#draft = null;
        break;
      default:
    }
  }

  /** A release that was found becomes an entry once something is done about it. */
  #begin(): Draft {
    if (this.#draft !== null && this.#found === null) return this.#draft;
    const { release } = this.#found?.fact ?? { release: null };
    const startedAt = this.#found?.at ?? 0;
    this.#found = null;
    const update: Update = {
      from: this.#running,
      to: release?.version ?? '',
      tag: release?.tag ?? null,
      startedAt: formatTime(startedAt),
      finishedAt: null,
      outcome: 'inProgress',
      durationMs: null,
      downtimeMs: null,
      reason: null,
    };
    this.updates.push(update);
    this.#draft = { update, startedAt, stoppedAt: null };
    return this.#draft;
  }

  /** An entry that failed is taken up again by the next try at it. */
  #end(outcome: Update['outcome'], at: number, reason: string | null): void {
    if (this.#draft === null) return;
    const { update, startedAt } = this.#draft;
    Object.assign(update, { outcome, reason, finishedAt: formatTime(at), durationMs: at - startedAt });
  }
}

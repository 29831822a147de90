/** What `status` and `history` say, derived from the state and the facts. Pure. */
import type { PollNote } from '../effects/check.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { Problem } from '../machines/model.ts';
import { type State, stateName } from '../runtime/fold.ts';
import { formatTime } from './words.ts';

export type ImageInfo = { version: string | null; created: string | null };

type WaitingFor = { reason: 'assets' | 'retry' | 'firstVersion' | 'rateLimit'; message: string; since: string | null; until: string | null };

export type Status = {
  state: string;
  phase: string | null;
  repository: string | null;
  strategy: string | null;
  version: string | null;
  tag: string | null;
  previous: string | null;
  previousTag: string | null;
  lastGood: string | null;
  lastGoodTag: string | null;
  latest: string | null;
  latestTag: string | null;
  target: string | null;
  denied: { version: string; code: string; reason: string; at: string | null }[];
  hold: { version: string; tag: string; since: string | null } | null;
  paused: boolean;
  waitingFor: WaitingFor | null;
  lastCheck: string | null;
  lastSuccessfulCheck: string | null;
  nextCheck: string | null;
  lastError: { code: string; message: string; at: string | null } | null;
  imageVersion: string | null;
  imageCreated: string | null;
  updaterRunning: boolean;
  seq: number;
};

export function statusOf(
  state: State | null,
  note: PollNote | null,
  image: ImageInfo,
  facts: { updaterRunning: boolean; seq: number; repository: string | null; now: number },
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
    denied: (context?.denied ?? []).map(({ version, code, reason, at }) => ({ version, code, reason, at: formatTime(at) })),
    hold: context?.hold ? { ...context.hold, since: formatTime(context.hold.since) } : null,
    paused: context?.paused ?? false,
    waitingFor: waitingFor(state, note, facts.now),
    lastCheck: formatTime(note?.lastCheckAt),
    lastSuccessfulCheck: formatTime(note?.lastSuccessAt),
    nextCheck: formatTime(note?.nextCheckAt),
    lastError: error && { ...error, at: formatTime(error.at) },
    imageVersion: image.version,
    imageCreated: image.created,
    updaterRunning: facts.updaterRunning,
    seq: facts.seq,
  };
}

function newest(a: Problem | null, b: Problem | null): Problem | null {
  if (a === null || b === null) return a ?? b;
  return a.at >= b.at ? a : b;
}

function waitingFor(state: State | null, note: PollNote | null, now: number): WaitingFor | null {
  if (state === null) return null;
  const { awaiting, candidate, retryAt, current } = state.snapshot.context;
  if (awaiting) return { reason: 'assets', message: awaiting.message, since: formatTime(awaiting.since), until: null };
  if (candidate && retryAt !== null)
    return { reason: 'retry', message: `try ${candidate.attempt} at ${candidate.release.version}`, since: null, until: formatTime(retryAt) };
  if (note?.limitedUntilAt != null && note.limitedUntilAt > now)
    return { reason: 'rateLimit', message: "GitHub's limit", since: formatTime(note.lastCheckAt), until: formatTime(note.limitedUntilAt) };
  if (current === null && stateName(state.snapshot) === 'waiting')
    return { reason: 'firstVersion', message: 'no version is installed or part of the image yet', since: null, until: formatTime(note?.nextCheckAt) };
  return null;
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
  const updates: Update[] = [];
  let draft: Draft | null = null;
  let running: string | null = null;
  const finish = (outcome: Update['outcome'], at: number, reason: string | null): void => {
    if (draft === null) return;
    Object.assign(draft.update, { outcome, reason, finishedAt: formatTime(at), durationMs: at - draft.startedAt });
    draft = null;
  };
  for (const { fact, at } of records) {
    switch (fact.type) {
      case 'releaseFound': {
        finish('failed', at, 'superseded');
        const update: Update = {
          from: running,
          to: fact.release.version,
          tag: fact.release.tag,
          startedAt: formatTime(at),
          finishedAt: null,
          outcome: 'inProgress',
          durationMs: null,
          downtimeMs: null,
          reason: null,
        };
        draft = { update, startedAt: at, stoppedAt: null };
        updates.push(update);
        break;
      }
      case 'switchStarted':
        if (draft !== null) draft.stoppedAt ??= at;
        break;
      case 'appStarted':
        running = fact.version;
        if (draft?.stoppedAt != null && draft.update.downtimeMs === null) draft.update.downtimeMs = at - draft.stoppedAt;
        break;
      case 'versionBecameHealthy':
        if (draft !== null && fact.version === (draft as Draft).update.to) finish('updated', at, null);
        break;
      case 'startFailed':
      case 'probationFailed':
        finish('rolledBack', at, fact.message);
        break;
      case 'downloadFailed':
      case 'verificationFailed':
      case 'extractionFailed':
      case 'preparationFailed':
      case 'stopFailed':
      case 'switchFailed':
        if (draft !== null) draft.update.reason = fact.message;
        if (draft !== null) Object.assign(draft.update, { outcome: 'failed', finishedAt: formatTime(at), durationMs: at - draft.startedAt });
        break;
      default:
    }
  }
  return updates;
}

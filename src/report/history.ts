/** The updates so far, derived from the facts. Pure. */
import type { JournalRecord } from '../journal/record.ts';
import type { FactOf } from '../machines/facts.ts';
import { formatTime } from './words.ts';

export type Update = {
  from: string | null;
  to: string;
  tag: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  outcome: 'updated' | 'rolledBack' | 'failed' | 'inProgress';
  durationMs: number | null;
  downtimeMs: number | null;
  /** How long two copies ran at the same time, in a hand-over. */
  overlapMs: number | null;
  reason: string | null;
};

type Draft = {
  update: Update;
  startedAt: number;
  stoppedAt: number | null;
  /** Whether the app was stopped for it: a hand-over does not. */
  isAppStopped: boolean;
};

/** One entry for each try to change the version, oldest first. */
export function historyOf(records: readonly JournalRecord[]): Update[] {
  const history = new History();
  for (const record of records) history.add(record);
  return history.updates;
}

/** The same, one fact at a time. */
export class History {
  readonly updates: Update[] = [];
  /** Tries that ended so. An entry that failed may be taken up again; these only grow. */
  readonly ends = { updated: 0, rolledBack: 0, failed: 0 };
  #found: { fact: FactOf<'releaseFound'>; at: number } | null = null;
  /** The last one that was found: a later try at it may come without another look. */
  #release: FactOf<'releaseFound'>['release'] | null = null;
  #draft: Draft | null = null;
  #running: string | null = null;
  /** Since when a second copy runs. */
  #besideAt: number | null = null;

  add({ fact, at }: JournalRecord): void {
    switch (fact.type) {
      case 'releaseFound':
        this.#found = { fact, at };
        this.#release = fact.release;
        break;
      case 'downloaded':
      case 'installed':
        this.#begin(at);
        break;
      case 'switchStarted':
        this.#begin(at).stoppedAt ??= at;
        break;
      case 'downloadFailed':
      case 'verificationFailed':
      case 'extractionFailed':
      case 'preparationFailed':
        this.#begin(at);
        this.#end('failed', at, fact.message);
        break;
      // Or on the way back, which is no try of its own.
      case 'stopFailed':
      case 'switchFailed':
        this.#end('failed', at, fact.message);
        break;
      case 'appStopped':
        if (this.#draft !== null) this.#draft.isAppStopped = true;
        break;
      case 'startedBeside':
        this.#besideAt = at;
        if (this.#draft !== null) this.#draft.stoppedAt = null;
        break;
      case 'switched':
        if (this.#besideAt !== null) this.#running = fact.to.version;
        break;
      case 'otherCopyStopped':
        if (this.#draft !== null && this.#besideAt !== null)
          this.#draft.update.overlapMs = at - this.#besideAt;
        this.#besideAt = null;
        break;
      case 'versionDenied':
        if (this.#draft?.update.outcome === 'inProgress' && this.#draft.update.to === fact.version)
          this.#end('failed', at, 'denied by the operator');
        break;
      case 'readinessFailed':
        this.#end('failed', at, fact.message);
        break;
      case 'appStarted':
        this.#running = fact.version;
        if (this.#draft?.stoppedAt != null)
          this.#draft.update.downtimeMs ??= at - this.#draft.stoppedAt;
        break;
      case 'versionBecameHealthy':
        if (this.#draft?.update.to === fact.version) this.#end('updated', at, null);
        this.#draft = null;
        break;
      case 'hookFailed':
        // After the pre-stop hook the app runs on; after the pre-start hook the old version comes
        // back.
        if (fact.code === 'PRE_STOP_HOOK_FAILED') this.#end('failed', at, fact.message);
        if (fact.code === 'PRE_START_HOOK_FAILED') this.#end('rolledBack', at, fact.message);
        break;
      case 'startFailed':
        // It goes on, in another way.
        if (fact.code === 'SOCKET_WITH_APP') break;
        this.#end(this.#draft?.isAppStopped === false ? 'failed' : 'rolledBack', at, fact.message);
        if (this.#draft?.isAppStopped !== false) this.#draft = null;
        break;
      case 'probationFailed':
      case 'appCrashLooped':
        this.#end('rolledBack', at, fact.message);
        this.#draft = null;
        break;
      default:
    }
  }

  /** A release that was found becomes an entry once something is done about it. */
  #begin(at: number): Draft {
    if (this.#draft !== null && this.#found === null) return this.#draft;
    const release = this.#release;
    // What was on its way in gives way to it.
    if (this.#draft?.update.outcome === 'inProgress' && this.#draft.update.to !== release?.version)
      this.#end('failed', at, 'another release took its place');
    const startedAt = this.#found?.at ?? at;
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
      overlapMs: null,
      reason: null,
    };
    this.updates.push(update);
    this.#draft = { update, startedAt, stoppedAt: null, isAppStopped: false };
    return this.#draft;
  }

  /** An entry that failed is taken up again by the next try at it. */
  #end(outcome: keyof History['ends'], at: number, reason: string | null): void {
    if (this.#draft === null) return;
    this.ends[outcome] += 1;
    const { update, startedAt } = this.#draft;
    Object.assign(update, {
      outcome,
      reason,
      finishedAt: formatTime(at),
      durationMs: at - startedAt,
    });
  }
}

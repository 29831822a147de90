/**
 * Notifications: what matters is put into the outbox beside the facts, told from there, and tried
 * again when that fails, also by the next updater. Nothing of it waits for an answer while there is
 * something to do for the app.
 */

import type { JournalRecord } from '../journal/record.ts';
import type { PollNote } from '../machines/poll-note.ts';
import { evolve, replay, type State } from '../runtime/fold.ts';
import type { Log } from '../support/log.ts';
import { redactJson } from '../support/redact.ts';
import { type Notice, notice, noticesOf } from './notice.ts';
import {
  type Channel,
  delivered,
  dueAt,
  enqueue,
  type Outbox,
  outboxSchema,
  type Pending,
  postponed,
  replaced,
} from './outbox.ts';

export type NotifierOptions = {
  channels: readonly Channel[];
  deliver: (channel: Channel, notice: Notice) => Promise<void>;
  store: { read(): string | null; write(text: string): void };
  readFacts: (after: number) => JournalRecord[];
  /** The state after a fact. */
  stateAfter: (seq: number) => State | null;
  lastSeq: () => number;
  pollNote: () => PollNote;
  repository: string;
  /** Without a successful check for so long, somebody is told; 0: never. */
  failingAfterMs: number;
  secrets: () => readonly string[];
  now: () => number;
  log: Log;
};

const OLD_NEWS_MS = 24 * 3_600_000;
/** setTimeout takes 32 bits; looking once more costs nothing. */
const MAX_TIMER_MS = 3_600_000;

export class Notifier {
  readonly #options: NotifierOptions;
  #outbox: Outbox;
  #state: State | null = null;
  #seq = 0;
  #delivering: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  /** Takes in what an updater that was killed journaled and did not tell. */
  constructor(options: NotifierOptions) {
    this.#options = options;
    const { store, lastSeq, readFacts, stateAfter, now } = options;
    this.#outbox = outboxSchema.parse({});
    this.#safely(() => {
      this.#outbox = parsed(store.read());
      const { seq } = this.#outbox;
      this.#seq = lastSeq();
      // Where notifications are new, what was before is no news.
      if (seq === null || seq >= this.#seq) return;
      const facts = readFacts(seq);
      // Nor is what happened while they were switched off.
      if (now() - (facts[0]?.at ?? 0) > OLD_NEWS_MS) return;
      this.#state = stateAfter(seq);
      for (const record of facts)
        this.#take(record, this.#state === null ? replay([record]) : evolve(this.#state, record));
    });
  }

  /** The state that the next fact is compared with. */
  begin(state: State): void {
    this.#state ??= state;
  }

  /** A fact was journaled. */
  observe(record: JournalRecord, state: State): void {
    this.#safely(() => {
      this.#take(record, state);
      this.#start();
    });
  }

  /** Something was learnt by a poll. */
  look(): void {
    this.#safely(() => {
      this.#noticeChecks();
      this.#save();
      this.#start();
    });
  }

  /** When something is to be tried again, wall clock; null when nothing is. */
  nextAt(): number | null {
    const { pending } = this.#outbox;
    const now = this.#options.now();
    return pending.length === 0 ? null : Math.min(...pending.map((one) => dueAt(one, now)));
  }

  /** Tells what is due now, for at most `patienceMs`; what is left is the next updater's. */
  async end(patienceMs: number): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#safely(() => {
      this.#noticeChecks();
      this.#start();
    });
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patienceMs);
    });
    await Promise.race([this.#delivering, patience]);
    clearTimeout(timer);
    this.#save();
  }

  #take(record: JournalRecord, state: State | null): void {
    const before = this.#state;
    this.#state = state;
    this.#seq = record.seq;
    if (before === null || state === null) return;
    const { failingAfterMs } = this.#options;
    for (const found of noticesOf(before, state, record, failingAfterMs)) this.#put(found);
  }

  /** In one write with what it changes: a kill in between would lose it, or tell it twice. */
  #put(found: Notice, changes: Partial<Outbox> = {}): void {
    const { channels, secrets, now } = this.#options;
    this.#outbox = {
      ...enqueue(this.#outbox, redactJson(found, secrets()), channels, now()),
      ...changes,
    };
    this.#save();
  }

  #noticeChecks(): void {
    const { pollNote, failingAfterMs, now, repository } = this.#options;
    const { lastError, lastSuccessAt, lastCheckAt } = pollNote();
    if (failingAfterMs === 0 || lastCheckAt === null) return;
    const fails = lastError !== null && (lastSuccessAt === null || lastError.at > lastSuccessAt);
    const version = this.#state?.snapshot.context.current?.version ?? null;
    const { failingTold } = this.#outbox;
    if (!fails) {
      const over = { failingSince: null, failingTold: false };
      if (failingTold)
        this.#put(
          notice(
            { event: 'checksRecovered', from: version, to: version, code: null, reason: null },
            repository,
            `recovered-${now()}`,
            now(),
          ),
          over,
        );
      else this.#outbox = { ...this.#outbox, ...over };
      return;
    }
    const since = this.#outbox.failingSince ?? lastSuccessAt ?? lastError.at;
    this.#outbox = { ...this.#outbox, failingSince: since };
    if (failingTold || now() - since < failingAfterMs) return;
    const draft = {
      event: 'checksFailing',
      from: version,
      to: version,
      code: lastError.code,
      reason: lastError.message,
    } as const;
    this.#put(notice(draft, repository, `failing-${since}`, now()), { failingTold: true });
  }

  /**
   * Called in the middle of a fact and of a check: what is wrong here must not be taken for trouble
   * there.
   */
  #safely(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.log.warn(
        `a notification may be missing: ${(error as Error).message} [NOTIFY_FAILED]`,
      );
    }
  }

  /**
   * A full disk keeps nobody from the app: what is not kept is told by this updater, or not at all.
   */
  #save(): void {
    try {
      this.#outbox = { ...this.#outbox, seq: this.#seq };
      this.#options.store.write(JSON.stringify(this.#outbox));
    } catch (error) {
      this.#options.log.debug(
        `a pending notification could not be stored: ${(error as Error).message}`,
      );
    }
  }

  #start(): void {
    if (this.#delivering !== null) return;
    if (this.#due() === undefined) {
      this.#sleep();
      return;
    }
    this.#delivering = this.#deliverAll().finally(() => {
      this.#delivering = null;
      this.#sleep();
    });
  }

  #due(): Pending | undefined {
    const now = this.#options.now();
    return this.#outbox.pending.find((one) => dueAt(one, now) <= now);
  }

  /** One after the other, so that they arrive in order. */
  async #deliverAll(): Promise<void> {
    const { deliver, log, now } = this.#options;
    for (let one = this.#due(); one !== undefined; one = this.#due()) {
      // Counted before it is made: a receiver that outlives our patience, or us, must not be tried
      // for ever.
      const again = postponed(one, now());
      this.#outbox = replaced(this.#outbox, one, again);
      this.#save();
      try {
        await deliver(one.channel, one.notice);
        this.#outbox = delivered(this.#outbox, one);
      } catch (error) {
        log.warn(
          `${(error as Error).message}; ${again === null ? `"${one.notice.text}" is dropped` : 'it is tried again'} [NOTIFY_FAILED]`,
        );
        // From the end of a try that took long.
        this.#outbox = replaced(this.#outbox, one, postponed(one, now()));
      }
      this.#save();
    }
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    const at = this.nextAt();
    if (at === null || this.#ended) return;
    this.#timer = setTimeout(
      () => this.#start(),
      Math.min(Math.max(at - this.#options.now(), 1), MAX_TIMER_MS),
    );
    this.#timer.unref();
  }
}

function parsed(text: string | null): Outbox {
  const result = outboxSchema.safeParse(JSON.parse(text ?? '{}'));
  return result.success ? result.data : outboxSchema.parse({});
}

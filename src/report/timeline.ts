/**
 * The journal as people look at it: the state after each fact, the updates, the way that the last
 * one took. Derived, in pages that let others run, and only where somebody looks.
 */
import { setImmediate as others } from 'node:timers/promises';
import type { JournalRecord } from '../journal/record.ts';
import { shownName } from '../machines/shown.ts';
import { begin, evolve, replay, type State } from '../runtime/fold.ts';
import { History, type Update } from './history.ts';

/** Facts after `after`, oldest first, at most `limit`. */
export type ReadFacts = (after: number, limit: number) => JournalRecord[];

/** Fifty facts fold in about a millisecond. */
const PAGE = 50;
/** States kept for time travel: every so many facts. */
const ANCHOR_EVERY = 500;

/** Where a change of version is over. */
const SETTLED = 'running.settled';

export type Download = { durationMs: number; sizeBytes: number };

export class Timeline {
  readonly #read: ReadFacts;
  readonly #history = new History();
  readonly #states: string[] = [];
  readonly #anchors: State[] = [];
  readonly downloads: Download[] = [];
  #state: State | null = null;
  #way: string[] = [];
  #onTheWay = false;
  #downloadingSince: number | null = null;
  #folding: Promise<void> | null = null;

  constructor(read: ReadFacts) {
    this.#read = read;
  }

  get updates(): readonly Update[] {
    return this.#history.updates;
  }

  get ends(): History['ends'] {
    return this.#history.ends;
  }

  /** The states that the last change of version passed through, oldest first. */
  get way(): readonly string[] {
    return this.#way;
  }

  /** The newest fact that is taken in. */
  get seq(): number {
    return this.#states.length;
  }

  /** Takes in what the journal has beyond that. */
  async catchUp(): Promise<void> {
    this.#folding ??= this.#fold().finally(() => {
      this.#folding = null;
    });
    await this.#folding;
  }

  /** The state after a fact, as a path; null for one that is not taken in. */
  stateAfter(seq: number): string | null {
    return this.#states[seq - 1] ?? null;
  }

  /** Time travel: the whole state after a fact. */
  async at(seq: number): Promise<State | null> {
    if (seq < 1 || seq > this.seq) return null;
    const index = Math.floor(seq / ANCHOR_EVERY);
    let state = index === 0 ? null : (this.#anchors[index - 1] ?? null);
    for (let after = state === null ? 0 : index * ANCHOR_EVERY; after < seq; await others()) {
      const page = this.#read(after, Math.min(PAGE, seq - after));
      state = replay(page, state);
      after += page.length;
      if (page.length === 0) return null;
    }
    return state;
  }

  async #fold(): Promise<void> {
    for (;;) {
      const page = this.#read(this.seq, PAGE);
      for (const record of page) this.#add(record);
      if (page.length < PAGE) return;
      await others();
    }
  }

  #add(record: JournalRecord): void {
    this.#state = this.#state === null ? begin(record) : evolve(this.#state, record);
    const path = shownName(this.#state.snapshot);
    const before = this.#states.at(-1);
    this.#states.push(path);
    if (record.seq % ANCHOR_EVERY === 0) this.#anchors.push(this.#state);
    this.#history.add(record);
    this.#follow(record, before, path);
  }

  #follow({ fact, at }: JournalRecord, before: string | undefined, path: string): void {
    if (fact.type === 'releaseFound' && before !== undefined && before !== path) {
      this.#way = [before];
      this.#onTheWay = true;
    }
    if (this.#onTheWay && this.#way.at(-1) !== path) this.#way.push(path);
    if (path === SETTLED) this.#onTheWay = false;
    if (path === 'downloading' && before !== path) this.#downloadingSince = at;
    if (fact.type === 'downloaded' && this.#downloadingSince !== null) {
      this.downloads.push({ durationMs: at - this.#downloadingSince, sizeBytes: fact.sizeBytes });
      this.#downloadingSince = null;
    }
  }
}

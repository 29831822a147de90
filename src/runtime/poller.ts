/** When a poll is due. What polling learnt says so, an operator may ask for one now, and none follows on another without a pause. */
import type { Fact } from '../machines/facts.ts';
import { remainingMs } from '../machines/pacing.ts';
import type { RuntimeOptions } from './options.ts';

/** However often somebody asks. */
const SHORTEST_POLL_PAUSE_MS = 1000;

type Options = Pick<RuntimeOptions, 'nextPollAt' | 'now' | 'pollIntervalMs'>;

export class Poller {
  readonly #options: Options;
  #poll: AbortController | null = null;
  #isAsked = false;
  /** When the last poll of this runtime ended, by a clock that can't be set; it may have failed to note that. */
  #polledAt: number | null = null;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Somebody wants one now. */
  ask(): void {
    this.#isAsked = true;
  }

  get isAsked(): boolean {
    return this.#isAsked;
  }

  get isBusy(): boolean {
    return this.#poll !== null;
  }

  untilDueMs(): number {
    const { nextPollAt, now, pollIntervalMs } = this.#options;
    const next = nextPollAt();
    const noted = next === null || this.#isAsked ? 0 : remainingMs(next, now(), 2 * pollIntervalMs + 2 * 60 * 60 * 1000);
    // A poll that could not note when the next one is due must not be made again at once.
    const pauseMs = this.#isAsked ? SHORTEST_POLL_PAUSE_MS : pollIntervalMs;
    return this.#polledAt === null ? noted : Math.max(noted, this.#polledAt + pauseMs - performance.now());
  }

  /** Polls, if one is due. `onFound` is told the outcome, also of one that was stopped. */
  pollIfDue(perform: (signal: AbortSignal) => Promise<Fact>, onFound: (fact: Fact) => void): void {
    if (this.#poll !== null || this.untilDueMs() > 0) return;
    this.#isAsked = false;
    this.#poll = new AbortController();
    void perform(this.#poll.signal).then((fact) => {
      this.#poll = null;
      this.#polledAt = performance.now();
      onFound(fact);
    });
  }

  stop(): void {
    this.#poll?.abort();
  }
}

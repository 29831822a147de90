/**
 * When a poll is due. What polling learnt says so, an operator may ask for one now, and none
 * follows on another without a pause.
 */
import { remainingMs } from '../machines/pacing.ts';
import type { RuntimeOptions } from './options.ts';

/** However often somebody asks. */
const MIN_POLL_PAUSE_MS = 1000;
/** After one that was aborted, and noted nothing. */
const ABORTED_PAUSE_MS = 10_000;

type Options = Pick<RuntimeOptions, 'nextPollAt' | 'now' | 'pollIntervalMs'>;

export class Poller {
  readonly #options: Options;
  #isAsked = false;
  /** Whether the one that runs was asked for; null while none runs. */
  #wasAsked: boolean | null = null;
  /**
   * When the last poll of this runtime ended, by a clock that can't be set; it may have failed to
   * note that.
   */
  #polledAt: number | null = null;
  #wasAborted = false;

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

  untilDueMs(): number {
    const { nextPollAt, now, pollIntervalMs } = this.#options;
    const next = nextPollAt();
    const noted =
      next === null || this.#isAsked
        ? 0
        : remainingMs(next, now(), 2 * pollIntervalMs + 2 * 60 * 60 * 1000);
    // A poll that could not note when the next one is due must not be made again at once.
    const usualMs = this.#wasAborted ? Math.min(ABORTED_PAUSE_MS, pollIntervalMs) : pollIntervalMs;
    const pauseMs = this.#isAsked ? MIN_POLL_PAUSE_MS : usualMs;
    return this.#polledAt === null
      ? noted
      : Math.max(noted, this.#polledAt + pauseMs - performance.now());
  }

  get isRunning(): boolean {
    return this.#wasAsked !== null;
  }

  /** One that runs is due until it ends. */
  get isDue(): boolean {
    return this.isRunning || this.untilDueMs() <= 0;
  }

  begun(): void {
    this.#wasAsked = this.#isAsked;
    this.#isAsked = false;
  }

  /**
   * One that was aborted counts too, or many would follow on each other; but whoever asked for it
   * still waits for an answer.
   */
  ended(isAborted: boolean): void {
    if (isAborted && this.#wasAsked) this.#isAsked = true;
    this.#wasAsked = null;
    this.#wasAborted = isAborted;
    this.#polledAt = performance.now();
  }
}

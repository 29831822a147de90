/** So many at once, and one more each `refillMs`: a token bucket. */
export class Allowance {
  readonly #max: number;
  readonly #refillMs: number;
  readonly #now: () => number;
  #left: number;
  #at: number;

  constructor(max: number, refillMs: number, now: () => number = () => performance.now()) {
    this.#max = max;
    this.#refillMs = refillMs;
    this.#now = now;
    this.#left = max;
    this.#at = now();
  }

  /** False where nothing is left. */
  take(): boolean {
    const now = this.#now();
    this.#left = Math.min(this.#max, this.#left + (now - this.#at) / this.#refillMs);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

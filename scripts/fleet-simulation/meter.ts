/** What is measured: how many are down, updated, hurt, and when. */

const MINUTE_MS = 60_000;

/** A minute since the publication: the most that were so at once in it. */
export type Minute = { down: number; updated: number; held: number };

/** `held`: slots of the lock that are taken now. */
type Options = { sinceMs: number; now: () => number; held: () => number };

export class Meter {
  /** When each became healthy with the release, ms since its publication, ascending. */
  readonly updatedAfterMs: number[] = [];
  /** Who started the release where it is bad. */
  readonly victims = new Set<number>();
  readonly minutes: Minute[] = [];
  mostDown = 0;
  readonly #options: Options;
  #now: Minute = { down: 0, updated: 0, held: 0 };

  constructor(options: Options) {
    this.#options = options;
  }

  serves(isServing: boolean): void {
    this.#change({ down: this.#now.down + (isServing ? -1 : 1) });
    this.mostDown = Math.max(this.mostDown, this.#now.down);
  }

  updated(): void {
    this.updatedAfterMs.push(this.#options.now() - this.#options.sinceMs);
    this.#change({ updated: this.updatedAfterMs.length });
  }

  get down(): number {
    return this.#now.down;
  }

  /** Somebody took a slot, or gave it back. */
  locked(): void {
    this.#change({});
  }

  #change(changed: Partial<Minute>): void {
    const { now, sinceMs, held } = this.#options;
    const index = Math.floor((now() - sinceMs) / MINUTE_MS);
    while (this.minutes.length <= index) this.minutes.push(this.#now);
    this.#now = { ...this.#now, ...changed, held: held() };
    const minute = this.minutes[index];
    if (minute === undefined) return;
    this.minutes[index] = {
      down: Math.max(minute.down, this.#now.down),
      updated: this.#now.updated,
      held: Math.max(minute.held, this.#now.held),
    };
  }
}

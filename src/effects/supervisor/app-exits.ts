/** The exits of the app that nobody asked for, since the updater last started it. */
import type { Exit } from './supervisor.ts';

/** runsv pauses for one second after a service that ended early; so do we. */
const RESTART_PAUSE_MS = 1000;
/** So many times it is started again after a second. */
const EXITS_AT_FULL_PACE = 7;
const EXITS_REMEMBERED = 20;

export class AppExits {
  readonly #told = new EventTarget();
  #at: number[] = [];
  #last: Exit | null = null;

  add(exit: Exit): void {
    this.#at = [...this.#at, performance.now()].slice(-EXITS_REMEMBERED);
    this.#last = exit;
    this.#told.dispatchEvent(new CustomEvent('exit', { detail: exit }));
  }

  forget(): void {
    this.#at = [];
  }

  /** See `nextExit` of Supervisor. */
  next(signal: AbortSignal, known: number): Promise<Exit> {
    return new Promise((resolve, reject) => {
      const aborted = () => reject(signal.reason);
      if (signal.aborted) return aborted();
      if (this.#last !== null && this.#at.length > known) return resolve(this.#last);
      signal.addEventListener('abort', aborted, { once: true });
      this.#told.addEventListener('exit', (event) => resolve((event as CustomEvent<Exit>).detail), {
        once: true,
        signal,
      });
    });
  }

  agesMs(): number[] {
    const now = performance.now();
    return this.#at.map((at) => now - at);
  }

  /**
   * As docker/service/app/run has it: a second, then more and more for one that ends again and
   * again.
   */
  restartPauseMs(): number {
    return Math.max(
      RESTART_PAUSE_MS,
      2 * RESTART_PAUSE_MS * (this.#at.length - EXITS_AT_FULL_PACE),
    );
  }
}

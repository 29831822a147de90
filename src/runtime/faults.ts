/**
 * What keeps the updater from its work: the journal can't be written, most likely. It looks again,
 * each time a little later.
 */
import { type Fault, toFault } from '../support/fault.ts';
import type { Log } from '../support/log.ts';

/** When to look again. */
export const RETRY_AFTER_FAULT_MS = 10_000;
/** Each fault in a row doubles that, up to this. */
const MAX_FAULT_PAUSE_MS = 60_000;

export class Faults {
  #current: Fault | null = null;
  #inARow = 0;

  get current(): Fault | null {
    return this.#current;
  }

  /** Tells how long to pause. */
  record(error: unknown, log: Log): number {
    const fault = toFault(error, 'JOURNAL_FAILED');
    // A full disk is told once, not every few seconds.
    if (fault.message !== this.#current?.message)
      log.warn(`updates are suspended: ${fault.message} [${fault.code}]`);
    this.#current = fault;
    return Math.min(RETRY_AFTER_FAULT_MS * 2 ** this.#inARow++, MAX_FAULT_PAUSE_MS);
  }

  over(): void {
    this.#current = null;
    this.#inARow = 0;
  }
}

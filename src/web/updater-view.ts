/**
 * What the server shows, and the little it may do: given by the composition root once there is an
 * updater.
 */

import type { OperatorFact } from '../machines/facts.ts';
import type { PollNote } from '../machines/poll-note.ts';
import type { Status } from '../report/status.ts';
import type { ReadFacts, Timeline } from '../report/timeline.ts';
import type { State } from '../runtime/fold.ts';
import type { TakenCommand } from '../runtime/outcomes.ts';
import type { Fault } from '../support/fault.ts';

export type UpdaterView = {
  timeline: Timeline;
  read: ReadFacts;
  state: () => State;
  note: () => PollNote;
  status: () => Promise<Status>;
  /** Whether the app runs, as its supervisor sees it now. */
  isAppUp: () => Promise<boolean>;
  /** What keeps the updater from working; null when nothing does. */
  fault: () => Fault | null;
  /** Places a command in the inbox; returns its id. */
  submit: (command: OperatorFact | { type: 'checkNow' }) => string;
  /**
   * What is noted of a command; `waits` while it is in the inbox, null where nothing is known of
   * it.
   */
  command: (id: string) => TakenCommand | 'waits' | null;
  /** Digests of webhooks that were taken already, across restarts. */
  deliveries: { has(digest: string): boolean; add(digest: string): void };
};

/**
 * Facts come in bursts during an update: watchers are notified a little later, of several at once.
 */
const GATHERED_FOR_MS = 25;

/** Wakes those that wait for a change. */
export class Changes {
  #version = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting = new Set<() => void>();

  get version(): number {
    return this.#version;
  }

  /** Notifies the waiting clients, soon. Costs next to nothing if there are none. */
  announce(): void {
    if (this.#waiting.size === 0) {
      this.#version += 1;
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#version += 1;
      for (const resolve of this.#waiting) resolve();
      this.#waiting.clear();
    }, GATHERED_FOR_MS).unref();
  }

  /**
   * Resolves at the first change after `version`, or after `patienceMs`, or when `signal` aborts.
   */
  async after(version: number, patienceMs: number, signal: AbortSignal): Promise<void> {
    if (this.#version !== version || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, patienceMs);
      signal.addEventListener('abort', done, { once: true });
      this.#waiting.add(done);
    });
  }
}

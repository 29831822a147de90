/**
 * What the updater asks of whatever keeps the app running. Two implementations: embedded (a child
 * process) and runit.
 */
import type { AppCommand } from '../entry-point.ts';

export type Exit = { exitCode: number | null; signal: string | null };

export type StopRequest = { signalName: string; waitMs: number };

export interface Supervisor {
  /** Whether a resident updater that is told to end takes the app along. */
  readonly endsWithUpdater: boolean;
  /** The tree that the running app was started from; null when no app runs. */
  observe(): Promise<string | null>;
  /**
   * Whether a process of the app lives at this very moment: not in the pause between its end and
   * its restart.
   */
  isAlive(): Promise<boolean>;
  /** The copy that runs, by its leader: its tree and pid. Null for none. */
  running(): { tree: string; pid: number } | null;
  /** Throws `Fault` `SUPERVISOR_MISSING` when nobody would start the app again after a stop. */
  assertReachable(): Promise<void>;
  /**
   * Opens the sockets that are held for the app, where they are the updater's to hold. Throws
   * `Fault` `LISTEN_FAILED`.
   */
  holdSockets(): void;
  /**
   * Starts the app from `tree`, or adopts it when it runs from there already. Throws `Fault` when
   * it can't be started.
   */
  start(tree: string, command: AppCommand): Promise<{ adopted: boolean }>;
  /**
   * Asks the app to stop, waits, kills its whole group, and proves that all of it is gone. Safe
   * when nothing runs.
   */
  stop(request: StopRequest): Promise<{ killed: boolean }>;
  /**
   * Resolves once the app has exited more than `known` times since the updater last started it.
   * Rejects when `signal` aborts.
   */
  nextExit(signal: AbortSignal, known: number): Promise<Exit>;
  /**
   * How long ago the app exited unexpectedly, ms, each time since the updater last started it; the
   * oldest may be forgotten.
   */
  exitAgesMs(): number[];
  /**
   * For an app that ends again and again: what its next start writes, until it ends or for seconds.
   * If it has not ended then, it is told to. Rejects when `signal` aborts.
   */
  lastWords(signal: AbortSignal): Promise<string>;
  /** Lets go: the app goes on without anyone watching. */
  detach(): void;
}

/** The places of two copies; the second one is there only with the strategy hand-over. */
export type SlotName = 'app' | 'app2';

/** A place in which one copy of the app runs. The strategy hand-over has two: pair.ts. */
export interface Slot extends Supervisor {
  /**
   * Starts the app from `tree` beside what runs elsewhere, once: it is not started again when it
   * ends. Adopts one that runs from there already. Throws `Fault` `START_FAILED` when it can't be
   * started.
   */
  startOnce(tree: string, command: AppCommand): Promise<{ adopted: boolean }>;
  /**
   * How the copy of `startOnce` ended; null while it runs. Both parts are null where nobody could
   * see it: runsv was killed before.
   */
  endOfOnce(): Exit | null;
  /** From now on it is started again when it ends, as what `current` names. Safe to repeat. */
  keep(): Promise<void>;
  /** Whether the running copy has said READY=1, see sd_notify(3). */
  isReady(): boolean;
}

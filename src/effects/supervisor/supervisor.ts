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
  /** Throws `Fault` `SUPERVISOR_MISSING` when nobody would start the app again after a stop. */
  assertReachable(): Promise<void>;
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
  /** Lets go: the app goes on without anyone watching. */
  detach(): void;
}

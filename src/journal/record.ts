import type { Fact } from '../machines/facts.ts';

/**
 * One journaled fact. `seq` counts from 1 and is never renumbered; `at` is wall-clock milliseconds.
 * `effect` is the id of the outstanding effect that it resolves, `command` the operator's command
 * that it came from.
 */
export type JournalRecord = {
  seq: number;
  at: number;
  fact: Fact;
  effect: string | null;
  command: string | null;
};

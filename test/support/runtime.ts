/**
 * What a runtime is given where a test is about something else: an hour between polls, a machine on
 * which all is there, and nobody who listens.
 */
import type { RuntimeOptions } from '../../src/runtime/options.ts';
import { policy } from './machine.ts';

export const QUIET = {
  policy: { ...policy, strategy: 'download-then-kill' },
  pollIntervalMs: 3_600_000,
  firstCheckTimeoutMs: 30_000,
  pollTrouble: () => null,
  observeFloor: async () => null,
  exitAgesMs: () => [],
  explainCrash: null,
  isTreeThere: () => true,
  isBusy: () => false,
  busyLookMs: 1000,
  now: Date.now,
  random: () => 0.5,
  log: { info: () => {}, warn: () => {}, debug: () => {} },
  onRecord: () => {},
  secrets: () => [],
} satisfies Partial<RuntimeOptions>;

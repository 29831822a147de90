/** What is simulated. Times are from the publication of the release on, ms. */

export type Scenario = {
  title: string;
  containers: number;
  /** Containers behind one address share its quota. */
  behindOneAddress: number;
  /** Requests an hour that GitHub takes from an address: 60, or 5,000 with a token. */
  quotaPerHour: number;
  pollIntervalMs: number;
  /** Of the fleet's lock; null without one. */
  slots: number | null;
  keepsOnFailure: boolean;
  lockDown: { fromMs: number; toMs: number } | null;
  rolloutMs: number | null;
  /** So many take the release at once, and all others at the rollout's end; 0: by hash. */
  canaries: number;
  /** Part of the containers on which the release does not run. */
  badShare: number;
  withdrawnAfterMs: number | null;
  /** They start in its first third, so that polls have found their pace. */
  warmUpMs: number;
  /** The end, if nothing else ends it. */
  untilMs: number;
};

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;

export const base: Scenario = {
  title: 'no lock, no rollout',
  containers: 10_000,
  behindOneAddress: 100,
  quotaPerHour: 60,
  pollIntervalMs: 300_000,
  slots: null,
  keepsOnFailure: true,
  lockDown: null,
  rolloutMs: null,
  canaries: 0,
  badShare: 0,
  withdrawnAfterMs: null,
  warmUpMs: 3 * HOUR_MS,
  untilMs: 48 * HOUR_MS,
};

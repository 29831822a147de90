/** What is simulated. Times are from the publication of the release on, ms. */

export type Scenario = {
  title: string;
  containers: number;
  /** Containers behind one address share its quota. */
  behindOneAddress: number;
  /** Requests an hour that GitHub takes from an address: 60, or 5,000 with a token. */
  quotaPerHour: number;
  pollIntervalMs: number;
  probationMs: number;
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
  /** After so long without an update nothing moves any more. A rollout moves by itself. */
  standstillMs: number;
  /** The end, if nothing else ends it. */
  untilMs: number;
};

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;

/** All see the release within one `SLEEP`: what is hardest for those who must not be down together. */
export const base: Scenario = {
  title: 'nothing set',
  containers: 10_000,
  behindOneAddress: 100,
  quotaPerHour: 5_000,
  pollIntervalMs: 5 * MINUTE_MS,
  probationMs: 10_000,
  slots: null,
  keepsOnFailure: true,
  lockDown: null,
  rolloutMs: null,
  canaries: 0,
  badShare: 0,
  withdrawnAfterMs: null,
  warmUpMs: 15 * MINUTE_MS,
  untilMs: 48 * HOUR_MS,
  standstillMs: HOUR_MS,
};

const lock = { slots: 100 };
const rollout = { rolloutMs: 24 * HOUR_MS };
/** Many polls would be simulated for a figure that is not about them. */
const seldom = { pollIntervalMs: 30 * MINUTE_MS, warmUpMs: 90 * MINUTE_MS };
/** It runs nowhere, and its maintainers take it back. */
const bad = { badShare: 1, withdrawnAfterMs: HOUR_MS, untilMs: 75 * MINUTE_MS };
const anonymous = {
  quotaPerHour: 60,
  warmUpMs: 3 * HOUR_MS,
  untilMs: 24 * HOUR_MS,
  standstillMs: 24 * HOUR_MS,
};

/** By the names that `npm run simulate -- name…` takes. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  plain: base,
  rollout: { ...base, ...rollout, ...seldom, title: 'rollout 24 h' },
  lock: { ...base, ...lock, title: 'lock, 100 slots' },
  'lock-rollout': { ...base, ...lock, ...rollout, ...seldom, title: 'lock and rollout' },
  'one-slot': { ...base, containers: 1_000, slots: 1, title: 'lock, 1 slot, 1,000 containers' },
  'lock-down': {
    ...base,
    ...lock,
    lockDown: { fromMs: 0, toMs: HOUR_MS },
    standstillMs: 2 * HOUR_MS,
    title: 'lock, its server down for the first hour',
  },
  'some-fail': { ...base, badShare: 0.01, title: 'fails at 1 %' },
  'some-fail-keep': { ...base, ...lock, badShare: 0.01, title: 'fails at 1 %, lock' },
  'some-fail-release': {
    ...base,
    ...lock,
    badShare: 0.01,
    keepsOnFailure: false,
    title: 'fails at 1 %, lock, `ON_FAILURE=release`',
  },
  bad: { ...base, ...bad, title: 'bad everywhere' },
  'bad-lock': { ...base, ...bad, ...lock, title: 'bad everywhere, lock' },
  'bad-rollout': { ...base, ...bad, ...rollout, title: 'bad everywhere, rollout' },
  'bad-canaries': {
    ...base,
    ...bad,
    ...rollout,
    canaries: 100,
    title: 'bad everywhere, rollout, 100 canaries',
  },
  'no-token-10': { ...base, ...anonymous, behindOneAddress: 10, title: 'no token, 10 an address' },
  'no-token-100': { ...base, ...anonymous, title: 'no token, 100 an address' },
};

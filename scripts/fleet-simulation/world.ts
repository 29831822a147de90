/** What is around the fleet, on a clock of its own, and what a container is to it. */
import type { Policy } from '../../src/machines/model.ts';
import type { PollNote } from '../../src/machines/poll-note.ts';
import type { State } from '../../src/runtime/fold.ts';
import { Events } from './events.ts';
import { published, SimulatedGitHub } from './github.ts';
import { LockServer } from './lock-server.ts';
import { Meter } from './meter.ts';
import { HOUR_MS, type Scenario } from './scenarios.ts';

export const OLD = '1.1.0';
export const NEW = '1.2.0';
export const GROUP = 'default';
/** When the release comes out, wall clock. */
export const PUBLISHED_AT = Date.UTC(2026, 0, 5, 12);

export class World {
  readonly scenario: Scenario;
  readonly events = new Events();
  readonly github: SimulatedGitHub;
  readonly lock: LockServer;
  readonly meter: Meter;
  now: number;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.now = PUBLISHED_AT - scenario.warmUpMs;
    const clock = { now: () => this.now, sinceMs: PUBLISHED_AT };
    const old = published(OLD, PUBLISHED_AT - 1000 * HOUR_MS);
    this.github = new SimulatedGitHub({ ...clock, quotaPerHour: scenario.quotaPerHour }, [old]);
    const down = scenario.lockDown && {
      from: PUBLISHED_AT + scenario.lockDown.fromMs,
      to: PUBLISHED_AT + scenario.lockDown.toMs,
    };
    this.lock = new LockServer({ ...clock, slots: scenario.slots ?? 0, down });
    this.meter = new Meter({ ...clock, held: () => this.lock.holdersOf(GROUP).size });
    this.events.add(PUBLISHED_AT, () => this.#publish([published(NEW, PUBLISHED_AT), old]));
    if (scenario.withdrawnAfterMs !== null)
      this.events.add(PUBLISHED_AT + scenario.withdrawnAfterMs, () => this.#publish([old]));
  }

  #publish(releases: SimulatedGitHub['published']): void {
    this.github.published = releases;
  }
}

export type Traits = {
  index: number;
  policy: Policy;
  /** Which of the addresses it has towards GitHub. */
  address: number;
  /** Whether the release does not run here. */
  isBad: boolean;
  random: () => number;
};

/** What an effect sees of its container, and does to it. */
export type Host = {
  readonly traits: Traits;
  readonly world: World;
  readonly state: State;
  note: PollNote;
  /** The version whose process runs; null while none does. */
  running: string | null;
  /** The app answers from now on, or does not. */
  serve(isServing: boolean): void;
};

/** The fleet and what is around it, on a clock of its own. */
import type { Policy } from '../../src/machines/model.ts';
import { policy, running } from '../../test/support/machine.ts';
import { Container } from './container.ts';
import { Events, randomOf } from './events.ts';
import { published, SimulatedGitHub } from './github.ts';
import { LockServer } from './lock-server.ts';
import { Meter } from './meter.ts';
import type { Scenario } from './scenarios.ts';

export const OLD = '1.0.0';
export const NEW = '1.1.0';
export const GROUP = 'default';
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
/** When the release comes out, wall clock. */
export const PUBLISHED_AT = Date.UTC(2026, 0, 5, 12);
/** Long enough before it for the polls of a quota to have found their places. */
const WARM_UP_MS = 3 * HOUR_MS;
/** Nothing has moved for so long: it has come to a standstill. */
const STANDSTILL_MS = HOUR_MS;

export class World {
  readonly scenario: Scenario;
  readonly events = new Events();
  readonly github: SimulatedGitHub;
  readonly lock: LockServer;
  readonly meter: Meter;
  readonly containers: readonly Container[];
  now = PUBLISHED_AT - WARM_UP_MS;

  constructor(scenario: Scenario, seed = 1) {
    this.scenario = scenario;
    const now = () => this.now;
    const old = published(OLD, PUBLISHED_AT - 1000 * HOUR_MS);
    const clock = { now, sinceMs: PUBLISHED_AT };
    this.github = new SimulatedGitHub({ ...clock, quotaPerHour: scenario.quotaPerHour }, [old]);
    const down = scenario.lockDown && {
      from: PUBLISHED_AT + scenario.lockDown.fromMs,
      to: PUBLISHED_AT + scenario.lockDown.toMs,
    };
    this.lock = new LockServer({ ...clock, slots: scenario.slots ?? 0, down });
    this.meter = new Meter({ ...clock, held: () => this.lock.holdersOf(GROUP).size });
    const settled = running({ policy: { strategy: 'download-then-kill' } }).state;
    this.containers = Array.from({ length: scenario.containers }, (_, index) => {
      const random = randomOf(seed * 1_000_003 + index);
      const traits = {
        index,
        policy: this.#policyOf(index),
        address: index % Math.ceil(scenario.containers / scenario.behindOneAddress),
        isBad: random() < scenario.badShare,
        random,
      };
      const container = new Container(this, traits, settled);
      this.events.add(this.now + Math.round(random() * HOUR_MS), () => container.start());
      return container;
    });
    const release = published(NEW, PUBLISHED_AT);
    this.events.add(PUBLISHED_AT, () => this.#publish([release, old]));
    if (scenario.withdrawnAfterMs !== null)
      this.events.add(PUBLISHED_AT + scenario.withdrawnAfterMs, () => this.#publish([old]));
  }

  #publish(releases: SimulatedGitHub['published']): void {
    this.github.published = releases;
  }

  #policyOf(index: number): Policy {
    const { scenario } = this;
    const id = `container-${index}`;
    const isCanary = index < scenario.canaries;
    const wariness = scenario.canaries === 0 ? null : isCanary ? 0 : 1;
    return {
      ...policy,
      strategy: 'download-then-kill',
      retryBaseMs: scenario.pollIntervalMs,
      ...(scenario.slots === null
        ? {}
        : { fleet: { id, group: GROUP, keepsOnFailure: scenario.keepsOnFailure } }),
      ...(scenario.rolloutMs === null
        ? {}
        : { rollout: { id, periodMs: scenario.rolloutMs, wariness } }),
    };
  }

  /** Until all that can be updated are, the scenario's time is over, or nothing moves any more. */
  async run(): Promise<void> {
    const { scenario, meter, events } = this;
    const until = PUBLISHED_AT + scenario.untilMs;
    for (let event = events.next(); event !== null; event = events.next()) {
      if (event.at > until || this.#isOver()) return;
      this.now = event.at;
      await event.run();
      if (
        meter.updatedAfterMs.length + meter.victims.size >= scenario.containers &&
        meter.down === 0
      )
        return;
    }
  }

  #isOver(): boolean {
    const last = this.meter.updatedAfterMs.at(-1);
    const since = this.now - PUBLISHED_AT;
    return last !== undefined && this.scenario.rolloutMs === null && since - last > STANDSTILL_MS;
  }
}

/**
 * The simulation of a fleet, in small: what docs/benchmarks says of ten thousand containers has to
 * hold of two hundred.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Events, randomOf } from '../../scripts/fleet-simulation/events.ts';
import { isUpdated, NEW, simulate } from '../../scripts/fleet-simulation/fleet.ts';
import { LockServer } from '../../scripts/fleet-simulation/lock-server.ts';
import { resultOf } from '../../scripts/fleet-simulation/report.ts';
import {
  base,
  HOUR_MS,
  MINUTE_MS,
  type Scenario,
  scenarios,
} from '../../scripts/fleet-simulation/scenarios.ts';
import { rolloutPlace } from '../../src/machines/rollout.ts';

const CONTAINERS = 200;
const SLOTS = 4;
const small: Scenario = { ...base, containers: CONTAINERS };
const bad = { badShare: 1, withdrawnAfterMs: HOUR_MS, untilMs: 90 * MINUTE_MS };

describe('two hundred containers', () => {
  it('with a lock are all updated, and never more are down than it has slots', async () => {
    const fleet = await simulate({ ...small, slots: SLOTS });
    const { mostDown, updated, allAfterMs } = resultOf(fleet);
    assert.equal(updated, CONTAINERS);
    assert.ok(fleet.containers.every(isUpdated));
    assert.ok(mostDown <= SLOTS && mostDown > 1, `${mostDown} down at once`);
    assert.ok((allAfterMs ?? Number.NaN) < HOUR_MS, `after ${allAfterMs} ms`);
    assert.equal(fleet.world.lock.holdersOf('default').size, 0, 'all slots are given back');
  });

  it('without one are down together', async () => {
    const { mostDown, updated } = resultOf(await simulate({ ...small, pollIntervalMs: 60_000 }));
    assert.equal(updated, CONTAINERS);
    assert.ok(mostDown > SLOTS, `${mostDown} down at once`);
  });

  it('lose as many to a bad release as there are slots, which then are kept', async () => {
    const fleet = await simulate({ ...small, badShare: 1, untilMs: 20 * MINUTE_MS, slots: SLOTS });
    const { victims, mostDown, updated } = resultOf(fleet);
    assert.deepEqual([victims, updated], [SLOTS, 0]);
    assert.ok(mostDown <= SLOTS, `${mostDown} down at once`);
    assert.equal(fleet.world.lock.holdersOf('default').size, SLOTS);
    for (const { state, traits } of fleet.containers) {
      const { denied, fleetLock } = state.snapshot.context;
      const isVictim = fleet.world.meter.victims.has(traits.index);
      assert.equal(fleetLock?.failure != null, isVictim);
      assert.deepEqual(
        denied.map(({ version }) => version),
        isVictim ? [NEW] : [],
      );
    }
  });

  it('lose to a bad release in a rollout those whose turn came before it was taken back', async () => {
    const fleet = await simulate({ ...small, ...bad, rolloutMs: 4 * HOUR_MS });
    const { victims } = resultOf(fleet);
    const turns = fleet.containers.filter(
      ({ traits }) => rolloutPlace(`container-${traits.index}`, NEW) < 1 / 4,
    );
    // A container learns at its next poll, five minutes later, that the release is gone.
    assert.ok(victims >= turns.length && victims < turns.length * 1.3, `${victims} victims`);
  });

  it('wait for a lock whose server does not answer, and go on when it does', async () => {
    const lockDown = { fromMs: 0, toMs: 10 * MINUTE_MS };
    const fleet = await simulate({ ...small, slots: SLOTS, lockDown });
    const { updatedAfterMs, mostDown } = fleet.world.meter;
    assert.equal(updatedAfterMs.length, CONTAINERS);
    assert.ok((updatedAfterMs[0] ?? 0) > lockDown.toMs, 'nobody was interrupted meanwhile');
    assert.ok(mostDown <= SLOTS);
  });

  it('take the same course for the same seed', async () => {
    const runs = await Promise.all([1, 1, 2].map((seed) => simulate(small, seed)));
    const [one, again, other] = runs.map(({ world }) => world.meter.updatedAfterMs);
    assert.deepEqual(one, again);
    assert.notDeepEqual(one, other);
  });
});

describe('places in a rollout', () => {
  const ids = Array.from({ length: 10_000 }, (_, index) => `container-${index}`);
  const versions = Array.from({ length: 20 }, (_, index) => `1.${index}.0`);
  const places = versions.map((version) => ids.map((id) => rolloutPlace(id, version)));

  it('are uniform over the containers, for each of twenty releases', () => {
    const BINS = 100;
    for (const [release, all] of places.entries()) {
      const counts = new Array<number>(BINS).fill(0);
      for (const place of all)
        counts[Math.floor(place * BINS)] = (counts[Math.floor(place * BINS)] ?? 0) + 1;
      const expected = ids.length / BINS;
      const chiSquare = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
      // 99 degrees of freedom: one in 100,000 is above 170.
      assert.ok(chiSquare < 170, `${versions[release]}: ${chiSquare}`);
    }
  });

  it('come in another order for each of them', () => {
    const ranks = places.map((all) => {
      const order = all.map((place, index) => ({ place, index }));
      order.sort((a, b) => a.place - b.place);
      const rank = new Array<number>(all.length).fill(0);
      for (const [position, { index }] of order.entries()) rank[index] = position;
      return rank;
    });
    const n = ids.length;
    for (let one = 0; one < ranks.length; one++)
      for (let other = 0; other < one; other++) {
        const distance = (ranks[one] ?? []).reduce(
          (sum, rank, index) => sum + (rank - (ranks[other]?.[index] ?? 0)) ** 2,
          0,
        );
        const spearman = 1 - (6 * distance) / (n * (n * n - 1));
        // Its standard deviation is 0.01.
        assert.ok(Math.abs(spearman) < 0.05, `${versions[one]}, ${versions[other]}: ${spearman}`);
      }
  });
});

describe("the simulation's", () => {
  it('lock server gives its slots by the protocol: owned, recursive, and so many a group', () => {
    const server = new LockServer({ slots: 1, now: () => 0, sinceMs: 0, down: null });
    const [a, b] = ['a', 'b'].map((id) => ({ id, group: 'default' })) as [Asked, Asked];
    assert.equal(server.preReboot(a)?.status, 200);
    assert.equal(server.preReboot(a)?.status, 200, 'recursive');
    assert.equal(server.preReboot(b)?.status, 500);
    assert.equal(server.preReboot({ ...b, group: 'other' })?.status, 200);
    assert.equal(server.steadyState(b)?.status, 200, 'what it does not have');
    assert.equal(server.preReboot(b)?.status, 500, 'and that gave nothing free');
    assert.equal(server.steadyState(a)?.status, 200);
    assert.equal(server.preReboot(b)?.status, 200);
  });

  it('events come by time, and those of one time in the order of asking', async () => {
    const events = new Events();
    const random = randomOf(7);
    const asked = Array.from({ length: 500 }, (_, order) => ({
      at: Math.floor(random() * 50),
      order,
    }));
    const seen: typeof asked = [];
    for (const event of asked) events.add(event.at, () => void seen.push(event));
    for (let event = events.next(); event !== null; event = events.next()) await event.run();
    assert.deepEqual(
      seen,
      asked.toSorted((a, b) => a.at - b.at || a.order - b.order),
    );
  });

  it('scenarios are each of ten thousand, but for the one with a single slot', () => {
    for (const [name, { containers }] of Object.entries(scenarios))
      assert.equal(containers, name === 'one-slot' ? 1_000 : 10_000);
  });
});

type Asked = { id: string; group: string };

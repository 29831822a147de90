/** Ten real updaters, one slot of the fleet's lock, and a real etcd that is killed meanwhile. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Fleet, overlaps } from '../support/fleet/fleet.ts';
import type { Handled } from '../support/fleet/server.ts';
import { ask } from '../support/prober.ts';
import type { Product } from '../support/product.ts';
import { missing } from '../support/tools.ts';

const MEMBERS = 10;
const isGiven = ({ action, status }: Handled) => action === 'pre-reboot' && status === 200;
const isReturned = ({ action, status }: Handled) => action === 'steady-state' && status === 200;

describe('ten updaters with one slot', { skip: missing('etcd'), timeout: 150_000 }, () => {
  let fleet: Fleet;
  const victims: Product[] = [];
  before(async () => {
    fleet = await Fleet.start(MEMBERS);
    // Whoever waits asks as soon as the slot is free, instead of after a pause of its own.
    fleet.server.events.on('handled', (handled) => isReturned(handled) && fleet.wake());
  });
  after(() => fleet?.[Symbol.asyncDispose]());

  const versions = () => Promise.all(fleet.members.map(({ port }) => ask(port)));
  const others = () => fleet.members.filter((member) => !victims.includes(member));
  const neverTwoDown = (outages: number) => {
    assert.deepEqual(overlaps(fleet.outages()), []);
    assert.equal(fleet.outages().length, outages);
  };
  /** The one that holds the slot because of this version, as `status` of each says. */
  const findVictim = async (version: string): Promise<Product> => {
    const all = await Promise.all(fleet.members.map((member) => member.status()));
    const kept = fleet.members.filter((_, index) => all[index]?.fleet?.lock === 'kept');
    assert.equal(kept.length, 1, JSON.stringify(all.map((status) => status.fleet)));
    const [victim] = kept;
    assert.ok(victim !== undefined);
    const { fleet: held, denied } = await victim.status();
    assert.equal(held?.version, version);
    assert.ok(held?.failure !== null, 'says what became of it');
    assert.ok(denied.some((denial) => denial.version === version));
    assert.deepEqual(await fleet.server.holders(), [held?.id]);
    return victim;
  };

  it('take a release one after another, though etcd is killed and started again meanwhile', async () => {
    await fleet.publish('0.0.2');
    fleet.wake();
    for (let given = 0; given < MEMBERS / 2; given++) await fleet.handled(isGiven);
    const stuck = fleet.handled(
      ({ action, status }) => action === 'steady-state' && status === 500,
    );
    await fleet.etcd.kill();
    assert.equal((await stuck).kind, 'failed_lock');
    await fleet.etcd.restart();
    fleet.wake();
    await fleet.all('0.0.2');
    neverTwoDown(MEMBERS);
    assert.deepEqual(await versions(), Array(MEMBERS).fill('0.0.2'));
  });

  /** The members that say that `version` waits for others who have the lock. */
  const waiting = (version: string, count: number) =>
    fleet.those(
      ({ candidate }) =>
        candidate?.release.version === version &&
        candidate.deferral?.lock?.problem.code === 'FLEET_LOCK_HELD',
      count,
    );

  it('have one victim of a bad release; the others run on, and say what they wait for', async () => {
    await fleet.publish('0.0.3', { isBad: true });
    fleet.wake();
    await fleet.those(({ fleetLock }) => fleetLock?.failure != null, 1);
    victims.push(await findVictim('0.0.3'));
    fleet.wake();
    assert.deepEqual(await waiting('0.0.3', MEMBERS - 1), others());
    for (const member of others()) {
      const { version, waitingFor, fleet: held } = await member.status();
      assert.equal(version, '0.0.2');
      assert.equal(waitingFor?.reason, 'fleet');
      assert.match(waitingFor.message, /all slots are locked already/);
      assert.equal(held?.lock, 'none');
    }
    assert.deepEqual(await versions(), Array(MEMBERS).fill('0.0.2'));
    neverTwoDown(MEMBERS + 1);
  });

  it('go on when the operator gives the slot back, and the next one has it', async () => {
    const [first] = victims;
    const released = await first?.command(['fleet', 'release']);
    assert.equal(released?.exitCode, 0, released?.stderr);
    await fleet.those(({ denied }) => denied.some(({ version }) => version === '0.0.3'), 2);
    assert.equal((await first?.status())?.fleet?.lock, 'none');
    await fleet.those(({ fleetLock }) => fleetLock?.failure != null, 1);
    victims.push(await findVictim('0.0.3'));
    assert.equal(new Set(victims).size, 2);
    neverTwoDown(MEMBERS + 2);
  });

  it('all take the next good release, as soon as it is healthy where the slot is', async () => {
    await fleet.publish('0.0.4');
    fleet.wake();
    await fleet.all('0.0.4');
    assert.deepEqual(await versions(), Array(MEMBERS).fill('0.0.4'));
    await fleet.those(({ fleetLock }) => fleetLock === null, MEMBERS);
    assert.deepEqual(await fleet.server.holders(), []);
    neverTwoDown(2 * MEMBERS + 2);
  });
});

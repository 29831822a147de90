import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Turns } from '../../src/web/turns.ts';

const LIMITS = { maxWaiting: 2, maxTurnMs: 60_000 };

describe('turns', () => {
  it('are given to one address after another, however many one asks for', async () => {
    const turns = new Turns({ ...LIMITS, maxWaiting: 10 });
    const first = await turns.take('stranger');
    const order: string[] = [];
    const asked = ['stranger', 'stranger', 'stranger', 'neighbour', 'neighbour', 'other'].map(
      async (owner) => {
        const end = await turns.take(owner);
        order.push(owner);
        end?.();
      },
    );
    first?.();
    await Promise.all(asked);
    assert.deepEqual(order, [
      'stranger',
      'neighbour',
      'other',
      'stranger',
      'neighbour',
      'stranger',
    ]);
  });

  it('are refused at once to an address that waits for as many as it may', async () => {
    const turns = new Turns(LIMITS);
    const end = await turns.take('stranger');
    const waiting = [turns.take('stranger'), turns.take('stranger')];
    assert.equal(await turns.take('stranger'), null);
    const other = turns.take('other');
    end?.();
    await Promise.all([...waiting, other].map(async (turn) => (await turn)?.()));
    assert.notEqual(await turns.take('stranger'), null, 'nobody waits any more');
  });

  it('leave room for what came meanwhile (a probe)', async () => {
    const turns = new Turns(LIMITS);
    const order: string[] = [];
    const end = await turns.take('a');
    const waiting = turns.take('b').then(() => order.push('turn'));
    const probe = setImmediate().then(() => order.push('probe'));
    end?.();
    await Promise.all([waiting, probe]);
    assert.deepEqual(order, ['probe', 'turn']);
  });

  it('end by themselves where one takes too long, and only once', async () => {
    const turns = new Turns({ ...LIMITS, maxTurnMs: 1 });
    const end = await turns.take('a');
    const next = await turns.take('b');
    end?.();
    next?.();
    assert.notEqual(await turns.take('c'), null);
  });
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Allowance } from '../../src/web/allowance.ts';

it('an allowance gives so many at once, then one each interval, and saves up no more than it had', () => {
  let now = 0;
  const allowance = new Allowance(2, 1000, () => now);
  const taken = () => [allowance.take(), allowance.take(), allowance.take()];
  assert.deepEqual(taken(), [true, true, false]);
  now = 1000;
  assert.deepEqual(taken(), [true, false, false]);
  now = 100_000;
  assert.deepEqual(taken(), [true, true, false]);
});

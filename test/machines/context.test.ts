/** What the machine remembers at the beginning. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { initialContext } from '../../src/machines/context.ts';
import { policy, tree, world } from '../support/machine.ts';

describe('at the beginning', () => {
  it('the floor is the highest of what the disk and the last good version say', () => {
    const begins = (floor: string | null) =>
      initialContext({ policy, world: world({ lastGood: tree('1.1.0') }), floor, at: 0 })
        .highestHealthy;
    assert.deepEqual([begins(null), begins('1.0.0'), begins('1.2.0')], ['1.1.0', '1.1.0', '1.2.0']);
  });
});

/** What `current` names, and how it becomes trusted. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordHealthy, recordStart, recordSwitch } from '../../src/machines/current.ts';
import { AT, context, withCandidate } from '../support/context.ts';
import { facts, tree } from '../support/machine.ts';

describe('a switch, a start and a proof', () => {
  it('make the one before the previous one, unless it is the same', () => {
    assert.equal(
      recordSwitch(context(), { type: 'switched', to: tree('2.0.0') }).previous?.version,
      '1.1.0',
    );
    assert.equal(recordSwitch(context(), { type: 'switched', to: tree('1.1.0') }).previous, null);
  });

  it('hold what the operator asked for, from its start', () => {
    const installed = withCandidate('2.0.0', { current: tree('2.0.0'), installed: tree('2.0.0') });
    const byOperator = {
      ...installed,
      candidate: installed.candidate && { ...installed.candidate, byOperator: true },
    };
    assert.deepEqual(recordStart(byOperator, AT).hold, {
      version: '2.0.0',
      tag: 'v2.0.0',
      since: AT,
    });
    assert.equal(recordStart(installed, AT).hold, null);
  });

  it('raise the floor, and never lower it', () => {
    const proven = (version: string) =>
      recordHealthy(context({ highestHealthy: '1.5.0' }), {
        ...(facts.healthy(version) as { type: 'versionBecameHealthy'; version: string }),
        at: AT,
      });
    assert.deepEqual(
      [proven('1.1.0').highestHealthy, proven('2.0.0').highestHealthy],
      ['1.5.0', '2.0.0'],
    );
  });
});

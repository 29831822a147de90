/** A try that failed or was cut short. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  deny,
  giveUpInterrupted,
  MAX_INTERRUPTIONS,
  recordFailure,
  recordWorkInterrupted,
} from '../../src/machines/failure.ts';
import { fingerprint } from '../../src/machines/model.ts';
import { AT, context, failed, withCandidate } from '../support/context.ts';
import { policy, release } from '../support/machine.ts';

describe('a failure', () => {
  it('counts an attempt, and is tried again later', () => {
    const { candidate, retryAt } = recordFailure(withCandidate('2.0.0'), failed('NETWORK_FAILED'));
    assert.equal(candidate?.attempt, 2);
    assert.equal(retryAt, AT + policy.retryBaseMs);
  });

  it("of the machine's counts none, and is paced all the same", () => {
    const { candidate, retryAt } = recordFailure(withCandidate('2.0.0'), failed('NO_SPACE'));
    assert.deepEqual([candidate?.attempt, candidate?.setbacks], [1, 1]);
    assert.ok(retryAt !== null);
  });

  it('at the last attempt gives the release up, and says how it is tried again', () => {
    const tried = withCandidate('2.0.0');
    const last = {
      ...tried,
      candidate: tried.candidate && { ...tried.candidate, attempt: policy.maxAttempts },
    };
    const given = recordFailure(last, failed('NETWORK_FAILED'));
    assert.equal(given.candidate, null);
    assert.deepEqual(
      [given.denied?.[0]?.version, given.denied?.[0]?.fingerprint],
      ['2.0.0', fingerprint(release('2.0.0'))],
    );
    assert.match(
      given.lastError?.message ?? '',
      /given up after 3 tries; `self-update retry 2\.0\.0` tries again/,
    );
  });

  it('of the bytes themselves gives it up at once', () => {
    for (const code of ['ARCHIVE_REFUSED', 'ENTRY_POINT_MISSING', 'WRONG_PLATFORM'])
      assert.equal(recordFailure(withCandidate('2.0.0'), failed(code)).denied?.[0]?.code, code);
  });

  it('behind the stop makes the next try download first', () => {
    assert.equal(
      recordFailure(withCandidate('2.0.0', { app: 'stopped' }), failed('NETWORK_FAILED')).candidate
        ?.downloadFirst,
      true,
    );
    assert.equal(
      recordFailure(withCandidate('2.0.0'), failed('NETWORK_FAILED')).candidate?.downloadFirst,
      false,
    );
  });

  it('while nothing is there to run waits for the outage, and costs no attempt as long as tries follow quickly', () => {
    const nothing = withCandidate('2.0.0', {
      app: 'stopped',
      current: null,
      lastGood: null,
      baked: null,
    });
    const slow = { ...nothing, policy: { ...nothing.policy, retryBaseMs: 300_000 } };
    const { candidate, retryAt } = recordFailure(slow, failed('NETWORK_FAILED'));
    assert.deepEqual([candidate?.attempt, retryAt], [1, null]);
    const late = { ...slow, outage: { pauses: 12, until: AT } };
    assert.equal(
      recordFailure(late, failed('NETWORK_FAILED')).candidate?.attempt,
      2,
      'by then the tries are as far apart as any',
    );
  });

  it('without a release at hand is only remembered', () => {
    assert.deepEqual(recordFailure(context(), failed('NETWORK_FAILED')), {
      lastError: { code: 'NETWORK_FAILED', message: 'the reason', at: AT },
      download: null,
      installed: null,
    });
  });
});

describe('an updater that is killed in the middle of the work', () => {
  it('again and again gives the release up, with the reason and the remedy', () => {
    assert.equal(recordWorkInterrupted(withCandidate('2.0.0')).candidate?.interruptions, 1);
    const given = giveUpInterrupted(withCandidate('2.0.0'), {
      type: 'workInterrupted',
      effect: 'extract',
      at: AT,
    });
    assert.equal(given.denied?.[0]?.code, 'INTERRUPTED');
    assert.match(
      given.lastError?.message ?? '',
      new RegExp(
        `killed ${MAX_INTERRUPTIONS} times .*2\\.0\\.0 \\(extract\\): probably out of memory`,
      ),
    );
  });
});

describe('the list of denials', () => {
  const denial = (version: string, print: string | null = null, code = 'UNHEALTHY') => ({
    version,
    fingerprint: print,
    code,
    reason: 'why',
    at: 1,
  });

  it('has the newest word about a version, and other bytes of it beside', () => {
    assert.equal(deny([denial('2.0.0', 'a')], denial('2.0.0', 'b')).length, 2);
    assert.equal(deny([denial('2.0.0', 'a')], denial('2.0.0', 'a')).length, 1);
    assert.equal(deny([denial('2.0.0', 'a'), denial('2.0.0', 'b')], denial('2.0.0')).length, 1);
  });

  it("stays at a hundred, and drops the operator's last", () => {
    const full = [
      denial('0.0.0', null, 'DENIED_BY_OPERATOR'),
      ...Array.from({ length: 99 }, (_, i) => denial(`0.0.${i + 1}`)),
    ];
    const more = deny(full, denial('9.0.0'));
    assert.deepEqual(
      [more.length, more[0]?.version, more[1]?.version, more.at(-1)?.version],
      [100, '0.0.0', '0.0.2', '9.0.0'],
    );
  });
});

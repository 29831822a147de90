/** A version that did not pass probation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordBadVersion, recordCrashLoop, treeLost } from '../../src/machines/bad-version.ts';
import type { Context } from '../../src/machines/context.ts';
import { type Failure, isNothingThere } from '../../src/machines/failure.ts';
import { AT, context, failed, withCandidate } from '../support/context.ts';
import { baked, facts, tree } from '../support/machine.ts';

describe('a version that does not prove itself', () => {
  const started = (overrides: Partial<Context> = {}) =>
    withCandidate('2.0.0', {
      current: tree('2.0.0'),
      target: tree('2.0.0'),
      installed: tree('2.0.0'),
      ...overrides,
    });

  it('is denied for its bytes, and leaves no hold', () => {
    const bad = recordBadVersion(
      started({ hold: { version: '2.0.0', tag: 'v2.0.0', since: 1 } }),
      failed('UNHEALTHY'),
    );
    assert.deepEqual(
      [bad.denied?.[0]?.fingerprint, bad.hold, bad.candidate],
      [tree('2.0.0').fingerprint, null, null],
    );
    assert.deepEqual(bad.failedPaths, [tree('2.0.0').path]);
  });

  it('after a second start is looked at once more, when it is seen how the other one does', () => {
    assert.equal(recordBadVersion(started(), failed('APP_EXITED')).verdict, null);
    const verdict = recordBadVersion(
      started({ restarted: [tree('2.0.0').path] }),
      failed('APP_EXITED'),
    ).verdict;
    assert.deepEqual([verdict?.code, verdict?.installed.version], ['APP_EXITED', '2.0.0']);
  });

  it('is not denied for what is wrong with the machine', () => {
    const bad = recordBadVersion(started(), failed('NO_SPACE'));
    assert.equal(bad.denied, undefined);
    assert.deepEqual(bad.failedPaths, [tree('2.0.0').path]);
  });

  it('is not denied where it is the last good one, or the one in the image, at a boot', () => {
    for (const proven of [tree('1.1.0'), baked('1.0.0')])
      assert.equal(
        recordBadVersion(context({ target: proven, current: proven }), failed('UNHEALTHY')).denied,
        undefined,
        proven.path,
      );
  });

  it('is denied though it was trusted, when it crashes again and again', () => {
    const loop = recordCrashLoop(context(), { ...facts.crashLooped('1.1.0'), at: AT } as Failure);
    assert.deepEqual([loop.denied?.[0]?.version, loop.lastGood], ['1.1.0', null]);
  });
});

describe('files that are gone', () => {
  it('are forgotten wherever they were known', () => {
    const known = context({ previous: tree('1.0.5') });
    assert.deepEqual(treeLost(known, 'TREE_MISSING', tree('1.1.0')), {
      baked: known.baked,
      current: null,
      lastGood: null,
      previous: known.previous,
    });
    assert.deepEqual(treeLost(known, 'NO_SPACE', tree('1.1.0')), {});
  });

  it('leave nothing when all that is known failed or is gone, and the app is down', () => {
    assert.equal(isNothingThere(context({ app: 'stopped' })), false);
    assert.equal(
      isNothingThere(
        context({ app: 'stopped', failedPaths: [tree('1.1.0').path, baked('1.0.0').path] }),
      ),
      true,
    );
    assert.equal(
      isNothingThere(context({ failedPaths: [tree('1.1.0').path, baked('1.0.0').path] })),
      false,
      'it runs',
    );
  });
});

/** What is remembered of a release that has to wait for its moment. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { candidateFor } from '../../src/machines/candidate.ts';
import { type Context, initialContext } from '../../src/machines/context.ts';
import {
  approve,
  isInhibited,
  isWithdrawn,
  recordDeferral,
  recordForce,
  recordHookDeferral,
  retryNow,
} from '../../src/machines/deferral.ts';
import { fingerprint } from '../../src/machines/model.ts';
import { policy, release, tree, world } from '../support/machine.ts';

const AT = 1_000_000;

/** 1.0.0 runs, and 2.0.0 is at hand. */
function context(overrides: Partial<Context> = {}): Context {
  const current = tree('1.0.0');
  const begun = {
    ...initialContext({ policy, world: world({ current, lastGood: current }), floor: null, at: 0 }),
    app: 'up' as const,
  };
  return { ...begun, candidate: candidateFor(begun, release('2.0.0')), ...overrides };
}
const busy = { type: 'conditionsObserved', window: null, busy: { since: 1 }, at: AT } as const;
const closed = {
  type: 'conditionsObserved',
  window: { isOpen: false, changesAt: AT + 3_600_000 },
  busy: null,
  at: AT,
} as const;
const deferred = (before: Context, changes: Partial<Context>): Context => ({
  ...before,
  ...changes,
});
const hookSaid = (at: number) =>
  ({
    type: 'interruptionDeferred',
    code: 'HOOK_DEFERRED',
    message: 'draining',
    jitter: 0.5,
    at,
  }) as const;

describe('a release that has to wait', () => {
  it('is asked about again when what speaks against it may be over', () => {
    assert.equal(recordDeferral(context(), busy).retryAt, AT + 10_000);
    assert.equal(recordDeferral(context(), closed).retryAt, AT + 3_600_000);
    assert.equal(
      recordDeferral(context({ paused: true }), { ...busy, busy: null }).retryAt,
      null,
      'only a word of the operator ends that',
    );
  });

  it('is downloaded at once where the app is down and nothing of it is there: something older is brought up meanwhile', () => {
    assert.equal(recordDeferral(context({ app: 'stopped' }), closed).retryAt, AT);
    assert.equal(
      recordDeferral(context({ app: 'stopped', installed: tree('2.0.0') }), closed).retryAt,
      AT + 3_600_000,
    );
  });

  it('waits since it first did, and names what it waits for now', () => {
    const once = deferred(context(), recordDeferral(context(), closed));
    const twice = recordDeferral(once, { ...busy, at: AT + 5000 }).candidate;
    assert.deepEqual(
      [twice?.deferral?.since, twice?.deferral?.inhibitors.map(({ reason }) => reason)],
      [AT, ['busy']],
    );
    assert.equal(twice?.downloadFirst, true, 'the app is not stopped for a download after that');
  });

  it('does not wait where nothing speaks against it', () => {
    assert.equal(isInhibited(context(), { ...busy, busy: null }), false);
    assert.equal(isInhibited(context(), busy), true);
    assert.equal(isInhibited(context({ candidate: null }), busy), false);
  });

  it('waits longer each time its pre-stop hook says "not now"', () => {
    const first = deferred(context(), recordHookDeferral(context(), hookSaid(AT)));
    const second = recordHookDeferral(first, hookSaid(AT));
    assert.deepEqual([first.retryAt, second.retryAt], [AT + 1000, AT + 2000]);
    assert.deepEqual(
      [second.candidate?.deferral?.times, second.candidate?.deferral?.message],
      [2, 'draining'],
    );
    assert.equal(second.change, null, 'the change is over before it began');
  });
});

describe("an operator's word", () => {
  it('is acted upon at once where something waits, and only there', () => {
    assert.equal(retryNow(context({ retryAt: AT + 1 }), AT).retryAt, AT);
    assert.equal(retryNow(context({ candidate: null, retryAt: AT + 1 }), AT).retryAt, AT + 1);
  });

  it('approves the bytes at hand, or any of a version that is not', () => {
    assert.deepEqual(approve(context(), '2.0.0').approved, [
      { version: '2.0.0', fingerprint: fingerprint(release('2.0.0')) },
    ]);
    assert.deepEqual(approve(context(), '3.0.0').approved, [
      { version: '3.0.0', fingerprint: null },
    ]);
  });

  it('is remembered once for each version, for the newest hundred', () => {
    let approved: Context['approved'] = [];
    for (let i = 0; i < 101; i++)
      approved = approve(context({ approved }), `3.0.${i}`).approved ?? [];
    assert.deepEqual([approved.length, approved[0]?.version], [100, '3.0.1']);
    assert.equal(approve(context({ approved }), '3.0.50').approved?.length, 100);
  });

  it('of force counts for the release at hand, or else for one that is found soon', () => {
    const forced = recordForce(context(), { type: 'updateRequested', force: true, at: AT });
    assert.deepEqual([forced.candidate?.forced, forced.forcedAt], [true, null]);
    const early = recordForce(
      { ...context(), candidate: null },
      { type: 'updateRequested', force: true, at: AT },
    );
    assert.equal(early.forcedAt, AT);
    assert.deepEqual(recordForce(context(), { type: 'updateRequested', at: AT }), {});
  });
});

describe('a release that waited is withdrawn', () => {
  const waits = deferred(context(), recordDeferral(context(), closed));

  it('when it is gone, or its maintainer went back to an older one', () => {
    assert.equal(isWithdrawn(waits, null), true);
    assert.equal(isWithdrawn(waits, release('1.9.0')), true);
    assert.equal(isWithdrawn(waits, release('2.1.0')), false);
  });

  it('not when the operator asked for it, nor while it does not wait', () => {
    const byOperator = waits.candidate && { ...waits.candidate, byOperator: true };
    assert.equal(isWithdrawn({ ...waits, candidate: byOperator }, null), false);
    assert.equal(isWithdrawn(context(), null), false);
    assert.equal(isWithdrawn({ ...waits, request: { tag: 'v2.0.0', file: null } }, null), false);
  });

  it('not for an older version under a pinned tag, which moves as it likes', () => {
    assert.equal(
      isWithdrawn({ ...waits, policy: { ...policy, tag: 'stable' } }, release('1.9.0')),
      false,
    );
  });
});

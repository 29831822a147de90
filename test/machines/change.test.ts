/** What the hooks are told of a change of the version. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { candidateFor } from '../../src/machines/candidate.ts';
import {
  aimChange,
  beginChange,
  beginPreparation,
  hookInput,
  isBootWithHook,
  isChangeOver,
  isPreStartDue,
} from '../../src/machines/change.ts';
import { type Context, initialContext } from '../../src/machines/context.ts';
import { baked, policy, release, tree, world } from '../support/machine.ts';

const HOOKS = { preStop: true, preStart: true, postUpdate: true };

/** 1.0.0 runs, with its data prepared; 2.0.0 is complete on disk. */
function context(overrides: Partial<Context> = {}): Context {
  const current = tree('1.0.0');
  const begun = initialContext({
    policy: { ...policy, hooks: HOOKS },
    world: world({ current, lastGood: current }),
    floor: null,
    at: 0,
  });
  const candidate = candidateFor(begun, release('2.0.0'));
  const prepared = { path: current.path, version: '1.0.0' };
  return { ...begun, app: 'up', candidate, installed: tree('2.0.0'), prepared, ...overrides };
}

describe('a change', () => {
  it('begins with an update, or with what the operator asked for', () => {
    assert.deepEqual(beginChange(context()).change, {
      from: '1.0.0',
      to: '2.0.0',
      reason: 'update',
    });
    const { candidate } = context();
    const byOperator = candidate && { ...candidate, byOperator: true };
    assert.deepEqual(beginChange(context({ candidate: byOperator })).change, {
      from: '1.0.0',
      to: '2.0.0',
      reason: 'install',
    });
    assert.deepEqual(beginChange(context({ candidate: null })), {});
  });

  it('goes from the version that the data was prepared for, which need not be the one that is linked', () => {
    assert.equal(
      beginChange(context({ prepared: { path: '/elsewhere', version: '1.5.0' } })).change?.from,
      '1.5.0',
    );
  });

  it('that ends at an older version than it was for is a rollback', () => {
    const change = { from: '1.0.0', to: '2.0.0', reason: 'update' } as const;
    assert.deepEqual(aimChange(context({ change, target: tree('1.0.0') })).change, {
      from: '2.0.0',
      to: '1.0.0',
      reason: 'rollback',
    });
    assert.deepEqual(aimChange(context({ change, target: tree('2.0.0') })).change, change);
    assert.equal(
      aimChange(context({ change, target: tree('3.0.0') })).change?.reason,
      'rollback',
      'not the one at hand',
    );
  });

  it('at a boot is one where other data is prepared than what starts needs', () => {
    const boot = context({ app: 'booting', candidate: null, installed: null });
    assert.equal(aimChange({ ...boot, target: tree('1.0.0') }).change, null);
    assert.deepEqual(aimChange({ ...boot, target: baked('1.1.0') }).change, {
      from: '1.0.0',
      to: '1.1.0',
      reason: 'boot',
    });
    assert.equal(
      aimChange({ ...boot, target: baked('1.1.0'), nothingStarts: true }).change?.reason,
      'rollback',
    );
  });

  it('is over when the new version is trusted, or another one runs', () => {
    const change = { from: '1.0.0', to: '2.0.0', reason: 'update' } as const;
    const updated = context({ change, current: tree('2.0.0') });
    assert.equal(isChangeOver(updated), false, 'on probation');
    assert.equal(isChangeOver({ ...updated, lastGood: tree('2.0.0') }), true);
    assert.equal(isChangeOver(context({ change })), true, 'the old one runs');
    assert.equal(isChangeOver({ ...context({ change }), app: 'stopped' }), false);
    assert.equal(isChangeOver(context()), false);
  });
});

describe('the pre-start hook', () => {
  it('is due for a target whose data is not prepared', () => {
    assert.equal(isPreStartDue(context({ target: tree('2.0.0') })), true);
    assert.equal(isPreStartDue(context({ target: tree('1.0.0') })), false);
    assert.equal(isPreStartDue(context({ target: null })), false);
    const none = context({ target: tree('2.0.0') });
    assert.equal(
      isPreStartDue({ ...none, policy: { ...none.policy, hooks: { ...HOOKS, preStart: false } } }),
      false,
    );
  });

  it('counts as run from its beginning: the data may be changed by then', () => {
    const begun = beginPreparation(context({ target: tree('2.0.0') }));
    assert.deepEqual(begun.prepared, { path: tree('2.0.0').path, version: '2.0.0' });
    assert.equal(begun.change?.to, '2.0.0');
  });

  it('comes before a boot of a newer image', () => {
    const seen = world({ current: tree('1.0.0'), lastGood: tree('1.0.0') });
    assert.equal(isBootWithHook(context(), seen), false);
    assert.equal(isBootWithHook(context(), { ...seen, baked: baked('3.0.0') }), true);
  });
});

describe('a hook is given', () => {
  const change = { from: '1.0.0', to: '2.0.0', reason: 'update' } as const;

  it('the tree that it is about', () => {
    const told = context({ change, target: tree('2.0.0') });
    assert.equal(hookInput(told, 'preStop').tree, tree('2.0.0').path);
    assert.deepEqual(hookInput(told, 'preStart'), {
      hook: 'preStart',
      ...change,
      tree: tree('2.0.0').path,
    });
    assert.equal(hookInput(context({ change, installed: null }), 'preStop').tree, null);
  });

  it('after an update that was given up before the stop, the way back', () => {
    assert.deepEqual(hookInput(context({ change }), 'postUpdate'), {
      hook: 'postUpdate',
      from: '2.0.0',
      to: '1.0.0',
      reason: 'rollback',
      tree: tree('1.0.0').path,
    });
  });

  it('nothing without a change', () =>
    assert.throws(() => hookInput(context(), 'preStop'), /invariant/));
});

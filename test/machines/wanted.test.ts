/** What is to be done about a release: one answer, for the machine and for `check`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Context, initialContext } from '../../src/machines/context.ts';
import type { StampedFact } from '../../src/machines/facts.ts';
import type { Policy } from '../../src/machines/model.ts';
import { checkInput, choiceOn, isNewsworthy, isWanted } from '../../src/machines/wanted.ts';
import { digestOf, facts, policy, release, tree, world } from '../support/machine.ts';

/** 1.1.0 runs and is trusted. */
function context(overrides: Partial<Context> = {}, rules: Partial<Policy> = {}): Context {
  const current = tree('1.1.0');
  return {
    ...initialContext({
      policy: { ...policy, ...rules },
      world: world({ current, lastGood: current }),
      floor: null,
      at: 0,
    }),
    app: 'up',
    ...overrides,
  };
}

const denied = [{ version: '2.0.0', fingerprint: null, code: 'UNHEALTHY', reason: 'why', at: 1 }];
const hold = { version: '1.1.0', tag: 'v1.1.0', since: 1 };
const otherBytes = { asset: { ...release('1.1.0').asset, digest: digestOf('other') } };
/** Its digest is not told. */
const byNumber = { asset: { ...release('1.1.0').asset, digest: null } };
/** Installed by the number that a source gave it. */
const numbered = { ...tree('1.1.0'), fingerprint: 'asset:17', source: 'https://codeberg.org' };
const elsewhere = { ...byNumber, source: 'https://gitlab.com' };
const moving = { ...tree('1.1.0'), tag: 'stable' };

const cases: [string, Context, ReturnType<typeof release>, ReturnType<typeof choiceOn>][] = [
  ['newer', context(), release('2.0.0'), 'follow'],
  ['the same', context(), release('1.1.0'), 'notNewer'],
  ['older', context(), release('1.0.0'), 'notNewer'],
  [
    'older than what was healthy',
    context({ highestHealthy: '3.0.0' }),
    release('2.0.0'),
    'belowFloor',
  ],
  [
    'older than that and than what runs',
    context({ highestHealthy: '3.0.0' }),
    release('1.0.0'),
    'notNewer',
  ],
  ['replaced under its tag', context(), release('1.1.0', otherBytes), 'replaced'],
  [
    'replaced, and that was told',
    context({ replacedBy: digestOf('other') }),
    release('1.1.0', otherBytes),
    'replaced',
  ],
  ['denied', context({ denied }), release('2.0.0'), 'denied'],
  ['denied, while another one is held', context({ denied, hold }), release('2.0.0'), 'denied'],
  ['newer, while another one is held', context({ hold, paused: true }), release('2.0.0'), 'held'],
  ['newer, while updates are paused', context({ paused: true }), release('2.0.0'), 'paused'],
  ['older, while updates are paused', context({ paused: true }), release('1.0.0'), 'notNewer'],
  [
    'a pinned tag that moved',
    context({ current: moving }, { tag: 'stable' }),
    release('1.1.0', { tag: 'stable', ...otherBytes }),
    'follow',
  ],
  [
    'a pinned tag that moves, told by another source in another way',
    context({ current: moving }, { tag: 'stable' }),
    release('1.1.0', { tag: 'stable', ...byNumber }),
    'follow',
  ],
  [
    'a pinned version, told by another source in another way',
    context({}, { tag: 'v1.1.0' }),
    release('1.1.0', byNumber),
    'notNewer',
  ],
  [
    'what runs, told by another source in another way',
    context(),
    release('1.1.0', byNumber),
    'notNewer',
  ],
  [
    'what runs, whose digest was not told before',
    context({ current: { ...tree('1.1.0'), fingerprint: 'asset:17' } }),
    release('1.1.0'),
    'notNewer',
  ],
  [
    'what runs, under another number of the same source',
    context({ current: numbered }),
    release('1.1.0', { ...byNumber, source: numbered.source }),
    'replaced',
  ],
  [
    'what runs, under a number of another source',
    context({ current: numbered }),
    release('1.1.0', elsewhere),
    'notNewer',
  ],
  [
    'what runs, under a number of another source than GitHub, where no digest was told before',
    context({ current: { ...tree('1.1.0'), fingerprint: 'asset:17' } }),
    release('1.1.0', elsewhere),
    'notNewer',
  ],
  [
    'a pinned version, under a number of another source',
    context({ current: numbered }, { tag: 'v1.1.0' }),
    release('1.1.0', elsewhere),
    'notNewer',
  ],
  [
    'a pinned tag that moves, under a number of another source',
    context({ current: { ...numbered, tag: 'stable' } }, { tag: 'stable' }),
    release('1.1.0', { tag: 'stable', ...elsewhere }),
    'follow',
  ],
  [
    'a pinned tag that moved while updates are paused',
    context({ current: moving, paused: true }, { tag: 'stable' }),
    release('9.9.9', { tag: 'stable', ...otherBytes }),
    'paused',
  ],
];

describe('a release that is', () => {
  for (const [what, known, found, expected] of cases)
    it(`${what}: ${expected}`, () => {
      assert.equal(choiceOn(known, found), expected);
      // What is told of it is what is done.
      assert.equal(isWanted(known, found, 1), expected === 'follow');
    });
});

it('what GitHub is asked names the version that one has to be newer than', () => {
  assert.deepEqual(checkInput(context()), {
    policy,
    request: null,
    running: '1.1.0',
    fresh: false,
  });
  const none = context({ current: null, lastGood: null, baked: null, replacedBy: 'x' });
  assert.deepEqual(checkInput(none), { policy, request: null, running: null, fresh: true });
});

describe('an app that ends again and again', () => {
  const AT = 1_700_000_000_000;
  const crashed = (code: string, at: number, version = '2.0.0') =>
    ({ ...facts.crashLooped(version), code, at }) as StampedFact;
  const told = (code: string) =>
    context({ current: tree('2.0.0'), lastError: { code, message: 'why', at: AT } });

  it('is told once, and in another way after a minute at the earliest', () => {
    assert.ok(isNewsworthy(told('NETWORK_FAILED'), crashed('CRASH_LOOP', AT)));
    assert.ok(!isNewsworthy(told('CRASH_LOOP'), crashed('CRASH_LOOP', AT + 999_999)));
    assert.ok(!isNewsworthy(told('CRASH_LOOP'), crashed('TREE_MISSING', AT + 59_999)));
    assert.ok(isNewsworthy(told('CRASH_LOOP'), crashed('TREE_MISSING', AT + 60_000)));
  });

  it('is told at once where it is another version, or an address is held', () => {
    assert.ok(isNewsworthy(told('CRASH_LOOP'), crashed('CRASH_LOOP', AT, '1.0.0')));
    assert.ok(isNewsworthy(told('CRASH_LOOP'), crashed('ADDRESS_HELD', AT)));
  });
});

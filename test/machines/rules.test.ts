/** What the machine asks before it moves, question by question. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Context, initialContext } from '../../src/machines/context.ts';
import { fingerprint, type Policy } from '../../src/machines/model.ts';
import {
  CRASH_LOOP_EXITS,
  fallback,
  isCrashLoop,
  isDenied,
  isUnproven,
  mayRollBack,
  sortTrees,
  stopsFirst,
} from '../../src/machines/rules.ts';
import {
  isCandidateElsewhere,
  isNews,
  isReplaced,
  isWanted,
  runsAlready,
} from '../../src/machines/wanted.ts';
import { baked, policy, release, tree, world } from '../support/machine.ts';

/** 1.1.0 runs and is trusted; the image brought 1.0.0. */
function context(overrides: Partial<Context> = {}, rules: Partial<Policy> = {}): Context {
  const current = tree('1.1.0');
  const begun = initialContext({
    policy: { ...policy, ...rules },
    world: world({ current, lastGood: current }),
    floor: null,
    at: 0,
  });
  return { ...begun, app: 'up', ...overrides };
}

const denied = (version: string, print: string | null = null): Context['denied'] => [
  { version, fingerprint: print, code: 'UNHEALTHY', reason: 'why', at: 1 },
];
const candidate = (version: string): NonNullable<Context['candidate']> => ({
  release: release(version),
  attempt: 1,
  setbacks: 0,
  interruptions: 0,
  byOperator: false,
  downloadFirst: false,
  takesTurns: false,
  forced: false,
  vouched: null,
  deferral: null,
});

describe('a release is news', () => {
  it('when it is newer than what runs', () => {
    assert.deepEqual(
      ['1.0.9', '1.1.0', '1.1.1'].map((version) => isNews(context(), version, `v${version}`)),
      [false, false, true],
    );
  });

  it('never when it is below what was healthy once, though the version that runs is older still', () => {
    const rolledBack = context({ highestHealthy: '2.0.0' });
    assert.equal(isNews(rolledBack, '1.9.0', 'v1.9.0'), false);
    assert.equal(isNews(rolledBack, '2.0.0', 'v2.0.0'), true);
  });

  it('above what runs, once the operator has spoken against a version far ahead that was healthy here (fast-forward)', () => {
    const ahead = (overrides: Partial<Context> = {}, rules: Partial<Policy> = {}) =>
      isNews(context({ highestHealthy: '999.0.0', ...overrides }, rules), '1.2.0', 'v1.2.0');
    assert.equal(ahead(), false);
    const byOperator = denied('999.0.0').map((denial) => ({
      ...denial,
      code: 'DENIED_BY_OPERATOR',
    }));
    assert.equal(ahead({ denied: byOperator }), true);
    assert.equal(
      ahead({ denied: denied('999.0.0') }),
      false,
      'an image has no fingerprint, and its app can fail too',
    );
    assert.equal(
      ahead({ denied: denied('999.0.0', 'f'.repeat(64)) }),
      false,
      'an app that fails can not take the floor away',
    );
    assert.equal(ahead({}, { denied: ['999.0.0'] }), true);
    assert.equal(ahead({}, { range: '<2' }), true);
    assert.equal(ahead({}, { range: '>=1' }), false);
  });

  it('whatever its version where nothing is there, and where what is there is of another repository', () => {
    assert.equal(
      isNews(context({ current: null, lastGood: null, baked: null }), '0.0.1', 'v0.0.1'),
      true,
    );
    assert.equal(isNews(context({}, { repository: 'acme/other' }), '0.0.1', 'v0.0.1'), true);
  });

  it('by its tag alone where a tag is pinned', () => {
    const pinned = context({}, { tag: 'stable' });
    assert.deepEqual(
      [isNews(pinned, '0.1.0', 'stable'), isNews(pinned, '9.0.0', 'v1.1.0')],
      [true, false],
    );
  });
});

describe('a denial', () => {
  it('is for the bytes that failed, and for any bytes where it names none', () => {
    const { digest } = release('2.0.0').asset;
    const print = fingerprint(release('2.0.0'));
    assert.equal(print, digest);
    const failed = context({ denied: denied('2.0.0', print) });
    assert.equal(isDenied(failed, '2.0.0', print), true);
    assert.equal(isDenied(failed, '2.0.0', 'f'.repeat(64)), false, 'it was published anew');
    assert.equal(isDenied(context({ denied: denied('2.0.0') }), '2.0.0', 'f'.repeat(64)), true);
  });

  it('of the environment is for a version, and is not lifted by an install', () => {
    const byEnvironment = context(
      { request: { tag: 'v2.0.0', file: null } as Context['request'] },
      { denied: ['2.0.0'] },
    );
    assert.equal(isDenied(byEnvironment, '2.0.0', null), true);
    assert.equal(isWanted(byEnvironment, release('2.0.0'), 1), false);
  });
});

describe('a found release is fetched', () => {
  const wanted = (overrides: Partial<Context>, version = '2.0.0', at = 1000) =>
    isWanted(context(overrides), release(version), at);

  it('when it is news, and not when updates are paused, a version is held, or it is denied', () => {
    assert.equal(wanted({}), true);
    assert.equal(wanted({}, '1.0.0'), false);
    assert.equal(wanted({ paused: true }), false);
    assert.equal(wanted({ hold: { version: '1.1.0', tag: 'v1.1.0', since: 1 } }), false);
    assert.equal(wanted({ denied: denied('2.0.0') }), false);
  });

  it('on the word of the operator whatever speaks against it', () => {
    const request = { tag: 'v1.0.0', file: null } as Context['request'];
    assert.equal(wanted({ request, paused: true, denied: denied('1.0.0') }, '1.0.0'), true);
  });

  it('not before the time of its next try, and then', () => {
    const failed = { candidate: candidate('2.0.0'), retryAt: 2000 };
    assert.deepEqual(
      [wanted(failed, '2.0.0', 1999), wanted(failed, '2.0.0', 2000), wanted(failed, '2.1.0', 1999)],
      [false, true, true],
    );
  });

  it('not at a poll while it waits for its moment, but at a boot', () => {
    const deferral = { since: 1, inhibitors: [], message: null, times: 0, lock: null };
    const waits = { candidate: { ...candidate('2.0.0'), deferral }, retryAt: 5000 };
    assert.equal(wanted({ ...waits, retryAt: null }), false);
    assert.equal(wanted({ ...waits, app: 'stopped' }), true);
  });

  it('not while the operator has asked for another one', () => {
    assert.equal(wanted({ candidate: { ...candidate('1.0.0'), byOperator: true } }), false);
  });

  it('with other bytes under a pinned tag', () => {
    const moved = context({ current: { ...tree('1.1.0'), tag: 'stable' } }, { tag: 'stable' });
    assert.equal(isWanted(moved, release('2.0.0', { tag: 'stable' }), 1), true);
    assert.equal(isWanted(moved, { ...release('1.1.0'), tag: 'stable' }, 1), false);
  });
});

describe('other bytes of the version that runs', () => {
  const other = (overrides: Partial<ReturnType<typeof release>> = {}) => {
    const found = release('1.1.0', overrides);
    return { ...found, asset: { ...found.asset, digest: 'f'.repeat(64) } };
  };

  it('are told once, under its tag or under one that compares as equal', () => {
    assert.equal(isReplaced(context(), other()), true);
    assert.equal(isReplaced(context(), other({ tag: 'v1.1.0+2', version: '1.1.0+2' })), true);
    assert.equal(isReplaced(context({ replacedBy: fingerprint(other()) }), other()), false);
    assert.equal(isReplaced(context(), release('1.1.0')), false);
  });

  it('are not told of a moving tag, which is followed, nor of what is held', () => {
    assert.equal(isReplaced(context({}, { tag: 'v1.1.0' }), other()), false);
    assert.equal(
      isReplaced(context({ hold: { version: '1.1.0', tag: 'v1.1.0', since: 1 } }), other()),
      false,
    );
  });
});

describe('the release at hand', () => {
  it('is elsewhere when its bytes are the same and its addresses are not', () => {
    const waits = context({ candidate: candidate('2.0.0') });
    const moved = release('2.0.0');
    assert.equal(isCandidateElsewhere(waits, moved), false);
    assert.equal(
      isCandidateElsewhere(waits, {
        ...moved,
        asset: { ...moved.asset, url: 'https://api.github.com/a/2' },
      }),
      true,
    );
    assert.equal(isCandidateElsewhere(waits, release('2.1.0')), false);
  });

  it('runs already only where the operator asked for it, and the app is up', () => {
    const request = { tag: 'v1.1.0', file: null } as Context['request'];
    assert.equal(runsAlready(context({ request }), release('1.1.0')), true);
    assert.equal(runsAlready(context(), release('1.1.0')), false);
    assert.equal(runsAlready(context({ request, app: 'stopped' }), release('1.1.0')), false);
    assert.equal(runsAlready(context({ request }), release('1.0.0')), false);
  });

  it('stops the app first under kill-then-download alone, and not after a failure behind the stop', () => {
    const found = { candidate: candidate('2.0.0') };
    assert.equal(stopsFirst(context(found)), true);
    assert.equal(stopsFirst(context()), false);
    assert.equal(stopsFirst(context({ ...found, app: 'stopped' })), false);
    assert.equal(stopsFirst(context(found, { strategy: 'download-then-kill' })), false);
    assert.equal(
      stopsFirst(context({ candidate: { ...candidate('2.0.0'), downloadFirst: true } })),
      false,
    );
  });
});

describe('what runs when nothing newer is to be had', () => {
  const chosen = (overrides: Partial<Context>, rules: Partial<Policy> = {}) =>
    fallback(context(overrides, rules))?.version ?? null;

  it('is current, then the last good one, then the one before, then the one in the image', () => {
    const all = {
      current: tree('1.4.0'),
      lastGood: tree('1.3.0'),
      previous: tree('1.2.0'),
      baked: baked('1.1.0'),
    };
    const failed = (...versions: string[]) => versions.map((version) => tree(version).path);
    assert.equal(chosen(all), '1.4.0');
    assert.equal(chosen({ ...all, failedPaths: failed('1.4.0') }), '1.3.0');
    assert.equal(chosen({ ...all, failedPaths: failed('1.4.0', '1.3.0') }), '1.2.0');
    assert.equal(chosen({ ...all, failedPaths: failed('1.4.0', '1.3.0', '1.2.0') }), '1.1.0');
    assert.equal(chosen({ current: null, lastGood: null, baked: null }), null);
  });

  it('is one that is not denied where there is one, and a denied one before nothing', () => {
    assert.equal(chosen({ denied: denied('1.1.0') }), '1.0.0');
    assert.equal(chosen({ denied: denied('1.1.0'), baked: null }), '1.1.0');
  });

  it('is the one in the image at a boot where that is newer, unless it is denied, or the operator holds or pins one', () => {
    const newer = { app: 'booting' as const, baked: baked('2.0.0') };
    assert.equal(chosen(newer), '2.0.0');
    assert.equal(chosen({ ...newer, app: 'stopped' }), '1.1.0');
    assert.equal(
      chosen({ ...newer, hold: { version: '1.1.0', tag: 'v1.1.0', since: 1 } }),
      '1.1.0',
    );
    assert.equal(chosen({ ...newer, denied: denied('2.0.0') }), '1.1.0');
    assert.equal(chosen(newer, { tag: 'v1.1.0' }), '1.1.0');
  });
});

describe('a version that does not prove itself gives way', () => {
  const bad = { current: tree('2.0.0'), lastGood: tree('1.1.0') };

  it('where something else is there that is not denied', () => {
    assert.equal(mayRollBack(context(bad)), true);
    assert.equal(mayRollBack(context({ ...bad, lastGood: null, baked: null })), false);
    assert.equal(mayRollBack(context({ ...bad, baked: null, denied: denied('1.1.0') })), false);
  });

  it('by itself only where the operator lets it', () => {
    assert.equal(mayRollBack(context(bad, { rollback: 'manual' })), false);
  });

  it('to nothing when it is what came back for a denied one: its fate decides about that', () => {
    const verdict = { candidate: candidate('2.0.0'), installed: tree('2.0.0'), code: 'APP_EXITED' };
    assert.equal(mayRollBack(context({ verdict })), false);
  });

  it('and is unproven until it is the last good one', () => {
    assert.equal(isUnproven(context()), false);
    assert.equal(isUnproven(context({ current: tree('2.0.0') })), true);
    assert.equal(isUnproven(context({ current: null })), false);
  });
});

describe('a crash loop', () => {
  it('is five ends within five minutes', () => {
    const minutes = (...ages: number[]) => ages.map((age) => age * 60_000);
    assert.equal(CRASH_LOOP_EXITS, 5);
    assert.equal(isCrashLoop(minutes(0, 1, 2, 3, 5)), true);
    assert.equal(isCrashLoop(minutes(0, 1, 2, 3, 5.1)), false);
    assert.equal(isCrashLoop(minutes(0, 1, 2, 3)), false);
  });
});

describe('the trees on disk', () => {
  it('are kept where they may be needed again, each once, and go where they failed', () => {
    const sorted = sortTrees(
      context({
        current: tree('2.0.0'),
        lastGood: tree('2.0.0'),
        previous: tree('1.1.0'),
        denied: denied('1.1.0'),
      }),
    );
    assert.deepEqual(sorted, { keep: [tree('2.0.0').path], reject: [tree('1.1.0').path] });
  });
});

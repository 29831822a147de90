/** What each fact changes in what the machine remembers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  adoptPolicy,
  adoptRelease,
  type Context,
  candidateFor,
  deny,
  type Failure,
  giveUpInterrupted,
  initialContext,
  isNothingThere,
  MOST_INTERRUPTIONS,
  recordBadVersion,
  recordCrashLoop,
  recordFailure,
  recordHealthy,
  recordStart,
  recordSwitch,
  recordVerified,
  recordWorkInterrupted,
  treeLost,
} from '../../src/machines/context.ts';
import { fingerprint, type Policy, type Release } from '../../src/machines/model.ts';
import { replacementOf } from '../../src/machines/unwanted.ts';
import { baked, facts, policy, release, tree, world } from '../support/machine.ts';

const AT = 1_000_000;

/** 1.1.0 runs and is trusted; the image brought 1.0.0. */
function context(overrides: Partial<Context> = {}, rules: Partial<Policy> = {}): Context {
  const current = tree('1.1.0');
  const begun = initialContext({ policy: { ...policy, ...rules }, world: world({ current, lastGood: current }), floor: null });
  return { ...begun, app: 'up', ...overrides };
}
const withCandidate = (version: string, overrides: Partial<Context> = {}): Context => {
  const begun = context();
  return { ...begun, candidate: candidateFor(begun, release(version)), ...overrides };
};
const failed = (code: string): Failure => ({ ...facts.failed('downloadFailed', code), at: AT }) as Failure;
const found = (version: string, overrides: Partial<Release> = {}) => ({ type: 'releaseFound', release: release(version, overrides), at: AT }) as const;

describe('at the beginning', () => {
  it('the floor is the highest of what the disk and the last good version say', () => {
    const begins = (floor: string | null) => initialContext({ policy, world: world({ lastGood: tree('1.1.0') }), floor }).highestHealthy;
    assert.deepEqual([begins(null), begins('1.0.0'), begins('1.2.0')], ['1.1.0', '1.1.0', '1.2.0']);
  });
});

describe('a found release', () => {
  it('is a fresh candidate, or the one at hand where the bytes are the same', () => {
    const tried = withCandidate('2.0.0');
    const second = { ...tried, candidate: tried.candidate && { ...tried.candidate, attempt: 2 } };
    assert.equal(candidateFor(second, release('2.0.0')).attempt, 2);
    assert.equal(candidateFor(second, release('2.1.0')).attempt, 1);
  });

  it('that calls itself urgent at each poll is not, once what was verified did not say so', () => {
    const doubted = withCandidate('2.0.0');
    const candidate = doubted.candidate && { ...doubted.candidate, vouched: false };
    assert.equal(candidateFor({ ...doubted, candidate }, release('2.0.0', { urgent: true })).release.urgent, false);
    assert.equal(candidateFor(doubted, release('2.0.0', { urgent: true })).release.urgent, true);
  });

  it('loses its denial on the word of the operator only', () => {
    const denied: Context['denied'] = [{ version: '2.0.0', fingerprint: null, code: 'UNHEALTHY', reason: 'why', at: 1 }];
    assert.deepEqual(adoptRelease(context({ denied, request: { tag: 'v2.0.0', file: null } }), found('2.0.0')).denied, []);
    assert.deepEqual(adoptRelease(context({ denied }), found('2.0.0')).denied, denied);
  });

  it('is forced for five minutes after `--force`', () => {
    const forced = (forcedAt: number) => adoptRelease(context({ forcedAt }), found('2.0.0')).candidate?.forced;
    assert.deepEqual([forced(AT - 300_000), forced(AT - 300_001)], [true, false]);
  });

  it('is urgent after its verification only where that says so', () => {
    const urgent = { ...context(), candidate: candidateFor(context(), release('2.0.0', { urgent: true })) };
    const verified = (proof?: boolean) => recordVerified(urgent, { type: 'verified', checks: [], ...(proof === undefined ? {} : { urgent: proof }) });
    assert.deepEqual([verified(true).candidate?.release.urgent, verified(false).candidate?.release.urgent], [true, false]);
    assert.equal(recordVerified(urgent, { type: 'verified', checks: [], repositoryId: 7 }).repositoryId, 7);
    assert.equal(
      recordVerified({ ...urgent, repositoryId: 7 }, { type: 'verified', checks: [], repositoryId: null }).repositoryId,
      7,
      'what was told stays known',
    );
  });

  it('in place of what runs is told with the command that takes it', () => {
    assert.deepEqual(
      [release('1.1.0'), release('1.1.0', { tag: 'v1.1.0+2', version: '1.1.0+2' })].map((one) => replacementOf(tree('1.1.0'), one).code),
      ['ASSET_REPLACED', 'VERSION_EQUAL'],
    );
    assert.match(replacementOf(tree('1.1.0'), release('1.1.0')).message, /`self-update install v1\.1\.0`/);
  });
});

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
    const last = { ...tried, candidate: tried.candidate && { ...tried.candidate, attempt: policy.maxAttempts } };
    const given = recordFailure(last, failed('NETWORK_FAILED'));
    assert.equal(given.candidate, null);
    assert.deepEqual([given.denied?.[0]?.version, given.denied?.[0]?.fingerprint], ['2.0.0', fingerprint(release('2.0.0'))]);
    assert.match(given.lastError?.message ?? '', /given up after 3 tries; `self-update retry 2\.0\.0` tries again/);
  });

  it('of the bytes themselves gives it up at once', () => {
    for (const code of ['ARCHIVE_REFUSED', 'ENTRY_POINT_MISSING', 'WRONG_PLATFORM'])
      assert.equal(recordFailure(withCandidate('2.0.0'), failed(code)).denied?.[0]?.code, code);
  });

  it('behind the stop makes the next try download first', () => {
    assert.equal(recordFailure(withCandidate('2.0.0', { app: 'stopped' }), failed('NETWORK_FAILED')).candidate?.downloadFirst, true);
    assert.equal(recordFailure(withCandidate('2.0.0'), failed('NETWORK_FAILED')).candidate?.downloadFirst, false);
  });

  it('while nothing is there to run waits for the outage, and costs no attempt as long as tries follow quickly', () => {
    const nothing = withCandidate('2.0.0', { app: 'stopped', current: null, lastGood: null, baked: null });
    const slow = { ...nothing, policy: { ...nothing.policy, retryBaseMs: 300_000 } };
    const { candidate, retryAt } = recordFailure(slow, failed('NETWORK_FAILED'));
    assert.deepEqual([candidate?.attempt, retryAt], [1, null]);
    const late = { ...slow, outage: { pauses: 12, until: AT } };
    assert.equal(recordFailure(late, failed('NETWORK_FAILED')).candidate?.attempt, 2, 'by then the tries are as far apart as any');
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
    const given = giveUpInterrupted(withCandidate('2.0.0'), { type: 'workInterrupted', effect: 'extract', at: AT });
    assert.equal(given.denied?.[0]?.code, 'INTERRUPTED');
    assert.match(given.lastError?.message ?? '', new RegExp(`killed ${MOST_INTERRUPTIONS} times .*2\\.0\\.0 \\(extract\\): too little memory`));
  });
});

describe('a version that does not prove itself', () => {
  const started = (overrides: Partial<Context> = {}) =>
    withCandidate('2.0.0', { current: tree('2.0.0'), target: tree('2.0.0'), installed: tree('2.0.0'), ...overrides });

  it('is denied for its bytes, and leaves no hold', () => {
    const bad = recordBadVersion(started({ hold: { version: '2.0.0', tag: 'v2.0.0', since: 1 } }), failed('UNHEALTHY'));
    assert.deepEqual([bad.denied?.[0]?.fingerprint, bad.hold, bad.candidate], [tree('2.0.0').fingerprint, null, null]);
    assert.deepEqual(bad.failedPaths, [tree('2.0.0').path]);
  });

  it('after a second start is looked at once more, when it is seen how the other one does', () => {
    assert.equal(recordBadVersion(started(), failed('APP_EXITED')).verdict, null);
    const verdict = recordBadVersion(started({ restarted: [tree('2.0.0').path] }), failed('APP_EXITED')).verdict;
    assert.deepEqual([verdict?.code, verdict?.installed.version], ['APP_EXITED', '2.0.0']);
  });

  it('is not denied for what is wrong with the machine', () => {
    const bad = recordBadVersion(started(), failed('NO_SPACE'));
    assert.equal(bad.denied, undefined);
    assert.deepEqual(bad.failedPaths, [tree('2.0.0').path]);
  });

  it('is not denied where it is the last good one, or the one in the image, at a boot', () => {
    for (const proven of [tree('1.1.0'), baked('1.0.0')])
      assert.equal(recordBadVersion(context({ target: proven, current: proven }), failed('UNHEALTHY')).denied, undefined, proven.path);
  });

  it('is denied though it was trusted, when it crashes again and again', () => {
    const loop = recordCrashLoop(context(), { ...facts.crashLooped('1.1.0'), at: AT } as Failure);
    assert.deepEqual([loop.denied?.[0]?.version, loop.lastGood], ['1.1.0', null]);
  });
});

describe('files that are gone', () => {
  it('are forgotten wherever they were known', () => {
    const known = context({ previous: tree('1.0.5') });
    assert.deepEqual(treeLost(known, 'TREE_MISSING', tree('1.1.0')), { baked: known.baked, current: null, lastGood: null, previous: known.previous });
    assert.deepEqual(treeLost(known, 'NO_SPACE', tree('1.1.0')), {});
  });

  it('leave nothing when all that is known failed or is gone, and the app is down', () => {
    assert.equal(isNothingThere(context({ app: 'stopped' })), false);
    assert.equal(isNothingThere(context({ app: 'stopped', failedPaths: [tree('1.1.0').path, baked('1.0.0').path] })), true);
    assert.equal(isNothingThere(context({ failedPaths: [tree('1.1.0').path, baked('1.0.0').path] })), false, 'it runs');
  });
});

describe('the list of denials', () => {
  const denial = (version: string, print: string | null = null, code = 'UNHEALTHY') => ({ version, fingerprint: print, code, reason: 'why', at: 1 });

  it('has the newest word about a version, and other bytes of it beside', () => {
    assert.equal(deny([denial('2.0.0', 'a')], denial('2.0.0', 'b')).length, 2);
    assert.equal(deny([denial('2.0.0', 'a')], denial('2.0.0', 'a')).length, 1);
    assert.equal(deny([denial('2.0.0', 'a'), denial('2.0.0', 'b')], denial('2.0.0')).length, 1);
  });

  it("stays at a hundred, and drops the operator's last", () => {
    const full = [denial('0.0.0', null, 'DENIED_BY_OPERATOR'), ...Array.from({ length: 99 }, (_, i) => denial(`0.0.${i + 1}`))];
    const more = deny(full, denial('9.0.0'));
    assert.deepEqual([more.length, more[0]?.version, more[1]?.version, more.at(-1)?.version], [100, '0.0.0', '0.0.2', '9.0.0']);
  });
});

describe('a switch, a start and a proof', () => {
  it('make the one before the previous one, unless it is the same', () => {
    assert.equal(recordSwitch(context(), { type: 'switched', to: tree('2.0.0') }).previous?.version, '1.1.0');
    assert.equal(recordSwitch(context(), { type: 'switched', to: tree('1.1.0') }).previous, null);
  });

  it('hold what the operator asked for, from its start', () => {
    const installed = withCandidate('2.0.0', { current: tree('2.0.0'), installed: tree('2.0.0') });
    const byOperator = { ...installed, candidate: installed.candidate && { ...installed.candidate, byOperator: true } };
    assert.deepEqual(recordStart(byOperator, AT).hold, { version: '2.0.0', tag: 'v2.0.0', since: AT });
    assert.equal(recordStart(installed, AT).hold, null);
  });

  it('raise the floor, and never lower it', () => {
    const proven = (version: string) =>
      recordHealthy(context({ highestHealthy: '1.5.0' }), { ...(facts.healthy(version) as { type: 'versionBecameHealthy'; version: string }), at: AT });
    assert.deepEqual([proven('1.1.0').highestHealthy, proven('2.0.0').highestHealthy], ['1.5.0', '2.0.0']);
  });
});

describe('changed settings', () => {
  it('drop a release that would not be chosen under them, and keep one that would', () => {
    const coming = withCandidate('2.0.0');
    assert.equal(adoptPolicy(coming, { ...policy, range: '1.x' }).candidate, null);
    assert.equal(adoptPolicy(coming, { ...policy, denied: ['2.0.0'] }).candidate, null);
    assert.equal('candidate' in adoptPolicy(coming, { ...policy, probationMs: 1 }), false);
    const asked = { ...coming, candidate: coming.candidate && { ...coming.candidate, byOperator: true } };
    assert.equal('candidate' in adoptPolicy(asked, { ...policy, range: '1.x' }), false, "the operator's choice");
  });

  it('of the repository forget what was learnt of the other one', () => {
    const other = adoptPolicy(
      context({ denied: deny([], { version: '2.0.0', fingerprint: null, code: 'UNHEALTHY', reason: 'why', at: 1 }), repositoryId: 7 }),
      {
        ...policy,
        repository: 'acme/other',
      },
    );
    assert.deepEqual([other.denied, other.repositoryId, other.highestHealthy], [[], null, null]);
  });
});

/** The fleet's lock: asked for last, kept through probation, given back, or kept on failure. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lockTroubleOf } from '../../src/machines/fleet.ts';
import type { Policy } from '../../src/machines/model.ts';
import { lockReturnAt, outstanding } from '../../src/runtime/fold.ts';
import { judge } from '../../src/runtime/outcomes.ts';
import { baked, facts, release, running, Story, tree, world } from '../support/machine.ts';

const fleet = { id: 'app-0', group: 'default', keepsOnFailure: true };
const inFleet = (overrides: Partial<Policy> = {}) => ({
  policy: { strategy: 'download-then-kill' as const, fleet, ...overrides },
});

/** It runs, and whatever an earlier container left at the server is given back. */
const steady = (overrides: Partial<Policy> = {}) =>
  running(inFleet(overrides)).when(facts.lockReturned());

const asks = (story: Story): string[] =>
  [...outstanding(story.state, { isPollDue: false, now: story.at }).values()].map(
    ({ request }) => request.name,
  );

/** An update as far as the lock. */
const reserving = (version = '2.0.0', overrides: Partial<Policy> = {}) =>
  steady(overrides).when(facts.found(version)).when(facts.installed(version)).when(facts.allowed());

const updating = (version = '2.0.0', overrides: Partial<Policy> = {}) =>
  reserving(version, overrides)
    .when(facts.locked())
    .when(facts.switchStarted(version))
    .when(facts.stopped())
    .when(facts.switched(tree(version)))
    .when(facts.started(version));

/** It is started once more before it is judged. */
const exitedEarly = {
  type: 'appExitedEarly',
  version: 'stable',
  code: 'APP_EXITED',
  message: 'the reason',
} as const;

/** The new version fails, and the old one is back. */
const rolledBack = (overrides: Partial<Policy> = {}, code = 'UNHEALTHY') =>
  updating('2.0.0', overrides)
    .when(facts.failed('probationFailed', code))
    .when(facts.stopped())
    .when(facts.switched(baked('1.0.0')))
    .when(facts.started('1.0.0'))
    .when(facts.tidied());

describe("the fleet's lock", () => {
  it('is asked for after every other question, and known to be held from before the request', () => {
    const story = reserving();
    assert.deepEqual(asks(story), ['acquireFleetLock']);
    assert.deepEqual(
      [story.context.fleetLock?.version, story.context.fleetLock?.isAcquired],
      ['2.0.0', false],
    );
    assert.deepEqual(asks(story.when(facts.locked())), ['prepareSwitch']);
    assert.equal(story.context.fleetLock?.isAcquired, true);
  });

  it('is kept through probation, and given back once the version is healthy', () => {
    const story = updating();
    assert.equal(lockReturnAt(story.state), null, 'on probation');
    story.when(facts.healthy('2.0.0'));
    assert.deepEqual(asks(story).includes('returnFleetLock'), true);
    story.when(facts.lockReturned());
    assert.deepEqual([story.context.fleetLock, lockReturnAt(story.state)], [null, null]);
  });

  it('is not ours where the server says so, and may be after any other failure', () => {
    const refused = reserving().when(facts.failed('fleetLockRefused', 'FLEET_LOCK_HELD'));
    assert.deepEqual([refused.name, refused.context.fleetLock], ['waiting', null]);
    assert.deepEqual(asks(refused), []);
    const unknown = reserving().when(facts.failed('fleetLockRefused', 'FLEET_LOCK_FAILED'));
    assert.equal(unknown.name, 'waiting');
    assert.notEqual(unknown.context.fleetLock, null);
    assert.deepEqual(asks(unknown), [], 'it is asked for again soon');
    unknown.when({ type: 'nothingNewer' });
    assert.deepEqual(asks(unknown).includes('returnFleetLock'), true, 'it is no longer needed');
  });

  it('is asked for again with pauses up to five minutes', () => {
    const story = reserving('2.0.0', { retryBaseMs: 300_000 });
    const pauses = [];
    for (let i = 0; i < 7; i++) {
      story.when(facts.failed('fleetLockRefused', 'FLEET_LOCK_HELD'));
      const pauseMs = story.timers[0]?.inMs ?? 0;
      pauses.push(pauseMs / 1000);
      story.after(pauseMs).when({ type: 'retryDue' }).when(facts.allowed());
    }
    assert.deepEqual(pauses, [30, 60, 120, 240, 300, 300, 300]);
  });

  it('that could not be given back is given back later, and holds nothing up', () => {
    const story = updating('2.0.0', { retryBaseMs: 300_000 }).when(facts.healthy('2.0.0'));
    story.when(facts.failed('fleetLockReturnFailed', 'FLEET_LOCK_FAILED'));
    assert.equal(lockReturnAt(story.state), story.at + 30_000);
    assert.equal(story.name, 'running');
    story.when(facts.found('3.0.0')).when(facts.installed('3.0.0')).when(facts.allowed());
    assert.deepEqual(asks(story), ['acquireFleetLock'], 'asking twice is safe');
  });

  it('is given back also after a clock that was set back', () => {
    const story = updating('2.0.0').when(facts.healthy('2.0.0')).when(facts.tidied());
    story.when(facts.failed('fleetLockReturnFailed', 'FLEET_LOCK_FAILED'));
    assert.deepEqual(asks(story), []);
    assert.deepEqual(asks(story.after(-365 * 86_400_000)), ['returnFleetLock']);
  });

  it('that was had leaves nothing of earlier refusals, also where the hook says "not now"', () => {
    const hooks = { preStop: true, preStart: false, postUpdate: false };
    const story = reserving('2.0.0', { hooks });
    story.when(facts.failed('fleetLockRefused', 'FLEET_LOCK_FAILED')).after(60_000);
    story.when({ type: 'retryDue' }).when(facts.allowed()).when(facts.locked());
    story.when(facts.failed('interruptionDeferred', 'NOT_NOW'));
    assert.equal(story.context.candidate?.deferral?.lock, null);
  });

  it('is given back where nothing was interrupted after all', () => {
    const story = reserving().when(facts.locked());
    story.when(facts.failed('preparationFailed', 'NO_SPACE'));
    assert.deepEqual([story.name, asks(story)], ['waiting', ['returnFleetLock']]);
  });

  it('is not waited for by a first start, a restart, or an update that is forced', () => {
    const first = new Story({ ...inFleet(), world: world({ baked: null }) })
      .when(facts.foundDown(world({ baked: null })))
      .when(facts.found('1.0.0'))
      .when(facts.allowed())
      .when(facts.installed('1.0.0'))
      .when(facts.allowed());
    assert.deepEqual(asks(first), ['prepareSwitch']);
    const restarted = steady().when({ type: 'restartRequested' });
    assert.deepEqual(asks(restarted), ['stop']);
    const forced = steady().when({ type: 'updateRequested', force: true });
    forced.when(facts.found('2.0.0')).when(facts.installed('2.0.0')).when(facts.allowed());
    assert.deepEqual(asks(forced), ['prepareSwitch']);
  });

  it('is asked for once more by an updater that was ended before the stop', () => {
    const story = reserving().when(facts.locked());
    assert.deepEqual(asks(story), ['prepareSwitch']);
    story.when({ type: 'workInterrupted', effect: 'prepareSwitch' }).when(facts.allowed());
    assert.deepEqual(asks(story), ['acquireFleetLock']);
  });

  it('is gone past by --force for one release, and not for the next one', () => {
    const story = steady().when({ type: 'updateRequested', force: true });
    story.when(facts.found('2.0.0')).when(facts.installed('2.0.0')).when(facts.allowed());
    story.when(facts.switchStarted('2.0.0')).when(facts.stopped());
    story.when(facts.switched(tree('2.0.0'))).when(facts.started('2.0.0'));
    story.when(facts.healthy('2.0.0')).when(facts.tidied());
    story.when(facts.found('3.0.0')).when(facts.installed('3.0.0')).when(facts.allowed());
    assert.deepEqual(asks(story), ['acquireFleetLock']);
  });

  it('keeps no boot: what can serve is started first, and the update asks then', () => {
    const story = steady()
      .when(facts.foundDown(world({ current: baked('1.0.0'), lastGood: baked('1.0.0') })))
      .when(facts.found('2.0.0'))
      .when(facts.allowed());
    assert.deepEqual(asks(story), ['switchCurrent']);
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.deepEqual(
      story.context.candidate?.deferral?.inhibitors.map(({ reason }) => reason),
      ['fleet'],
    );
  });

  it('that an earlier container may have left is given back once the app runs', () => {
    const story = new Story(inFleet()).when(facts.foundDown()).when({ type: 'nothingNewer' });
    assert.deepEqual(asks(story), ['switchCurrent']);
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    story.when(facts.healthy('1.0.0'));
    assert.ok(asks(story).includes('returnFleetLock'));
  });

  it('is of no interest where none is set', () => {
    const story = running();
    assert.deepEqual([story.context.fleetLock, lockReturnAt(story.state)], [null, null]);
  });
});

describe('a version that fails', () => {
  const isKept = (story: Story): boolean =>
    story.context.fleetLock?.failure != null && lockReturnAt(story.state) === null;

  it('keeps the lock, whatever the failure', () => {
    for (const code of ['UNHEALTHY', 'APP_EXITED', 'APP_KILLED', 'ADDRESS_HELD']) {
      const story = rolledBack({}, code);
      assert.equal(story.context.current?.version, '1.0.0', code);
      assert.ok(isKept(story), code);
      assert.equal(story.context.fleetLock?.failure?.code, code);
    }
  });

  it('keeps it where it stays, too: UPDATE_ROLLBACK=manual', () => {
    const story = updating('2.0.0', { rollback: 'manual' });
    story.when(facts.failed('probationFailed', 'UNHEALTHY')).when(facts.tidied());
    assert.deepEqual([story.context.current?.version, isKept(story)], ['2.0.0', true]);
  });

  for (const keepsOnFailure of [true, false])
    it(`gives it back where it stays and a newer one waits (keep: ${keepsOnFailure})`, () => {
      const own = { ...fleet, keepsOnFailure };
      const story = updating('2.0.0', { rollback: 'manual', fleet: own });
      story.when(facts.failed('probationFailed', 'UNHEALTHY')).when(facts.tidied());
      story.when(facts.found('3.0.0')).when(facts.installed('3.0.0')).when(facts.busy());
      story.when(facts.failed('probationFailed', 'UNHEALTHY'));
      story.when({ type: 'fleetReleaseRequested' }, null);
      assert.deepEqual([story.name, asks(story)], ['waiting', ['returnFleetLock']]);
    });

  it('gives the slot of a newer one back that interrupts nothing after all', () => {
    const own = { ...fleet, keepsOnFailure: false };
    const story = updating('2.0.0', { rollback: 'manual', fleet: own });
    story.when(facts.failed('probationFailed', 'UNHEALTHY')).when(facts.lockReturned());
    story.when(facts.tidied()).when(facts.found('3.0.0')).when(facts.installed('3.0.0'));
    story.when(facts.allowed()).when(facts.locked());
    story.when(facts.failed('preparationFailed', 'NO_SPACE'));
    assert.deepEqual([story.name, asks(story)], ['waiting', ['returnFleetLock']]);
  });

  it('keeps it while older bytes of a moving tag prove themselves again', () => {
    const bytes = (digit: string) => {
      const digest = digit.repeat(64);
      const path = `/d/releases/${digit}`;
      return { ...tree('stable'), tag: 'stable', path, digest, fingerprint: digest };
    };
    const story = steady({ tag: 'stable', versioning: 'loose' });
    for (const digit of ['a', 'b']) {
      const { asset } = release('stable');
      const moved = { ...asset, digest: digit.repeat(64) };
      story.when(facts.found('stable', { tag: 'stable', asset: moved }));
      story.when({ type: 'installed', version: bytes(digit) }).when(facts.allowed());
      story.when(facts.locked()).when(facts.switchStarted('stable')).when(facts.stopped());
      story.when(facts.switched(bytes(digit))).when(facts.started('stable'));
      if (digit === 'b') break;
      story.when(facts.healthy('stable')).when(facts.lockReturned(), null).when(facts.tidied());
    }
    story.when(exitedEarly, null).when(facts.failed('probationFailed', 'APP_EXITED'));
    story
      .when(facts.stopped())
      .when(facts.switched(bytes('a')))
      .when(facts.started('stable'));
    assert.deepEqual(story.effects, ['observeProbation']);
    assert.ok(isKept(story.when(facts.healthy('stable'))));
  });

  it('keeps it in a hand-over that nobody noticed', () => {
    const story = reserving('2.0.0', { strategy: 'hand-over' })
      .when(facts.locked())
      .when(facts.switchStarted('2.0.0'))
      .when(facts.startedBeside('2.0.0'))
      .when(facts.failed('readinessFailed', 'UNHEALTHY'))
      .when(facts.otherStopped())
      .when(facts.tidied());
    assert.deepEqual([story.name, isKept(story)], ['running', true]);
  });

  it('gives it back with UPDATE_FLEET_ON_FAILURE=release', () => {
    const story = rolledBack({ fleet: { ...fleet, keepsOnFailure: false } });
    assert.deepEqual(asks(story), ['returnFleetLock']);
  });

  for (const word of [
    { type: 'fleetReleaseRequested' },
    { type: 'versionRetried', version: '2.0.0' },
    { type: 'versionDenied', version: '2.0.0' },
  ] as const)
    it(`gives it back after ${word.type}`, () => {
      const story = rolledBack().when(word, null);
      assert.ok(asks(story).includes('returnFleetLock'));
    });

  it('gives it back for a word about it also while a newer one waits under its slot', () => {
    const story = rolledBack().when(facts.found('3.0.0')).when(facts.installed('3.0.0'));
    story.when(facts.allowed()).when(facts.failed('fleetLockRefused', 'FLEET_LOCK_FAILED'));
    assert.equal(story.context.fleetLock?.version, '3.0.0');
    assert.ok(isKept(story));
    story.when({ type: 'versionDenied', version: '2.0.0' }, null);
    assert.equal(story.context.fleetLock?.failure, null);
  });

  it('keeps it through what is said of other versions, a boot and other settings', () => {
    const story = rolledBack()
      .when({ type: 'versionDenied', version: '9.9.9' }, null)
      .when({ type: 'versionRetried', version: '9.9.9' }, null)
      .when(facts.foundUp(world({ current: baked('1.0.0'), lastGood: baked('1.0.0') })), null);
    assert.ok(isKept(story));
    story.when(
      { type: 'configurationChanged', policy: { ...story.context.policy, minAgeMs: 1 } },
      null,
    );
    assert.ok(isKept(story));
  });

  it('keeps it until a newer version is healthy, and not while that is only asked for', () => {
    const story = rolledBack().when(facts.found('3.0.0')).when(facts.installed('3.0.0'));
    story.when(facts.busy());
    assert.ok(isKept(story), 'the newer one waits');
    story.after(60_000).when({ type: 'retryDue' }).when(facts.allowed()).when(facts.locked());
    story.when(facts.switchStarted('3.0.0')).when(facts.stopped());
    story.when(facts.switched(tree('3.0.0'))).when(facts.started('3.0.0'));
    assert.notEqual(story.context.fleetLock?.failure, null);
    story.when(facts.healthy('3.0.0'));
    assert.ok(asks(story).includes('returnFleetLock'));
  });

  it('keeps it where the name could not be read at one start, and could at the next', () => {
    const story = rolledBack();
    for (const id of ['', fleet.id]) {
      const policy = { ...story.context.policy, fleet: { ...fleet, id } };
      story.when({ type: 'configurationChanged', policy }, null);
      assert.ok(isKept(story), JSON.stringify(id));
    }
  });

  it('says that it may hold a slot of a server that is no longer set, and not that all is done', () => {
    const story = rolledBack();
    story.when(
      { type: 'configurationChanged', policy: { ...story.context.policy, fleet: null } },
      null,
    );
    story.when({ type: 'fleetReleaseRequested' }, null);
    assert.match(lockTroubleOf(story.context, 0)?.message ?? '', /app-0 may hold .*free the slot/);
    const asked = { type: 'fleetReleaseRequested', tag: null, since: story.at + 1 } as const;
    assert.equal(judge(asked, story.context, null).error?.code, 'FLEET_LOCK_FAILED');
    // What the lock's server has to do with it is no failure of another command.
    assert.equal(judge({ ...asked, type: 'restartRequested' }, story.context, null).ok, true);
  });

  it('gives back what was held under a name that is no longer set', () => {
    const story = rolledBack();
    const policy = { ...story.context.policy, fleet: { ...fleet, group: 'other' } };
    story.when({ type: 'configurationChanged', policy }, null);
    assert.equal(story.context.fleetLock?.group, 'default');
    assert.ok(asks(story).includes('returnFleetLock'));
    // The server may know the old name no longer: an update does not ask under it.
    story.when(facts.failed('fleetLockReturnFailed', 'FLEET_LOCK_FAILED'), null);
    story.when(facts.found('3.0.0')).when(facts.installed('3.0.0')).when(facts.allowed());
    assert.deepEqual(
      [story.context.fleetLock?.group, asks(story)],
      ['other', ['acquireFleetLock']],
    );
  });
});

describe('a rollout', () => {
  const HOUR_MS = 3_600_000;
  const rollout = { id: 'app-0', periodMs: 24 * HOUR_MS, wariness: 1 };
  const published = (version: string, story: Story) =>
    facts.found(version, { publishedAt: new Date(story.at).toISOString() });

  it('is waited for, and its turn comes by time', () => {
    const story = running({ policy: { strategy: 'download-then-kill', rollout } });
    story.when(published('2.0.0', story)).when(facts.installed('2.0.0')).when(facts.allowed());
    assert.deepEqual(story.context.candidate?.deferral?.inhibitors, [
      { reason: 'rollout', until: story.at + 24 * HOUR_MS },
    ]);
    story
      .after(24 * HOUR_MS)
      .when({ type: 'retryDue' })
      .when(facts.allowed());
    assert.deepEqual(asks(story), ['prepareSwitch']);
  });

  it('goes no further with a release that was withdrawn', () => {
    const story = running({ policy: { strategy: 'download-then-kill', rollout } });
    story.when(published('2.0.0', story)).when(facts.installed('2.0.0')).when(facts.allowed());
    story.when({ type: 'nothingNewer' }, null);
    assert.deepEqual([story.context.candidate, story.name], [null, 'running']);
  });
});

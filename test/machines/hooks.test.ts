/** When each hook is run, what it is told, and what follows when it fails. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Fact } from '../../src/machines/facts.ts';
import type { HookName, InstalledVersion, Policy } from '../../src/machines/model.ts';
import { baked, facts, running, Story, tree, world } from '../support/machine.ts';

const all: Partial<Policy> = {
  strategy: 'download-then-kill',
  hooks: { preStop: true, preStart: true, postUpdate: true },
};
const done = (hook: HookName): Fact => ({ type: 'hookSucceeded', hook, durationMs: 1 });

/** What the outstanding hook is told. */
function told(story: Story): string {
  const request = story.state.effects.get('runHook')?.request;
  if (request?.name !== 'runHook') return `none in ${story.name}`;
  const { hook, from, to, reason, tree: directory } = request.input;
  return `${hook} ${from} → ${to}, ${reason}, ${directory}`;
}

const started = (story: Story, version: InstalledVersion) =>
  story.when(facts.switched(version)).when(facts.started(version.version));

/** The baked version runs, as after its own hooks. */
function settled(policy = all): Story {
  const story = new Story({ policy }).when(facts.foundDown());
  started(story.when(done('preStart')), baked('1.0.0'));
  return story.when(facts.healthy('1.0.0')).when(done('postUpdate')).when(facts.tidied());
}

/** An update up to its pre-stop hook. */
const asked = (story: Story) =>
  story.when(facts.found('2.0.0')).when(facts.installed('2.0.0')).when(facts.allowed());
/** … and up to its pre-start hook. */
const stopped = (story: Story) =>
  asked(story).when(done('preStop')).when(facts.switchStarted('2.0.0')).when(facts.stopped());

describe('hooks', () => {
  it('of an update: before the stop, with the app down, and after health', () => {
    const story = asked(settled());
    assert.equal(told(story), 'preStop 1.0.0 → 2.0.0, update, /d/releases/2.0.0');
    assert.equal(story.context.app, 'up');
    story.when(done('preStop'));
    assert.deepEqual(story.effects, ['prepareSwitch']);
    story.when(facts.switchStarted('2.0.0')).when(facts.stopped());
    assert.equal(told(story), 'preStart 1.0.0 → 2.0.0, update, /d/releases/2.0.0');
    assert.deepEqual(
      [story.context.app, story.context.current?.version],
      ['stopped', '1.0.0'],
      'what is linked still fits the data',
    );
    started(story.when(done('preStart')), tree('2.0.0'));
    assert.deepEqual(story.effects, ['observeProbation']);
    story.when(facts.healthy('2.0.0'));
    assert.equal(told(story), 'postUpdate 1.0.0 → 2.0.0, update, /d/releases/2.0.0');
    story.when(done('postUpdate'));
    assert.deepEqual([story.name, story.context.change], ['running', null]);
  });

  it('of an install say so', () => {
    const story = settled()
      .when({ type: 'installRequested', tag: 'v2.0.0', file: null })
      .when(facts.found('2.0.0'));
    story.when(facts.installed('2.0.0')).when(facts.allowed());
    assert.equal(told(story), 'preStop 1.0.0 → 2.0.0, install, /d/releases/2.0.0');
  });

  it('of a first boot prepare the data before anything is asked of the network, and none are run when the same version boots again', () => {
    const story = new Story({ policy: all }).when(facts.foundDown());
    assert.equal(told(story), 'preStart null → 1.0.0, boot, /baked/1.0.0');
    started(story.when(done('preStart')), baked('1.0.0')).when(facts.healthy('1.0.0'));
    assert.equal(told(story), 'postUpdate null → 1.0.0, boot, /baked/1.0.0');
    story
      .when(done('postUpdate'))
      .when(facts.foundDown(world({ current: baked('1.0.0'), lastGood: baked('1.0.0') })));
    assert.equal(story.name, 'checking');
    started(story.when({ type: 'nothingNewer' }), baked('1.0.0'));
    assert.equal(story.name, 'running');
  });

  it('of a newer image over an older volume, also when the updater dies in between', () => {
    const newer = world({
      baked: baked('3.0.0'),
      current: baked('1.0.0'),
      lastGood: baked('1.0.0'),
    });
    const story = settled().when(facts.foundDown(newer));
    assert.equal(told(story), 'preStart 1.0.0 → 3.0.0, boot, /baked/3.0.0');
    story.when(facts.foundDown(newer));
    assert.equal(told(story), 'preStart 1.0.0 → 3.0.0, boot, /baked/3.0.0');
  });

  it('are not run for a restart', () => {
    const story = settled().when({ type: 'restartRequested' }).when(facts.stopped());
    assert.deepEqual(story.effects, ['start']);
  });
});

describe('a pre-stop hook', () => {
  it('that says "not now" is asked again, later each time', () => {
    const story = asked(settled());
    const pauses: (number | undefined)[] = [];
    for (let i = 0; i < 3; i++) {
      story.when(facts.failed('interruptionDeferred', 'HOOK_DEFERRED'));
      assert.deepEqual([story.name, story.context.app], ['waiting', 'up']);
      pauses.push(story.timers[0]?.inMs);
      story
        .after(story.timers[0]?.inMs ?? 0)
        .when({ type: 'retryDue' })
        .when(facts.allowed());
    }
    assert.deepEqual(pauses, [1000, 2000, 4000]);
  });

  it('that fails aborts this attempt: the app runs on, and no release is given up for it', () => {
    const story = asked(settled());
    for (let i = 0; i < 20; i++) {
      story.when(facts.failed('hookFailed', 'PRE_STOP_HOOK_FAILED'));
      // It may have drained already.
      assert.equal(told(story), 'postUpdate 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
      story.when(done('postUpdate'));
      assert.deepEqual(
        [story.name, story.context.app, story.context.denied.length],
        ['waiting', 'up', 0],
      );
      story.when({ type: 'retryDue' }).when(facts.installed('2.0.0')).when(facts.allowed());
      assert.match(told(story), /^preStop/);
    }
  });

  it('that has drained what is then not stopped is followed by the post-update hook, which can undo it', () => {
    const story = asked(settled())
      .when(done('preStop'))
      .when(facts.failed('preparationFailed', 'NO_SPACE'));
    assert.equal(told(story), 'postUpdate 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
    assert.equal(story.when(done('postUpdate')).name, 'waiting');
    const paused = asked(settled()).when({ type: 'paused' }).when(facts.allowed());
    assert.equal(told(paused), 'postUpdate 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
  });

  it('of a container that starts anew in the middle has no app to ask any more', () => {
    const story = asked(settled()).when(
      facts.foundDown(world({ current: baked('1.0.0'), lastGood: baked('1.0.0') })),
    );
    assert.deepEqual(story.effects, ['observeConditions']);
    story.when(facts.allowed());
    assert.deepEqual(story.effects, ['prepareSwitch']);
  });
});

describe('a pre-start hook', () => {
  it('that fails brings the old version back, which may restore first, and the new one is denied', () => {
    const story = stopped(settled()).when(facts.failed('hookFailed', 'PRE_START_HOOK_FAILED'));
    assert.equal(told(story), 'preStart 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
    assert.equal(story.context.denied[0]?.code, 'PRE_START_HOOK_FAILED');
    started(story.when(done('preStart')), baked('1.0.0'));
    assert.equal(told(story), 'postUpdate 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
    assert.deepEqual(
      [story.when(done('postUpdate')).name, story.context.current?.version],
      ['running', '1.0.0'],
    );
  });

  it('that fails on the way back as well keeps nothing down', () => {
    const story = stopped(settled())
      .when(facts.failed('hookFailed', 'PRE_START_HOOK_FAILED'))
      .when(facts.failed('hookFailed', 'PRE_START_HOOK_FAILED'));
    assert.deepEqual([story.effects, story.context.target?.version], [['switchCurrent'], '1.0.0']);
  });

  it('that fails for the only version there is does not keep it down', () => {
    const story = new Story({ policy: all })
      .when(facts.foundDown())
      .when(facts.failed('hookFailed', 'PRE_START_HOOK_FAILED'));
    assert.deepEqual([story.effects, story.context.target?.version], [['switchCurrent'], '1.0.0']);
  });

  it('restores when the new version does not prove itself', () => {
    const story = started(stopped(settled()).when(done('preStart')), tree('2.0.0'))
      .when(facts.failed('probationFailed', 'UNHEALTHY'))
      .when(facts.stopped());
    assert.equal(told(story), 'preStart 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
  });

  it('in which the updater is killed is run again, and a release that kills it for ever is given up', () => {
    const story = stopped(settled());
    for (let i = 0; i < 9; i++) story.when({ type: 'workInterrupted', effect: 'runHook' });
    assert.equal(told(story), 'preStart 1.0.0 → 2.0.0, update, /d/releases/2.0.0');
    story
      .when({ type: 'workInterrupted', effect: 'runHook' })
      .when({ type: 'workInterrupted', effect: 'runHook' });
    assert.equal(told(story), 'preStart 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
  });
});

describe('a post-update hook', () => {
  it('that fails changes nothing but what is said', () => {
    const story = started(stopped(settled()).when(done('preStart')), tree('2.0.0')).when(
      facts.healthy('2.0.0'),
    );
    story.when(facts.failed('hookFailed', 'POST_UPDATE_HOOK_FAILED'));
    assert.deepEqual(
      [story.name, story.context.current?.version, story.context.lastError?.code],
      ['running', '2.0.0', 'POST_UPDATE_HOOK_FAILED'],
    );
  });

  it('hears of a stop-first update whose download failed', () => {
    const story = settled({ ...all, strategy: 'kill-then-download' })
      .when(facts.found('2.0.0'))
      .when(facts.allowed())
      .when(done('preStop'));
    story
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped())
      .when(facts.failed('downloadFailed'));
    assert.deepEqual(story.effects, ['switchCurrent'], 'no data was touched, so none is prepared');
    started(story, baked('1.0.0'));
    assert.equal(told(story), 'postUpdate 2.0.0 → 1.0.0, rollback, /baked/1.0.0');
    assert.equal(story.when(done('postUpdate')).name, 'waiting');
  });

  it('where it is the only one is run all the same', () => {
    const only: Partial<Policy> = {
      strategy: 'download-then-kill',
      hooks: { preStop: false, preStart: false, postUpdate: true },
    };
    const story = running({ policy: only })
      .when(done('postUpdate'))
      .when(facts.found('2.0.0'))
      .when(facts.installed('2.0.0'))
      .when(facts.allowed());
    started(story.when(facts.switchStarted('2.0.0')).when(facts.stopped()), tree('2.0.0')).when(
      facts.healthy('2.0.0'),
    );
    assert.equal(told(story), 'postUpdate 1.0.0 → 2.0.0, update, /d/releases/2.0.0');
  });
});

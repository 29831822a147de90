/** The strategy hand-over: the new version is started beside the old one, which serves until then. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Fact } from '../../src/machines/facts.ts';
import type { Policy } from '../../src/machines/model.ts';
import { facts, Story, tree, updatedTo, world } from '../support/machine.ts';

const hooks = { preStop: false, preStart: false, postUpdate: false };

/** 2.0.0 runs and is trusted, and 3.0.0 is about to be started beside it. */
function handingOver(overrides: Partial<Policy> = {}): Story {
  const story = updatedTo('2.0.0', { policy: { strategy: 'download-then-kill', hooks } });
  const policy = { ...story.context.policy, ...overrides, strategy: 'hand-over' as const };
  return [
    { type: 'configurationChanged', policy } as Fact,
    facts.found('3.0.0'),
    facts.installed('3.0.0'),
    facts.allowed(),
    facts.switchStarted('3.0.0'),
  ].reduce((told, fact) => told.when(fact), story);
}

const handedOver = (overrides: Partial<Policy> = {}) =>
  handingOver(overrides)
    .when(facts.startedBeside('3.0.0'))
    .when(facts.ready('3.0.0'))
    .when(facts.allowed())
    .when(facts.switched(tree('3.0.0')))
    .when(facts.otherStopped());

describe('a hand-over', () => {
  it('stops the old version only after the new one is ready and linked', () => {
    const story = handingOver();
    const asked = () => [...story.state.effects.values()].map(({ request }) => request.name);
    const seen = [asked()];
    for (const fact of [
      facts.startedBeside('3.0.0'),
      facts.ready('3.0.0'),
      facts.allowed(),
      facts.switched(tree('3.0.0')),
      facts.otherStopped(),
    ]) {
      story.when(fact);
      assert.equal(story.context.app, 'up');
      seen.push(asked());
    }
    assert.deepEqual(seen.flat(), [
      'startBeside',
      'observeReadiness',
      'observeConditions',
      'switchCurrent',
      'stopOtherCopy',
      'observeProbation',
    ]);
    story.when(facts.healthy('3.0.0'));
    assert.equal(story.context.lastGood?.version, '3.0.0');
    assert.equal(story.context.candidate, null);
  });

  it('denies a version that is never ready, and the old one was the app all along', () => {
    const story = handingOver()
      .when(facts.startedBeside('3.0.0'))
      .when(facts.failed('readinessFailed', 'NOT_READY'));
    assert.deepEqual(
      [...story.state.effects.values()].map(({ request }) => request.name),
      ['stopOtherCopy'],
    );
    story.when(facts.otherStopped());
    assert.equal(story.context.current?.version, '2.0.0');
    assert.equal(story.context.app, 'up');
    assert.deepEqual(
      story.context.denied.map(({ version, code }) => [version, code]),
      [['3.0.0', 'NOT_READY']],
    );
    assert.equal(story.name, 'running');
  });

  it('denies nothing for what is this machine’s fault, and tries again after a pause', () => {
    const story = handingOver().when(facts.failed('startFailed', 'NO_MEMORY'));
    story.when(facts.otherStopped());
    assert.deepEqual(story.context.denied, []);
    assert.equal(story.context.candidate?.release.version, '3.0.0');
    assert.equal(story.name, 'waiting');
  });

  it('takes turns where the app alone has the sockets, and asks for the stop first', () => {
    const story = handingOver({ hooks: { ...hooks, preStop: true } }).when(
      facts.failed('startFailed', 'SOCKET_WITH_APP'),
    );
    const asked = () => [...story.state.effects.values()].map(({ request }) => request.name);
    const seen = asked();
    for (const fact of [
      facts.allowed(),
      { type: 'hookSucceeded', hook: 'preStop', durationMs: 1 } as const,
      facts.switchStarted('3.0.0'),
    ])
      seen.push(...(story.when(fact), asked()));
    assert.deepEqual(seen, ['observeConditions', 'runHook', 'prepareSwitch', 'stop']);
    story.when(facts.stopped());
    assert.equal(story.context.target?.version, '3.0.0');
    assert.deepEqual(story.context.denied, []);
  });

  it('starts the new version once more where an updater ended while that was to prove itself', () => {
    const story = handingOver()
      .when(facts.startedBeside('3.0.0'))
      .when({ type: 'workInterrupted', effect: 'observeReadiness' });
    assert.equal([...story.state.effects.values()][0]?.request.name, 'startBeside');
    assert.equal(story.context.candidate?.interruptions, 1);
  });

  it('runs the pre-stop hook once the new version is ready, and "not now" withdraws it', () => {
    const story = handingOver({ hooks: { ...hooks, preStop: true } })
      .when(facts.startedBeside('3.0.0'))
      .when(facts.ready('3.0.0'))
      .when(facts.allowed());
    assert.equal([...story.state.effects.values()][0]?.request.name, 'runHook');
    story.when(facts.failed('interruptionDeferred', 'HOOK_DEFERRED')).when(facts.otherStopped());
    assert.equal(story.context.current?.version, '2.0.0');
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.context.denied, []);
  });

  it('asks again before the switch: the app may be busy by now, or the operator have paused', () => {
    const proven = () =>
      handingOver().when(facts.startedBeside('3.0.0')).when(facts.ready('3.0.0'));
    const busy = proven().when(facts.busy()).when(facts.otherStopped());
    assert.equal(busy.name, 'waiting');
    assert.equal(busy.context.current?.version, '2.0.0');
    const paused = handingOver()
      .when(facts.startedBeside('3.0.0'))
      .when({ type: 'paused' })
      .when(facts.ready('3.0.0'))
      .when(facts.allowed())
      .when(facts.otherStopped());
    assert.equal(paused.context.current?.version, '2.0.0');
    assert.equal(paused.name, 'waiting');
    assert.deepEqual(paused.context.denied, []);
  });

  it('is withdrawn when the operator denies the version meanwhile', () => {
    const story = handingOver()
      .when(facts.startedBeside('3.0.0'))
      .when({ type: 'versionDenied', version: '3.0.0' })
      .when(facts.otherStopped());
    assert.equal(story.context.current?.version, '2.0.0');
    assert.equal(story.name, 'running');
  });

  it('begins with the app that boots, where everything ended in the middle of it', () => {
    const story = handingOver()
      .when(facts.startedBeside('3.0.0'))
      .when(facts.foundDown(world({ current: tree('2.0.0'), lastGood: tree('2.0.0') })));
    assert.equal(story.name, 'checking');
    assert.equal(story.context.app, 'booting');
  });
});

describe('after a hand-over', () => {
  it('an unhealthy version serves until the one before it is ready again', () => {
    const story = handedOver().when(facts.failed('probationFailed', 'UNHEALTHY'));
    const [effect] = story.state.effects.values();
    assert.equal(effect?.request.name, 'startBeside');
    assert.equal(story.context.target?.version, '2.0.0');
    story
      .when(facts.startedBeside('2.0.0'))
      .when(facts.ready('2.0.0'))
      .when(facts.switched(tree('2.0.0')))
      .when(facts.otherStopped());
    assert.equal(story.context.app, 'up');
    assert.equal(story.context.current?.version, '2.0.0');
    assert.deepEqual(
      story.context.denied.map(({ version }) => version),
      ['3.0.0'],
    );
    assert.equal(story.name, 'running');
  });

  it('a version that ended is stopped, and the one before it started: that is quicker', () => {
    const story = handedOver().when(facts.failed('probationFailed', 'APP_EXITED'));
    assert.equal([...story.state.effects.values()][0]?.request.name, 'stop');
    assert.equal(story.name, 'rollingBack');
  });

  it('the way back is by a stop where the updater was killed in the middle of it', () => {
    for (const before of [[], [facts.startedBeside('2.0.0')]]) {
      const story = handedOver().when(facts.failed('probationFailed', 'UNHEALTHY'));
      for (const fact of before) story.when(fact);
      story.when({ type: 'workInterrupted', effect: 'startBeside' }).when(facts.foundUp());
      assert.equal(story.name, 'rollingBack');
      story.when(facts.stopped());
      assert.equal(story.context.target?.version, '2.0.0');
    }
  });

  it('the way back is by a stop where the version before it is not ready either', () => {
    const story = handedOver()
      .when(facts.failed('probationFailed', 'UNHEALTHY'))
      .when(facts.startedBeside('2.0.0'))
      .when(facts.failed('readinessFailed', 'APP_EXITED'));
    assert.equal(story.name, 'rollingBack');
    story.when(facts.stopped());
    assert.equal(story.context.target?.version, '2.0.0');
  });
});

describe('where nothing runs', () => {
  it('there is nothing to hand over from, and the version is brought up', () => {
    const story = new Story({ policy: { strategy: 'hand-over', hooks } })
      .when(facts.foundDown())
      .when(facts.found('2.0.0'))
      .when(facts.installed('2.0.0'))
      .when(facts.allowed())
      .when(facts.switchStarted('2.0.0'));
    assert.equal([...story.state.effects.values()][0]?.request.name, 'stop');
    assert.equal(story.name, 'stopping');
  });
});

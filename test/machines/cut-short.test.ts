/**
 * A version that gets its judge killed has failed; a power cut now and then says nothing about it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Policy } from '../../src/machines/model.ts';
import { cutShortTooOften } from '../../src/machines/rules.ts';
import { baked, facts, running, type Story, tree, world } from '../support/machine.ts';

const killed = { type: 'workInterrupted', effect: 'observeProbation', appUp: true } as const;
const ended = { ...killed, appUp: false } as const;
const UPDATE = { strategy: 'download-then-kill' } as const;

/** Version 2.0.0 is on probation. */
function onProbation(policy: Partial<Policy> = UPDATE): Story {
  const story = running({ policy })
    .when(facts.found('2.0.0'))
    .when(facts.installed('2.0.0'))
    .when(facts.allowed())
    .when(facts.switchStarted('2.0.0'));
  return story
    .when(facts.stopped())
    .when(facts.switched(tree('2.0.0')))
    .when(facts.started('2.0.0'));
}

/** As the runtime does: what was counted is asked for, and is a failure like any other. */
function judged(story: Story): Story {
  const failure = cutShortTooOften(story.context);
  return failure === null
    ? story
    : story.when({ type: 'probationFailed', ...failure, jitter: 0.5 });
}

/** The container began anew, and started what was current. */
function boot(story: Story): Story {
  judged(story.when(ended));
  if (story.name !== 'running') return story;
  story
    .when(facts.foundDown(world({ current: tree('2.0.0'), lastGood: baked('1.0.0') })))
    .when({ type: 'nothingNewer' });
  return story.when(facts.switched(tree('2.0.0'))).when(facts.started('2.0.0'));
}

describe('an updater that is killed while it judges a version', () => {
  it('judges it anew, from the beginning: time in which nobody looked proves nothing', () => {
    const story = onProbation().after(9000).when(killed);
    assert.deepEqual(story.effects, ['observeProbation']);
    const [effect] = story.state.effects.values();
    assert.ok(effect?.request.name === 'observeProbation');
    assert.equal(effect.request.input.startedAt, story.at);
    assert.equal(cutShortTooOften(story.context), null);
  });

  it('does so twice; the third time the version has failed, and the last good one comes back', () => {
    const story = onProbation();
    for (let i = 0; i < 2; i++) assert.equal(judged(story.when(killed)).name, 'running');
    assert.equal(judged(story.when(killed)).name, 'rollingBack');
    story
      .when(facts.stopped())
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'));
    const [denial] = story.context.denied;
    assert.deepEqual([denial?.version, denial?.code], ['2.0.0', 'UPDATER_KILLED']);
    assert.match(denial?.reason ?? '', /killed 3 times .* out of memory/);
    assert.equal(story.when(facts.tidied()).when(facts.found('2.0.0')).name, 'running');
  });

  it('forgets it once the version was judged, and when the operator gives it another chance', () => {
    const healthy = onProbation().when(killed).when(killed).when(facts.healthy('2.0.0'));
    assert.equal(healthy.context.cutShort, null);
    const story = onProbation();
    for (let i = 0; i < 3; i++) judged(story.when(killed));
    story
      .when(facts.stopped())
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'));
    story
      .when(facts.tidied())
      .when({ type: 'versionRetried', version: '2.0.0' })
      .when(facts.found('2.0.0'))
      .when(facts.installed('2.0.0'))
      .when(facts.allowed());
    story
      .when(facts.switchStarted('2.0.0'))
      .when(facts.stopped())
      .when(facts.switched(tree('2.0.0')))
      .when(facts.started('2.0.0'));
    assert.equal(judged(story.when(killed)).name, 'running');
  });

  it('reports it, and judges no more, under UPDATE_ROLLBACK=manual and where there is nothing else to run', () => {
    const story = onProbation({ ...UPDATE, rollback: 'manual' });
    for (let i = 0; i < 3; i++) judged(story.when(killed));
    assert.deepEqual(
      [story.name, story.context.lastError?.code, story.context.denied],
      ['running', 'UPDATER_KILLED', []],
    );
    assert.deepEqual(story.effects, ['removeOldVersions']);
  });
});

describe('a container that ends while a version is on probation', () => {
  it('starts it again: a power cut does not deny a good version', () => {
    const story = onProbation();
    for (let i = 0; i < 4; i++) assert.equal(boot(story).name, 'running');
    assert.deepEqual(story.context.denied, []);
    story.when(facts.healthy('2.0.0'));
    assert.deepEqual([story.context.lastGood?.version, story.context.cutShort], ['2.0.0', null]);
  });

  it('five times in a row is taken down by the version', () => {
    const story = onProbation();
    for (let i = 0; i < 4; i++) boot(story);
    assert.equal(boot(story).name, 'rollingBack');
    assert.equal(story.context.denied[0]?.code, 'UPDATER_KILLED');
    assert.match(story.context.denied[0]?.reason ?? '', /5 times in a row/);
    // Seen down meanwhile, which changes nothing.
    story
      .when(facts.foundDown(world({ current: tree('2.0.0'), lastGood: baked('1.0.0') })))
      .when(facts.stopped());
    assert.equal(story.context.target?.version, '1.0.0');
  });

  it('is not counted together with kills of the updater alone', () => {
    const story = onProbation();
    for (let i = 0; i < 4; i++) boot(story);
    for (let i = 0; i < 2; i++) assert.equal(judged(story.when(killed)).name, 'running');
  });
});

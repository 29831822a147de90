/** A version that binds an address itself that is held for it (UPDATE_LISTEN): nobody denies it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Fact } from '../../src/machines/facts.ts';
import type { Policy } from '../../src/machines/model.ts';
import {
  baked,
  facts,
  policy,
  release,
  running,
  Story,
  tree,
  updatedTo,
  world,
} from '../support/machine.ts';

const RULES: Partial<Policy> = { strategy: 'download-then-kill', held: 'web=0.0.0.0 8080' };
const failed = facts.failed('probationFailed', 'ADDRESS_HELD');

const tried = (story: Story, version = '2.0.0') => {
  if (story.name !== 'preparing' && !story.effects.includes('observeConditions'))
    story.when(facts.installed(version));
  story.when(facts.allowed()).when(facts.switchStarted(version)).when(facts.stopped());
  return story.when(facts.switched(tree(version))).when(facts.started(version));
};

/** 2.0.0 was tried, ended, and gave way to 1.0.0. */
function parked(): Story {
  const story = tried(running({ policy: RULES }).when(facts.found('2.0.0'))).when(failed);
  assert.deepEqual(story.effects, ['stop']);
  story.when(facts.stopped());
  assert.equal(story.context.target?.version, '1.0.0');
  return story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
}

describe('a version that binds a held address itself', () => {
  it('gives way to the one before, is not denied, and is not tried again by itself', () => {
    const story = parked();
    assert.equal(story.context.lastError?.code, 'ADDRESS_HELD');
    assert.deepEqual(story.context.denied, []);
    assert.deepEqual(story.timers, []);
    for (let poll = 0; poll < 3; poll += 1) {
      story.after(60 * 60_000).when(facts.found('2.0.0'));
      assert.deepEqual([story.effects, story.timers], [[], []]);
    }
    assert.equal(story.context.app, 'up');
  });

  it('is not tried at the next boot either, nor when the operator only looks', () => {
    const story = parked();
    story.when({ type: 'updateRequested' }).when(facts.installed('2.0.0')).when(facts.allowed());
    assert.deepEqual([story.effects, story.timers], [[], []]);
    const seen = world({ current: baked('1.0.0'), lastGood: baked('1.0.0') });
    story.when(facts.foundDown(seen)).when(facts.found('2.0.0'));
    assert.deepEqual(story.effects, ['observeConditions']);
    story.when(facts.allowed());
    assert.equal(story.context.target?.version, '1.0.0');
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.deepEqual(story.context.denied, []);
  });

  for (const [word, say] of Object.entries({
    'another configuration': (story: Story) =>
      story.when({ type: 'configurationChanged', policy: { ...policy, ...RULES, held: '' } }),
    '`retry`': (story: Story) => story.when({ type: 'versionRetried', version: '2.0.0' }),
  }))
    it(`is tried again by ${word}, and runs`, () => {
      const story = say(parked());
      assert.deepEqual(
        story.timers.map(({ type, inMs }) => [type, inMs]),
        [['retryDue', 0]],
      );
      story.when({ type: 'retryDue' });
      tried(story).when(facts.healthy('2.0.0'));
      assert.equal(story.context.lastGood?.version, '2.0.0');
    });

  it('is tried again by `install`, and by `update --force`', () => {
    const asked = parked().when({ type: 'installRequested', tag: 'v2.0.0', file: null });
    tried(asked.when(facts.found('2.0.0')));
    assert.equal(asked.context.current?.version, '2.0.0');
    const forced = parked().when({ type: 'updateRequested', force: true });
    tried(forced).when(failed).when(facts.stopped());
    forced.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.deepEqual([forced.effects, forced.timers], [[], []], 'one word is one try');
  });

  it('gives way to a newer release', () => {
    const story = parked().when({ type: 'releaseFound', release: release('3.0.0') });
    tried(story, '3.0.0').when(facts.healthy('3.0.0'));
    assert.equal(story.context.lastGood?.version, '3.0.0');
  });

  it('runs on where nothing else could', () => {
    const story = new Story({ policy: { ...RULES, rollback: 'manual' } });
    story.when(facts.foundDown()).when({ type: 'nothingNewer' });
    story
      .when(facts.switched(baked('1.0.0')))
      .when(facts.started('1.0.0'))
      .when(failed);
    assert.deepEqual([story.context.app, story.context.denied], ['up', []]);
  });
});

describe('a trusted version that ends again and again, since it binds a held address itself', () => {
  const loops = { ...facts.crashLooped('2.0.0'), code: 'ADDRESS_HELD' } as Fact;
  const configured = (held: string): Fact => ({
    type: 'configurationChanged',
    policy: { ...policy, ...RULES, held },
  });

  it('stays, undenied, where sockets are held only since it was: any other would end like it', () => {
    const story = updatedTo('2.0.0', { policy: { ...RULES, held: '' } });
    story.when(configured('web=0.0.0.0 8080')).when(loops);
    assert.deepEqual([story.effects, story.context.denied], [[], []]);
    assert.equal(story.context.lastError?.code, 'ADDRESS_HELD');
  });

  it('gives way to one that ran with them, and is denied until others are held', () => {
    const story = updatedTo('2.0.0', { policy: RULES }).when(loops).when(facts.stopped());
    assert.equal(story.context.target?.version, '1.0.0');
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.deepEqual(
      story.context.denied.map(({ version, code }) => [version, code]),
      [['2.0.0', 'ADDRESS_HELD']],
    );
    assert.deepEqual(story.when(configured('')).context.denied, []);
  });
});

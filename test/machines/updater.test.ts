import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { baked, facts, running, Story, tree } from '../support/machine.ts';

describe('at boot', () => {
  it('checks before it starts anything', () => {
    const story = new Story().when(facts.foundDown());
    assert.equal(story.name, 'checking');
    assert.deepEqual(story.effects, ['check']);
  });

  it('starts the baked version when there is nothing newer', () => {
    const story = new Story().when(facts.foundDown()).when({ type: 'nothingNewer' });
    assert.equal(story.name, 'switching');
    assert.equal(story.context.target?.path, '/baked/1.0.0');
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.equal(story.name, 'running');
    assert.deepEqual(story.effects, ['observeProbation']);
  });
});

describe('kill-then-download', () => {
  it('follows the order of its name', () => {
    const story = running();
    const names = [story.when(facts.found('2.0.0')).name];
    for (const fact of [
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.downloaded('2.0.0'),
      facts.verified(),
      facts.installed('2.0.0'),
      facts.switched(tree('2.0.0')),
      facts.started('2.0.0'),
    ]) {
      names.push(story.when(fact).name);
    }
    assert.deepEqual(names, ['preparing', 'stopping', 'downloading', 'verifying', 'extracting', 'switching', 'starting', 'running']);
  });

  it('brings the old version up at once when the download fails, and downloads first the next time', () => {
    const story = running().when(facts.found('2.0.0')).when(facts.switchStarted('2.0.0')).when(facts.stopped()).when(facts.failed('downloadFailed'));
    assert.equal(story.name, 'switching');
    assert.equal(story.context.target?.path, '/baked/1.0.0');
    story.when(facts.switched(baked('1.0.0'))).when(facts.started('1.0.0'));
    assert.equal(story.name, 'waiting');
    assert.deepEqual(story.timers, [{ type: 'retryDue', inMs: 1000 }]);
    story.after(1000).when({ type: 'retryDue' });
    assert.equal(story.name, 'downloading');
    assert.equal(story.context.appUp, true);
  });
});

describe('download-then-kill', () => {
  it('stops the app only when the new tree is complete', () => {
    const story = running({ policy: { strategy: 'download-then-kill' } });
    const names = [story.when(facts.found('2.0.0')).name];
    for (const fact of [
      facts.downloaded('2.0.0'),
      facts.verified(),
      facts.installed('2.0.0'),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
      facts.started('2.0.0'),
    ]) {
      names.push(story.when(fact).name);
    }
    assert.deepEqual(names, ['downloading', 'verifying', 'extracting', 'preparing', 'stopping', 'switching', 'starting', 'running']);
  });
});

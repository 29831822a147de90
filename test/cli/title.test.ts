/** What `ps` and `docker top` call the updater. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { titleOf } from '../../src/cli/title.ts';
import { facts, running, Story, tree, world } from '../support/machine.ts';

describe("the title of the updater's process", () => {
  it('names the version that runs, beside the words that it is found by', () => {
    const { state } = running();
    assert.equal(titleOf(state, true), 'self-update run --once: 1.0.0 runs');
    assert.equal(titleOf(state, false), 'self-update run: 1.0.0 runs');
  });

  it('says when it does not run, and nothing where there is none', () => {
    const story = running().when(facts.found('2.0.0')).when(facts.switchStarted('2.0.0'));
    story.when(facts.stopped());
    assert.equal(titleOf(story.state, true), 'self-update run --once: 1.0.0 does not run');
    const empty = new Story({ world: world({ baked: null }) });
    assert.equal(titleOf(empty.state, true), 'self-update run --once');
  });

  it('shows no version that could move the cursor of a terminal', () => {
    const story = new Story({ world: world({ current: tree('1.0.0\u001b[2J') }) });
    assert.equal(titleOf(story.state, true), 'self-update run --once');
  });
});

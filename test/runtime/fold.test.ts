/** What is outstanding, as the facts have it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evolve, outstanding } from '../../src/runtime/fold.ts';
import { facts, policy, updatedTo } from '../support/machine.ts';

const names = (effects: ReturnType<typeof outstanding>) =>
  [...effects].map(([id, { request }]) => `${id}: ${request.name}`);
/** Just restarted, so that old versions are looked for. */
const atRest = () =>
  updatedTo('1.1.0')
    .when({ type: 'restartRequested' })
    .when(facts.stopped())
    .when(facts.started('1.1.0'));
const QUESTION = { request: null, running: '1.1.0', fresh: false };

describe('a poll', () => {
  it('is outstanding at rest, once it is due', () => {
    const { state } = atRest();
    assert.deepEqual(names(outstanding(state, { isPollDue: false, now: 0 })), [
      'removeOldVersions: removeOldVersions',
    ]);
    assert.deepEqual(names(outstanding(state, { isPollDue: true, now: 0 })), [
      'removeOldVersions: removeOldVersions',
      'poll: check',
    ]);
  });

  it('is not outstanding while something is under way', () => {
    const { state } = updatedTo('1.1.0').when(facts.found('2.0.0'));
    assert.deepEqual(outstanding(state, { isPollDue: true, now: 0 }), state.effects);
  });

  it('asks by the rules of now, not by those of when the updater came to rest', () => {
    const story = updatedTo('1.1.0');
    assert.deepEqual(
      outstanding(story.state, { isPollDue: true, now: 0 }).get('poll')?.request.input,
      {
        policy: story.context.policy,
        ...QUESTION,
      },
    );
    const changed = { ...policy, range: '^1' };
    story.when({ type: 'configurationChanged', policy: changed });
    assert.deepEqual(
      outstanding(story.state, { isPollDue: true, now: 0 }).get('poll')?.request.input,
      {
        policy: changed,
        ...QUESTION,
      },
    );
  });

  it('ends nothing in the fold: one that finds nothing changes nothing', () => {
    const { state, at } = atRest();
    assert.ok(state.effects.has('removeOldVersions'));
    const found = (effect: string) =>
      evolve(state, { seq: 99, at, fact: { type: 'nothingNewer' }, effect, command: null });
    assert.equal(found('poll'), state);
    assert.ok(!found('removeOldVersions').effects.has('removeOldVersions'));
  });
});

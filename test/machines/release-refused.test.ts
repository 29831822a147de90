/** What the machine makes of "no release is allowed by the rules". */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseFact } from '../../src/machines/facts.ts';
import { isNewsworthy } from '../../src/machines/wanted.ts';
import { baked, facts, release, Story, tree, world } from '../support/machine.ts';

const refusal = (code: string, message = 'reason') =>
  ({ type: 'releaseRefused', tag: 'release-5.1.4', code, message }) as const;

describe('no release is allowed', () => {
  it('at a boot: what came with the image is started, and the reason is kept', () => {
    const story = new Story({ world: { ...world(), baked: baked('1.0.0') } }).when(
      facts.foundDown({ ...world(), baked: baked('1.0.0') }),
    );
    story.when(refusal('TAG_UNREADABLE'));
    assert.deepEqual(
      [story.context.target?.version, story.context.lastError?.code],
      ['1.0.0', 'TAG_UNREADABLE'],
    );
  });

  it('is news once, whatever words a server gives it at each poll, and again when it is another refusal', () => {
    const story = new Story({
      world: { ...world(), current: tree('1.0.0'), lastGood: tree('1.0.0') },
    });
    story
      .when(facts.foundUp({ ...world(), current: tree('1.0.0'), lastGood: tree('1.0.0') }))
      .when(facts.tidied());
    const fact = { ...refusal('NONE_ALLOWED'), at: story.at };
    assert.ok(isNewsworthy(story.context, fact));
    story.when(refusal('NONE_ALLOWED'));
    assert.ok(!isNewsworthy(story.context, fact));
    assert.ok(!isNewsworthy(story.context, { ...fact, message: 'another' }));
    assert.ok(isNewsworthy(story.context, { ...fact, code: 'PRERELEASE_ONLY' }));
    assert.ok(isNewsworthy(story.context, { ...fact, tag: 'release-5.1.5' }));
    assert.equal(story.name, 'running');
  });

  it('a release that waited is dropped with the rest, but not for a latest tag that cannot be read', () => {
    for (const [code, candidate] of [
      ['NONE_ALLOWED', null],
      ['PRERELEASE_ONLY', null],
      ['TAG_UNREADABLE', '2.0.0'],
    ] as const) {
      const story = new Story({
        policy: { strategy: 'download-then-kill' },
        world: { ...world(), current: tree('1.0.0'), lastGood: tree('1.0.0') },
      });
      story
        .when(facts.foundUp({ ...world(), current: tree('1.0.0'), lastGood: tree('1.0.0') }))
        .when(facts.tidied());
      story.when(facts.found('2.0.0')).when(facts.installed('2.0.0')).when(facts.busy());
      assert.equal(story.name, 'waiting');
      story.when(refusal(code), null);
      assert.equal(story.context.candidate?.release.version ?? null, candidate, code);
      assert.equal(story.context.lastError?.code, code);
    }
  });

  it('is read from a journal with and without a version', () => {
    for (const body of [
      { tag: 'v1', version: '1.0.0', code: 'ASSET_MISSING', message: 'x' },
      { tag: 'v1', code: 'NONE_ALLOWED', message: 'x' },
    ])
      assert.deepEqual(parseFact('releaseRefused', 1, body), { type: 'releaseRefused', ...body });
  });
});

describe('the same version once more', () => {
  it('under another tag is told once, and what runs stays', () => {
    const story = new Story({
      world: { ...world(), current: tree('1.0.0'), lastGood: tree('1.0.0') },
    });
    story
      .when(facts.foundUp({ ...world(), current: tree('1.0.0'), lastGood: tree('1.0.0') }))
      .when(facts.tidied());
    const again = { tag: 'v1.0.0+6', asset: { ...release('1.0.0').asset, digest: 'f'.repeat(64) } };
    story.when(facts.found('1.0.0', again));
    assert.deepEqual([story.name, story.context.lastError?.code], ['running', 'VERSION_EQUAL']);
    const { snapshot } = story.state;
    story.when(facts.found('1.0.0', again));
    assert.equal(story.state.snapshot, snapshot, 'it is told once');
  });
});

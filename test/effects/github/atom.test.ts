import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readFeed } from '../../../src/effects/github/atom.ts';
import { feedOf } from '../../support/github/feed.ts';

const entry = (tag: string, id = 4711, updated = '2026-01-02T03:04:05Z') =>
  `<entry><id>tag:github.com,2008:Repository/${id}/${tag}</id><updated>${updated}</updated></entry>`;

describe("GitHub's feed of releases", () => {
  it('tells tags, times and the number of the repository', () => {
    const at = '2026-01-02T03:04:05.678Z';
    const releases = ['v2.0.0-rc.1', 'release/1 & <2>'].map((tag) => ({
      tag,
      publishedAt: at,
      body: '<id>tag:github.com,2008:Repository/1/v9.9.9</id>',
    }));
    assert.deepEqual(readFeed(feedOf(releases, 'https://github.com/acme/app', 4711)), {
      repositoryId: 4711,
      entries: releases.map(({ tag }) => ({ tag, updatedAt: '2026-01-02T03:04:05Z' })),
    });
  });

  it('may be empty', () => {
    assert.deepEqual(readFeed(feedOf([], 'https://github.com/acme/app', 1)), {
      repositoryId: null,
      entries: [],
    });
  });

  it('passes over entries that are no release, and takes the times of an Enterprise server', () => {
    const text = `<feed><id>tag:github.com,2008:x</id>${entry('v1', 7, 'yesterday')}<entry><id>urn:uuid:1</id></entry>${entry('v2', 7, '2026-01-02T03:04:05+02:00')}</feed>`;
    assert.deepEqual(readFeed(text)?.entries, [
      { tag: 'v2', updatedAt: '2026-01-02T03:04:05+02:00' },
    ]);
  });

  const none = {
    'a page of HTML': '<html><body>Sign in</body></html>',
    nothing: '',
    'entries of two repositories': `<feed>${entry('v1', 1)}${entry('v2', 2)}</feed>`,
  };
  for (const [title, text] of Object.entries(none))
    it(`is not ${title}`, () => assert.equal(readFeed(text), null));

  it('is read to a bound, however long it is', () => {
    assert.equal(readFeed(`<feed>${entry('v1').repeat(5000)}</feed>`)?.entries.length, 100);
    // Entries that never end take no time that grows with their square.
    assert.deepEqual(readFeed(`<feed>${'<entry>'.repeat(100_000)}`)?.entries, []);
  });
});

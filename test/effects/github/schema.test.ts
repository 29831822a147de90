/** What an answer may hold. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { publishedRelease } from '../../../src/effects/github/schema.ts';

const address = 'https://example.com/app.tar.gz';
const asset = {
  id: 1,
  name: 'app.tar.gz',
  url: address,
  browser_download_url: address,
  size: 1,
  state: 'uploaded',
  digest: null,
};
const release = {
  tag_name: 'v1.0.0',
  draft: false,
  prerelease: false,
  published_at: '2026-01-01T00:00:00Z',
  body: '',
  assets: [asset],
};

describe('a release', () => {
  it('is taken', () => assert.ok(publishedRelease.safeParse(release).success));

  it('with an address of a megabyte is refused: no manifest with it could be read back', () => {
    for (const name of ['url', 'browser_download_url'])
      assert.ok(
        !publishedRelease.safeParse({
          ...release,
          assets: [{ ...asset, [name]: `${address}?${'x'.repeat(1_200_000)}` }],
        }).success,
        name,
      );
  });

  it('with a time of a megabyte is refused', () => {
    assert.ok(
      !publishedRelease.safeParse({
        ...release,
        published_at: `2026-01-01T00:00:00.${'0'.repeat(1_200_000)}Z`,
      }).success,
    );
  });
});

/**
 * Where a release is looked for, what may be newer than the latest one, and why one that was named
 * can't be taken.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Policy } from '../../src/machines/model.ts';
import {
  chooseTagged,
  isLatestReadable,
  type PublishedRelease,
  rivalsOf,
  whereToLook,
} from '../../src/machines/release.ts';
import { policy } from '../support/machine.ts';

const NOW = Date.parse('2026-01-05T12:00:00Z');
const OLD = '2026-01-01T00:00:00Z';
const YOUNG = '2026-01-05T11:00:00Z';
const asset = (name: string, digest: string | null = 'a'.repeat(64)) => ({
  id: 1,
  name,
  url: '',
  browserUrl: '',
  sizeBytes: 1,
  digest,
  uploaded: true,
});

function published(tag: string, overrides: Partial<PublishedRelease> = {}): PublishedRelease {
  return {
    tag,
    draft: false,
    prerelease: false,
    publishedAt: OLD,
    urgent: false,
    assets: [asset('app_linux_amd64.tar.gz')],
    ...overrides,
  };
}
const chosen = (release: PublishedRelease, rules: Partial<Policy> = {}) => {
  const choice = chooseTagged(release, { ...policy, ...rules }, null, NOW);
  return choice.kind === 'release' ? choice.release.asset.name : `${choice.kind} ${choice.code}`;
};

describe('a release is looked for', () => {
  it('at the latest one, at all of them where a rule needs that, and at its tag where one is pinned', () => {
    const where = (rules: Partial<Policy>) => whereToLook({ ...policy, ...rules }).kind;
    assert.equal(where({}), 'latest');
    for (const rules of [
      { tagPrefix: 'app/' },
      { prerelease: true },
      { range: '1.x' },
      { minAgeMs: 1 },
    ])
      assert.equal(where(rules), 'list');
    assert.equal(where({ tag: 'stable', prerelease: true }), 'tag');
  });
});

describe('what is marked as latest', () => {
  it('is read as a version, or not', () => {
    assert.deepEqual(
      ['v1.2.3', 'release-one'].map((tag) => isLatestReadable(published(tag), policy)),
      [true, false],
    );
  });

  it('has rivals that are newer and are counted in the same way', () => {
    const all = ['v1.1.0', 'v0.9.0', 'v2021.3.0', 'nightly'].map((tag) => published(tag));
    const rivals = (latest: string) =>
      rivalsOf(published(latest), all, policy).map(({ tag }) => tag);
    assert.deepEqual(rivals('v1.0.0'), ['v1.1.0'], 'a version by the year is no newer one');
    assert.deepEqual(rivals('v2020.1.0'), ['v2021.3.0']);
    assert.equal(
      rivals('release-one').length,
      all.length,
      'any may be newer than what names no version',
    );
  });
});

describe('a release that was named', () => {
  it('is taken with its only fitting asset', () => {
    assert.equal(chosen(published('v1.0.0')), 'app_linux_amd64.tar.gz');
    assert.equal(chosen(published('nightly')), 'app_linux_amd64.tar.gz', 'whatever its tag');
  });

  it('is waited for while its assets may still be uploading, and refused after a day', () => {
    assert.equal(
      chosen(published('v1.0.0', { assets: [], publishedAt: YOUNG })),
      'assetsAwaited ASSET_MISSING',
    );
    assert.equal(chosen(published('v1.0.0', { assets: [] })), 'refused ASSET_MISSING');
    assert.equal(
      chosen(published('v1.0.0', { assets: [], publishedAt: null })),
      'refused ASSET_MISSING',
    );
    const signed = { requireMinisign: true };
    assert.equal(
      chosen(published('v1.0.0', { publishedAt: YOUNG }), signed),
      'assetsAwaited SIGNATURE_MISSING',
    );
    assert.equal(chosen(published('v1.0.0'), signed), 'refused SIGNATURE_MISSING');
  });

  it('is refused where several assets fit, none has a digest, or the format is of no use', () => {
    const twice = [asset('one_linux_amd64.tar.gz'), asset('two_linux_amd64.tar.gz')];
    assert.equal(chosen(published('v1.0.0', { assets: twice })), 'refused ASSET_AMBIGUOUS');
    assert.equal(
      chosen(published('v1.0.0', { assets: [asset('app_linux_amd64.tar.gz', null)] })),
      'refused DIGEST_MISSING',
    );
    assert.equal(
      chosen(published('v1.0.0', { assets: [asset('app_linux_amd64.tar.gz', null)] }), {
        requireDigest: false,
      }),
      'app_linux_amd64.tar.gz',
    );
    assert.equal(
      chosen(published('v1.0.0', { assets: [asset('app_linux_amd64.7z')] })),
      'refused ASSET_FORMAT_UNSUPPORTED',
    );
  });

  it('names ten of its assets in a refusal, and counts the rest', () => {
    const many = Array.from({ length: 300 }, (_, i) => asset(`app_plan9_${i}.tar.gz`));
    const choice = chooseTagged(published('v1.0.0', { assets: many }), policy, null, NOW);
    assert.match('message' in choice ? choice.message : '', /app_plan9_9\.tar\.gz, and 290 more/);
  });
});

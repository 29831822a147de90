/**
 * Tags of real releases: each is read as it is, or the settings are named that read it, and they
 * do.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { chooseRelease, type PublishedRelease, settingsFor } from '../../src/machines/release.ts';
import {
  compareVersions,
  isPrerelease,
  satisfies,
  versionFromTag,
} from '../../src/machines/version.ts';
import { policy } from '../support/machine.ts';

const { tags } = JSON.parse(readFileSync(path.join(import.meta.dirname, 'tags.json'), 'utf8')) as {
  tags: [repository: string, tag: string][];
};

function published(tag: string): PublishedRelease {
  return {
    tag,
    draft: false,
    prerelease: false,
    publishedAt: '2026-01-01T00:00:00Z',
    urgent: false,
    assets: [],
  };
}

describe('tags of real releases', () => {
  const explained: { repository: string; tag: string; settings: string[] | null }[] = tags
    .filter(([, tag]) => {
      const version = versionFromTag(tag, 'semver');
      return version === null || isPrerelease(version, 'semver');
    })
    .map(([repository, tag]) => ({
      repository,
      tag,
      settings: settingsFor(published(tag), policy),
    }));

  it('more than nine in ten are read without a setting', (t) => {
    const without = tags.length - explained.length;
    t.diagnostic(`${without} of ${tags.length} without a setting`);
    for (const count of [1, 2, 3])
      t.diagnostic(
        `${explained.filter(({ settings }) => settings?.length === count).length} with ${count} setting${count > 1 ? 's' : ''}`,
      );
    t.diagnostic(
      `as a moving tag only: ${explained.filter(({ settings }) => settings === null).map(({ tag }) => tag)}`,
    );
    assert.ok(without / tags.length > 0.9);
  });

  for (const { repository, tag, settings } of explained) {
    it(`${repository} ${tag}: ${settings?.join(' and ') ?? 'UPDATE_TAG'}`, () => {
      const choice = chooseRelease([published(tag)], {
        policy,
        pattern: null,
        nowMs: 0,
        running: null,
      });
      assert.equal(choice.kind, 'none', 'it is told, not passed over');
      assert.ok(
        choice.kind === 'none' &&
          choice.message.includes(settings?.join(' and ') ?? `UPDATE_TAG=${tag}`),
        JSON.stringify(choice),
      );
      if (settings === null) {
        assert.doesNotMatch(tag, /\d/, 'a tag with a number in it can be followed as a version');
        return;
      }
      const value = (name: string) =>
        settings.find((setting) => setting.startsWith(`${name}=`))?.slice(name.length + 1);
      const versioning = value('UPDATE_VERSIONING') === 'loose' ? 'loose' : 'semver';
      const version = versionFromTag(tag, versioning, value('UPDATE_TAG_PREFIX') ?? '');
      assert.ok(version !== null && satisfies(version, '>=0.0.0-0', versioning), `${version}`);
      assert.ok(!isPrerelease(version, versioning) || value('UPDATE_PRERELEASE') === 'on');
      // A prefix that holds a part of the version would follow this release and no other.
      const next = tag.replace(/\d+(?=\D*$)/, (digits) => String(Number(digits) + 1));
      const following = versionFromTag(next, versioning, value('UPDATE_TAG_PREFIX') ?? '');
      assert.ok(
        following !== null && compareVersions(following, version, versioning) > 0,
        `${next} follows ${tag}`,
      );
    });
  }
});

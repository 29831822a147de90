/** Which release is followed, and what is said where none is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseConfig } from '../../src/config/config.ts';
import type { Policy } from '../../src/machines/model.ts';
import {
  allowedTags,
  chooseRelease,
  isDue,
  type PublishedRelease,
  rivalsOf,
  settingsFor,
} from '../../src/machines/release.ts';
import { policy } from '../support/machine.ts';

const ASSET = {
  id: 1,
  name: 'app_linux_amd64.tar.gz',
  url: 'https://h/1',
  browserUrl: 'https://h/1',
  sizeBytes: 1,
  digest: 'a'.repeat(64),
  uploaded: true,
};

function published(tag: string, overrides: Partial<PublishedRelease> = {}): PublishedRelease {
  return {
    tag,
    draft: false,
    prerelease: false,
    publishedAt: null,
    urgent: false,
    assets: [ASSET],
    ...overrides,
  };
}

const HOUR_MS = 3_600_000;
const at = (hours: number) => ({ publishedAt: new Date(hours * HOUR_MS).toISOString() });

function choose(
  releases: readonly PublishedRelease[],
  overrides: Partial<Policy> = {},
  isComplete = true,
) {
  return chooseRelease(releases, {
    policy: { ...policy, ...overrides },
    pattern: null,
    nowMs: 0,
    running: null,
    isComplete,
  });
}

const told = (choice: ReturnType<typeof choose>) =>
  choice.kind === 'none' ? `${choice.code} ${choice.message}` : choice.kind;

/** The settings as the operator would write them, as rules. */
function obeying(settings: readonly string[], base: Policy = policy): Policy {
  const values = Object.fromEntries(
    settings.map((setting) => [
      setting.slice(0, setting.indexOf('=')),
      setting.slice(setting.indexOf('=') + 1),
    ]),
  );
  return {
    ...base,
    versioning: values['UPDATE_VERSIONING'] === 'loose' ? 'loose' : base.versioning,
    tagPrefix: values['UPDATE_TAG_PREFIX'] ?? base.tagPrefix,
    prerelease: values['UPDATE_PRERELEASE'] === 'on' || base.prerelease,
    range: values['UPDATE_RANGE'] ?? base.range,
  };
}

describe('where no release is allowed, the setting that would follow one is named', () => {
  const cases: [tag: string, settings: string[], overrides?: Partial<Policy>][] = [
    ['4.7.2-stable', ['UPDATE_VERSIONING=loose']],
    ['v3.7b', ['UPDATE_VERSIONING=loose']],
    ['2.2.0.3_stable', ['UPDATE_VERSIONING=loose']],
    ['2024-01-05', ['UPDATE_VERSIONING=loose']],
    ['release-5.1.4', ['UPDATE_TAG_PREFIX=release-']],
    ['n8n@2.3.5', ['UPDATE_TAG_PREFIX=n8n@']],
    ['app-a/v1.2.3', ['UPDATE_TAG_PREFIX=app-a/']],
    ['@biomejs/biome@2.5.10', ['UPDATE_TAG_PREFIX=@biomejs/biome@']],
    ['jq-1.7.1', ['UPDATE_TAG_PREFIX=jq-']],
    ['tc_v0.6.7', ['UPDATE_TAG_PREFIX=tc_']],
    ['v2.0.0-rc.1', ['UPDATE_PRERELEASE=on']],
    ['r1234', ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=r']],
    ['b4567', ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=b']],
    ['REL_16_2', ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=REL_']],
    ['curl-8_5_0', ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=curl-']],
    ['h2o-3.46.0.7', ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=h2o-']],
    ['release-5.1.4_v2.0.11', ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=release-']],
    ['v0.8.6rc1', ['UPDATE_VERSIONING=loose', 'UPDATE_PRERELEASE=on']],
    ['v7-beta2', ['UPDATE_VERSIONING=loose', 'UPDATE_PRERELEASE=on']],
    ['jdk8u422-b05', ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=jdk', 'UPDATE_PRERELEASE=on']],
    [
      'deluge-2.2.1.dev0',
      ['UPDATE_VERSIONING=loose', 'UPDATE_TAG_PREFIX=deluge-', 'UPDATE_PRERELEASE=on'],
    ],
    ['v3.0.0', ['UPDATE_RANGE=*'], { range: '^2' }],
    ['app-b/v1.0.0', ['UPDATE_TAG_PREFIX=app-b/'], { tagPrefix: 'app-a/' }],
  ];
  for (const tag of ['main-a1b2c3d', 'sha-2b2c3d4', 'nightly-0123abcdef'])
    it(`${tag} names a commit: no setting reads a version from it`, () => {
      assert.equal(settingsFor(published(tag), policy), null);
      assert.match(
        told(choose([published(tag)], policy)),
        new RegExp(`UPDATE_TAG=${tag} follows exactly this tag`),
      );
    });
  for (const [tag, settings, overrides = {}] of cases) {
    it(`${tag}: ${settings.join(' and ')}`, () => {
      const release = published(tag);
      const rules = { ...policy, ...overrides };
      assert.deepEqual(settingsFor(release, rules), settings);
      const environment = Object.fromEntries(
        settings.map((setting) => setting.split(/=(.*)/s).slice(0, 2)),
      );
      assert.ok(
        parseConfig({ GH_USER: 'acme', GH_REPO: 'app', ...environment }).ok,
        'as settings they are accepted',
      );
      assert.ok(
        told(choose([release], rules)).includes(`${settings.join(' and ')} would follow it`),
        told(choose([release], rules)),
      );
      assert.equal(
        choose([release], obeying(settings, rules)).kind,
        'release',
        'the advice works when it is followed',
      );
    });
  }

  it('a word is followed as a moving tag', () => {
    assert.match(
      told(choose([published('stable')])),
      /^TAG_UNREADABLE .*UPDATE_TAG=stable follows exactly this tag/,
    );
    assert.equal(choose([published('stable')], { tag: 'stable' }).kind, 'release');
  });

  it('marked as a prerelease: only that setting', () => {
    assert.match(
      told(choose([published('v1.0.0', { prerelease: true })])),
      /^PRERELEASE_ONLY .*UPDATE_PRERELEASE=on/,
    );
  });

  it('of many, the one that needs the fewest settings is explained', () => {
    const releases = [
      published('docs-b7'),
      published('v3.0.0'),
      published('nightly', { prerelease: true }),
    ];
    assert.match(
      told(choose(releases, { range: '^2' })),
      /^NONE_ALLOWED none of the 3 releases .*v3\.0\.0 is outside of UPDATE_RANGE=\^2.*UPDATE_RANGE=\* would follow it/,
    );
  });

  it('and that the list was not read to its end', () => {
    assert.match(
      told(choose([published('v3.0.0')], { range: '^2' }, false)),
      /^LIST_TOO_LONG none of the first 1 releases .* no more are read/,
    );
  });

  it('drafts are not there, and a repository without releases says so', () => {
    assert.match(
      told(choose([published('v1.0.0', { draft: true })])),
      /^NOT_FOUND .*has published no release yet/,
    );
  });
});

describe('the choice', () => {
  it('does not depend on the order of the list', () => {
    const tags = [
      'v1.0.0',
      'v1.2.0',
      'v1.2.0+5',
      'v1.2.0+6',
      'v1.9.1',
      'v2.0.0-rc.1',
      'v0.9.0',
      'nightly',
      'v1.9.1+x',
    ];
    const releases = tags.map((tag, index) =>
      published(tag, { publishedAt: new Date(index * 1000).toISOString() }),
    );
    const expected = choose(releases);
    assert.equal(expected.kind === 'release' && expected.release.tag, 'v1.9.1+x');
    fc.assert(
      fc.property(fc.shuffledSubarray(releases, { minLength: releases.length }), (shuffled) => {
        assert.deepEqual(choose(shuffled), expected);
      }),
    );
  });

  it('compares what is marked as latest with others of its scheme only', () => {
    const others = ['v2.0.0', 'v2021.3.0', 'v1.9.4', 'v3.0.0-rc.1', 'app-2.0'].map((tag) =>
      published(tag),
    );
    assert.deepEqual(
      rivalsOf(published('v1.9.5'), others, policy).map(({ tag }) => tag),
      ['v2.0.0'],
    );
    assert.deepEqual(
      rivalsOf(published('v2020.1.0'), others, policy).map(({ tag }) => tag),
      ['v2021.3.0'],
    );
  });
});

describe('in a rollout', () => {
  const rollout = { id: 'app-0', periodMs: 24 * HOUR_MS, wariness: 1 };
  const chosenAfter = (hours: number, releases: readonly PublishedRelease[]) => {
    const context = { pattern: null, running: '1.0.0', isComplete: true };
    const rules = { ...policy, rollout };
    const choice = chooseRelease(releases, { ...context, policy: rules, nowMs: hours * HOUR_MS });
    return choice.kind === 'release' ? choice.release.tag : choice.kind;
  };
  const often = [
    published('v1.1.0', at(0)),
    published('v1.2.0', at(8)),
    published('v1.3.0', at(16)),
  ];

  it('the newest release whose turn has come is taken, however often there is a newer one', () => {
    assert.deepEqual(
      [1, 23, 24, 32, 40].map((hours) => chosenAfter(hours, often)),
      ['v1.1.0', 'v1.1.0', 'v1.1.0', 'v1.2.0', 'v1.3.0'],
    );
  });

  it("the turn of a release that was withdrawn is nobody else's", () => {
    assert.equal(chosenAfter(24, often.slice(1)), 'v1.2.0');
  });

  it('a release without a known time does not take the turn of one that has it', () => {
    assert.equal(chosenAfter(24, [published('v1.1.0', at(0)), published('v1.2.0')]), 'v1.1.0');
  });
});

describe('a source that tells tags first', () => {
  const allowed = (tags: string[], overrides: Partial<Policy> = {}) =>
    allowedTags(tags, { ...policy, ...overrides });
  const tags = ['latest', 'v1.9.0', 'v1.10.0', '1.10.0', 'v2.0.0-rc.1', 'v1', 'main'];

  it('is asked for what the rules allow, the newest version first', () => {
    assert.deepEqual(allowed(tags), ['v1.10.0', '1.10.0', 'v1.9.0']);
    assert.equal(allowed(tags, { prerelease: true })[0], 'v2.0.0-rc.1');
    assert.deepEqual(allowed(tags, { range: '<1.10' }), ['v1.9.0']);
  });

  it('is asked for nothing older than what may be run now', () => {
    const due = (overrides: Partial<Policy>, hours: number, more: Partial<PublishedRelease> = {}) =>
      isDue(
        published('v1.0.0', { ...at(0), ...more }),
        { ...policy, ...overrides },
        hours * HOUR_MS,
      );
    assert.equal(due({}, 0), true);
    assert.equal(due({ minAgeMs: 2 * HOUR_MS }, 1), false);
    assert.equal(due({ minAgeMs: 2 * HOUR_MS }, 3), true);
    assert.equal(due({ minAgeMs: 2 * HOUR_MS }, 3, { publishedAt: null }), false);
    assert.equal(due({ minAgeMs: 2 * HOUR_MS, urgentAllowed: true }, 1, { urgent: true }), true);
    assert.equal(due({ range: '>1' }, 0), false);
  });
});

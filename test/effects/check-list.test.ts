/**
 * Reaching the newest release in long lists, with few requests; and telling where there is none to
 * follow.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type CheckDependencies, check } from '../../src/effects/check.ts';
import { Http } from '../../src/effects/http/http.ts';
import type { CachedAnswer } from '../../src/effects/sources/conditional.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import type { Policy } from '../../src/machines/model.ts';
import { type PollNote, pollNoteSchema } from '../../src/machines/poll-note.ts';
import { FakeGitHub, type FakeGitHubRelease } from '../support/github/server.ts';
import { policy } from '../support/machine.ts';

const NAME = 'app_linux_amd64.tar.gz';
const BYTES = Buffer.from('bytes');
const HOUR_MS = 3_600_000;
let github: FakeGitHub;
let note: PollNote;
let cache: Map<string, CachedAnswer>;
let nowMs: number;
let said: string[];

beforeEach(async () => {
  github = await new FakeGitHub().listen();
  note = pollNoteSchema.parse({});
  cache = new Map();
  nowMs = Date.UTC(2026, 0, 1);
  said = [];
});
afterEach(() => github.close());

function dependencies(): CheckDependencies {
  const http = new Http({
    userAgent: 'test',
    apiUrl: github.url,
    assetHosts: ['127.0.0.1'],
    mayBePlain: () => true,
    token: () => null,
    proxyEnvironment: {},
  });
  const answers = {
    read: (key: string) => cache.get(key) ?? null,
    write: (key: string, entry: CachedAnswer) => void cache.set(key, entry),
  };
  return {
    source: new GitHub({
      http,
      repository: 'acme/app',
      cache: answers,
      now: () => nowMs,
      debug: (message) => said.push(message),
    }),
    places: {
      root: '/nonexistent',
      bakedDir: '/nonexistent',
      repository: 'acme/app',
      versioning: 'semver',
      tagPrefix: '',
    },
    note: {
      read: () => note,
      write: (written) => {
        note = written;
      },
    },
    pollIntervalMs: 300_000,
    now: () => nowMs,
    random: () => 0.5,
    assetPattern: null,
  };
}

/** One poll: what it found, and what it asked for. */
async function poll(
  overrides: Partial<Policy> = {},
): Promise<{ found: string; message: string; asked: string[] }> {
  const before = github.requests.length;
  nowMs += 300_000;
  const fact = await check(
    { policy: { ...policy, ...overrides }, request: null, running: null, fresh: false },
    AbortSignal.timeout(20_000),
    dependencies(),
  );
  const asked = github.requests
    .slice(before)
    .map(({ path }) => path.replace('/repos/acme/app/releases', ''));
  const found =
    fact.type === 'releaseFound' ? fact.release.tag : 'code' in fact ? fact.code : fact.type;
  return { found, message: 'message' in fact ? fact.message : '', asked };
}

function publish(tag: string, overrides: Partial<FakeGitHubRelease> = {}): FakeGitHubRelease {
  return github.publish(
    tag,
    { [NAME]: BYTES },
    {
      publishedAt: new Date(nowMs - 86_400_000 + github.releases.length * 1000).toISOString(),
      ...overrides,
    },
  );
}

function addAssets(release: FakeGitHubRelease, count: number): void {
  for (let i = 0; i < count; i++) github.attach(release, `app_${i}_freebsd_riscv64.tar.gz`, BYTES);
}

describe('the newest release is reached', () => {
  it('behind twenty backports, one of which is marked as latest', async () => {
    publish('v2.0.0');
    for (let i = 1; i <= 20; i++) publish(`v1.9.${i}`);
    const { found, asked } = await poll();
    assert.equal(found, 'v2.0.0');
    assert.ok(asked.length <= 3, asked.join());
  });

  it('with two requests a poll while a backport stays the latest, and with one otherwise', async () => {
    publish('v2.0.0');
    publish('v1.9.1');
    await poll();
    assert.deepEqual((await poll()).asked, ['/latest', '/tags/v2.0.0']);
    publish('v2.0.1');
    assert.equal((await poll()).found, 'v2.0.1');
    assert.deepEqual((await poll()).asked, ['/latest']);
  });

  it('also where a later one is not marked as latest: the list is read again after hours', async () => {
    publish('v1.0.0');
    assert.equal((await poll()).found, 'v1.0.0');
    publish('v2.0.0');
    github.latestTag = 'v1.0.0';
    assert.equal((await poll()).found, 'v1.0.0');
    nowMs += 7 * HOUR_MS;
    assert.equal((await poll()).found, 'v2.0.0');
  });

  it('where the maintainers took it away again, the latest is followed', async () => {
    publish('v2.0.0');
    publish('v1.9.1');
    assert.equal((await poll()).found, 'v2.0.0');
    github.releases.splice(
      github.releases.findIndex(({ tag }) => tag === 'v2.0.0'),
      1,
    );
    assert.equal((await poll()).found, 'v1.9.1');
  });

  it('but not one that has no files, where the latest has', async () => {
    publish('v1.9.1');
    const empty = github.publish('v2.0.0', {}, { publishedAt: '2020-01-01T00:00:00Z' });
    github.releases.push(...github.releases.splice(github.releases.indexOf(empty), 1));
    assert.equal((await poll()).found, 'v1.9.1');
    assert.deepEqual((await poll()).asked, ['/latest']);
  });

  it('behind 300 release candidates', async () => {
    publish('v1.0.0');
    for (let i = 1; i <= 300; i++) publish(`v2.0.0-rc.${i}`, { prerelease: true });
    assert.equal((await poll()).found, 'v1.0.0');
    const ranged = await poll({ range: '^1' });
    assert.equal(ranged.found, 'v1.0.0');
    assert.ok(ranged.asked.length <= 7, ranged.asked.join());
    assert.equal((await poll({ prerelease: true })).found, 'v2.0.0-rc.300');
  });

  it('behind 160 other packages of a monorepo', async () => {
    publish('app-a/v2.0.0');
    for (let i = 0; i < 160; i++) publish(`other-${i}/v9.0.0`);
    const { found, asked } = await poll({ tagPrefix: 'app-a/' });
    assert.equal(found, 'app-a/v2.0.0');
    assert.ok(asked.length <= 5, asked.join());
  });

  it('whatever the order of the list', async () => {
    for (const tag of ['v1.0.0', 'v1.2.0', 'v1.10.0', 'v1.3.0', 'v1.4.0']) publish(tag);
    for (let i = 0; i < 40; i++) publish(`v1.5.${i}`);
    for (let turn = 0; turn < 5; turn++) {
      github.releases.push(...github.releases.splice(0, 9));
      cache.clear();
      assert.equal((await poll({ range: '^1' })).found, 'v1.10.0');
    }
  });

  it('among releases with 700 assets each, by smaller pages', async () => {
    publish('v1.0.0');
    for (const tag of ['v1.1.0', 'v1.2.0', 'v0.9.1']) addAssets(publish(tag), 700);
    const { found, asked } = await poll({ range: '^1' });
    assert.equal(found, 'v1.2.0');
    assert.deepEqual(
      asked,
      [
        '?per_page=24&page=1',
        '?per_page=12&page=1',
        '?per_page=6&page=1',
        '?per_page=3&page=1',
        '?per_page=1&page=1',
        '?per_page=1&page=2',
        '?per_page=1&page=3',
        '?per_page=1&page=4',
        '?per_page=1&page=5',
      ].slice(0, asked.length),
    );
    assert.equal((await poll()).found, 'v1.2.0', 'the latest is a backport');
  });

  it('among releases with 80 kB of notes and 50 assets each', async () => {
    publish('v2.0.0');
    for (let i = 0; i < 60; i++) addAssets(publish(`v1.0.${i}`, { body: 'x'.repeat(80_000) }), 49);
    const { found, asked } = await poll({ range: '>=1' });
    assert.equal(found, 'v2.0.0');
    assert.ok(asked.length <= 8, asked.join());
    assert.ok(
      [...cache.values()].every(({ body }) => !body.includes('xxxx')),
      'notes are not kept',
    );
  });

  it('beside a malformed release, which is passed over with a line in the debug log', async () => {
    for (const tag of ['v1.0.0', 'v1.1.0', 'v1.2.0']) publish(tag);
    github.misbehave = {
      spoil: (release) => (release['tag_name'] === 'v1.1.0' ? { ...release, assets: 7 } : release),
    };
    assert.equal((await poll({ range: '^1' })).found, 'v1.2.0');
    assert.match(said.join('\n'), /1 of 3 releases can't be read and are skipped \(assets: /);
    github.misbehave = { spoil: () => 7 };
    assert.equal((await poll({ range: '^1' })).found, 'ANSWER_MALFORMED');
  });

  it('where the server fails to make a long page, by a shorter one', async () => {
    for (let i = 0; i < 130; i++) publish(`v1.0.${i}`);
    publish('v2.0.0');
    github.releases.push(...github.releases.splice(0, 1));
    const answers: number[] = [];
    github.events.on('request', ({ path }: { path: string }) => {
      const size = Number(/per_page=(\d+)/.exec(path)?.[1] ?? 0);
      answers.push(size);
      github.misbehave = size > 24 ? { api: { status: 502 } } : {};
    });
    assert.equal((await poll({ range: '>=1' })).found, 'v2.0.0');
    assert.ok(answers.includes(48) && answers.at(-1) === 24, answers.join());
  });
});

describe('the list costs', () => {
  const prefixed = { tagPrefix: 'app-a/' };
  beforeEach(() => {
    publish('app-a/v2.0.0');
    for (let i = 0; i < 160; i++) publish(`other-${i}/v9.0.0`);
  });

  it('one request a poll while nothing changes', async () => {
    await poll(prefixed);
    assert.deepEqual((await poll(prefixed)).asked, ['?per_page=24&page=1']);
    assert.equal((await poll(prefixed)).found, 'app-a/v2.0.0');
  });

  it('a walk again where the first page changes, and after hours', async () => {
    await poll(prefixed);
    const old = publish('app-a/v2.1.0');
    github.releases.push(...github.releases.splice(github.releases.indexOf(old), 1));
    assert.equal((await poll(prefixed)).found, 'app-a/v2.0.0', 'at the very end of the list');
    publish('other/v1.0.0');
    assert.equal((await poll(prefixed)).found, 'app-a/v2.1.0');
    nowMs += 7 * HOUR_MS;
    assert.ok((await poll(prefixed)).asked.length > 1);
  });

  it('a walk that a limit cut short goes on where it ended', async () => {
    github.now = () => nowMs;
    github.rateLimit = { limit: 60, remaining: 2, resetAt: nowMs + HOUR_MS, windowMs: HOUR_MS };
    assert.equal((await poll(prefixed)).found, 'RATE_LIMITED');
    nowMs += HOUR_MS + 1000;
    const { found, asked } = await poll(prefixed);
    assert.equal(found, 'app-a/v2.0.0');
    assert.ok(
      asked.includes('?per_page=24&page=1') && !asked.includes('?per_page=24&page=2'),
      asked.join(),
    );
  });

  it('thirty requests at most, and says that no more are read', async () => {
    for (const release of github.releases) addAssets(release, 600);
    const { found, message, asked } = await poll(prefixed);
    assert.equal(found, 'LIST_TOO_LONG');
    assert.match(message, /no more are read/);
    assert.equal(asked.length, 30);
  });
});

describe('where nothing can be followed', () => {
  it('a latest tag that cannot be read is told, also beside older releases that could be', async () => {
    publish('v1.0.0');
    publish('release-5.1.4');
    const { found, message, asked } = await poll();
    assert.equal(found, 'TAG_UNREADABLE');
    assert.match(message, /UPDATE_TAG_PREFIX=release- would follow it/);
    assert.deepEqual(asked, ['/latest']);
    assert.equal(note.lastError?.code, 'TAG_UNREADABLE');
    assert.equal((await poll({ tagPrefix: 'release-' })).found, 'release-5.1.4');
    assert.equal(note.lastError, null);
  });

  it('prereleases only: the setting is named, and the list is not read at every poll', async () => {
    publish('v1.0.0-rc.1', { prerelease: true });
    publish('v1.0.0-rc.2', { prerelease: true });
    const first = await poll();
    assert.equal(first.found, 'PRERELEASE_ONLY');
    assert.match(
      first.message,
      /v1\.0\.0-rc\.2 is a prerelease\. UPDATE_PRERELEASE=on would follow it/,
    );
    const second = await poll();
    assert.deepEqual([second.message, second.asked], [first.message, ['/latest']]);
    assert.equal((await poll({ prerelease: true })).found, 'v1.0.0-rc.2');
    publish('v1.0.0');
    assert.equal((await poll()).found, 'v1.0.0');
  });

  it('a latest that is a prerelease by its tag alone: the newest other is followed, else it is told', async () => {
    publish('4.7.2-stable');
    assert.match(
      (await poll()).message,
      /4\.7\.2-stable is a prerelease\. UPDATE_VERSIONING=loose would follow it/,
    );
    assert.equal((await poll({ versioning: 'loose' })).found, '4.7.2-stable');
    publish('v4.6.0');
    publish('v5.0.0-rc.1');
    assert.equal((await poll()).found, 'v4.6.0');
  });

  it('no release at all, in the list as by the latest', async () => {
    assert.equal((await poll()).found, 'NOT_FOUND');
    assert.equal((await poll({ range: '^1' })).found, 'NOT_FOUND');
  });

  it('a list that fails does not keep the latest from being followed', async () => {
    publish('v1.0.0');
    github.misbehave = { takeOver: { path: /releases$/, send: (socket) => socket.destroy() } };
    assert.equal((await poll()).found, 'v1.0.0');
    github.misbehave = {};
    assert.equal((await poll()).asked.length, 2, 'it is read at the next poll');
  });
});

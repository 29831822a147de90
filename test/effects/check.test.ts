/** What a poller does to GitHub, and what it learns: against the stand-in, over real HTTP. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type CheckDependencies, check } from '../../src/effects/check.ts';
import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import type { Policy } from '../../src/machines/model.ts';
import { nextPollAt, type PollNote, pollNoteSchema } from '../../src/machines/poll-note.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { policy } from '../support/machine.ts';

const NAME = 'app_linux_amd64.tar.gz';
const BYTES = Buffer.from('bytes');
let github: FakeGitHub;
let token: string | null;
let note: PollNote;
let cache: Map<string, { etag: string; body: string }>;
let nowMs: number;

beforeEach(async () => {
  token = 'token-one';
  github = await new FakeGitHub({ token }).listen();
  note = pollNoteSchema.parse({});
  cache = new Map();
  // A whole second, as the times in GitHub's headers are.
  nowMs = Math.floor(Date.now() / 1000) * 1000;
});
afterEach(() => github.close());

function dependencies(): CheckDependencies {
  const http = new Http({
    userAgent: 'test',
    apiUrl: github.url,
    assetHosts: ['127.0.0.1'],
    mayBePlain: () => true,
    token: () => token,
    proxyEnvironment: {},
  });
  const answers = {
    read: (key: string) => cache.get(key) ?? null,
    write: (key: string, entry: { etag: string; body: string }) => void cache.set(key, entry),
  };
  return {
    source: new GitHub({ http, repository: 'acme/app', cache: answers, now: () => nowMs }),
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
    pollIntervalMs: 60_000,
    now: () => nowMs,
    random: () => 0.5,
    assetPattern: null,
  };
}

function look(overrides: Partial<Policy> = {}, tag: string | null = null) {
  const request = tag === null ? null : { tag, file: null };
  return check(
    { policy: { ...policy, ...overrides }, request, running: null, fresh: false },
    AbortSignal.timeout(10_000),
    dependencies(),
  );
}

/** In place of a time in a header, which only the test itself can tell. */
const IN_TEN_MINUTES = 'in ten minutes';

const tagOf = (fact: Awaited<ReturnType<typeof look>>) =>
  fact.type === 'releaseFound' ? fact.release.tag : fact.type;
const codeOf = (fact: Awaited<ReturnType<typeof look>>) => ('code' in fact ? fact.code : fact.type);

describe('a check', () => {
  it('asks releases/latest, with an Accept header, a version and a User-Agent', async () => {
    github.publish('v1.0.0', { [NAME]: BYTES });
    assert.equal(tagOf(await look()), 'v1.0.0');
    const [request] = github.requests;
    assert.equal(request?.path, '/repos/acme/app/releases/latest');
    assert.equal(request?.headers.accept, 'application/vnd.github+json');
    assert.equal(request?.headers['x-github-api-version'], '2022-11-28');
    assert.equal(request?.headers['user-agent'], 'test');
    assert.equal(request?.headers.authorization, 'Bearer token-one');
  });

  it('is conditional when it is repeated, and a 304 gives the same release', async () => {
    github.publish('v1.0.0', { [NAME]: BYTES });
    const first = await look();
    const second = await look();
    assert.ok(github.requests.at(-1)?.headers['if-none-match']);
    assert.deepEqual(second, first);
  });

  it('keeps the answers of two tokens apart', async () => {
    github.publish('v1.0.0', { [NAME]: BYTES });
    await look();
    token = null;
    await look();
    assert.ok(github.requests.every(({ headers }) => headers['if-none-match'] === undefined));
  });

  it('remembers the next check a little later than asked, so that many containers spread', async () => {
    github.publish('v1.0.0', { [NAME]: BYTES });
    await look();
    assert.equal(note.nextCheckAt, nowMs + 63_000);
    assert.equal(note.lastSuccessAt, nowMs);
    assert.equal(note.latest?.version, '1.0.0');
  });

  for (const [title, status, headers, waitMs] of [
    ['retry-after on 403', 403, { 'retry-after': '120' }, 120_000],
    ['retry-after on 429', 429, { 'retry-after': '120' }, 120_000],
    [
      'a used-up quota until its reset',
      403,
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': IN_TEN_MINUTES },
      600_000,
    ],
    ['a limit that names no time for a minute', 429, {}, 60_000],
    ['a hostile retry-after for two hours at most', 429, { 'retry-after': '999999999' }, 7_200_000],
  ] as const) {
    it(`obeys ${title}, also after a restart`, async () => {
      const said = Object.entries(headers).map(([name, value]) => [
        name,
        value === IN_TEN_MINUTES ? String(nowMs / 1000 + 600) : value,
      ]);
      github.misbehave = { api: { status, headers: Object.fromEntries(said) } };
      assert.equal(codeOf(await look()), 'RATE_LIMITED');
      assert.equal(note.limitedUntilAt, nowMs + waitMs);
      github.misbehave = {};
      github.publish('v1.0.0', { [NAME]: BYTES });
      nowMs += waitMs - 5000;
      assert.equal(codeOf(await look()), 'RATE_LIMITED');
      assert.equal(github.requests.length, 1, 'nothing is asked while a limit is in force');
      nowMs += 10_000;
      assert.equal(tagOf(await look()), 'v1.0.0');
      assert.equal(note.strikes, 0);
    });
  }

  it('is not silenced for years by a clock that jumped back', async () => {
    github.misbehave = { api: { status: 429, headers: { 'retry-after': '60' } } };
    await look();
    github.misbehave = {};
    github.publish('v1.0.0', { [NAME]: BYTES });
    nowMs -= 30_000;
    assert.equal(
      codeOf(await look()),
      'RATE_LIMITED',
      'a small correction of the clock ends no limit',
    );
    nowMs -= 5 * 365 * 86_400_000;
    assert.equal(nextPollAt(note, 60_000, nowMs), nowMs);
    assert.equal(tagOf(await look()), 'v1.0.0');
    assert.equal(note.limitedUntilAt, null);
  });

  it('tells 401 from 404', async () => {
    token = 'wrong';
    assert.equal(codeOf(await look()), 'TOKEN_REJECTED');
    token = null;
    const fact = await look();
    assert.equal(codeOf(fact), 'NOT_FOUND');
    assert.match('message' in fact ? fact.message : '', /if it is private, set UPDATE_GH_TOKEN/);
  });

  it('follows a renamed repository within the same host only', async () => {
    github.publish('v1.0.0', { [NAME]: BYTES });
    github.misbehave = {
      api: { status: 301, headers: { location: 'https://elsewhere.example/repos/x' } },
    };
    assert.equal(codeOf(await look()), 'REDIRECT_REFUSED');
    assert.equal(github.requests.length, 1);
  });

  it('gives up on a loop of redirects', async () => {
    github.misbehave = {
      api: { status: 302, headers: { location: '/repos/acme/app/releases/latest' } },
    };
    assert.equal(codeOf(await look()), 'REDIRECT_REFUSED');
    assert.ok(github.requests.length <= 6);
  });
});

describe('which release', () => {
  it('a prefix, prereleases and a range are looked for in the list, page after page', async () => {
    for (let i = 0; i < 40; i++) github.publish(`other/v1.0.${i}`, { [NAME]: BYTES });
    const first = github.publish('app-a/v2.0.0', { [NAME]: BYTES });
    github.releases.splice(github.releases.indexOf(first), 1);
    github.releases.push(first);
    assert.equal(tagOf(await look({ tagPrefix: 'app-a/' })), 'app-a/v2.0.0');
    assert.equal(github.requests.length, 2);
  });

  it('prereleases count only where they are asked for', async () => {
    github.publish('v1.0.0', { [NAME]: BYTES });
    github.publish('v2.0.0-rc.1', { [NAME]: BYTES }, { prerelease: true });
    assert.equal(tagOf(await look()), 'v1.0.0');
    assert.equal(tagOf(await look({ prerelease: true })), 'v2.0.0-rc.1');
  });

  it('a range bounds what is followed', async () => {
    for (const tag of ['v1.0.0', 'v1.9.0', 'v999999999.0.0'])
      github.publish(tag, { [NAME]: BYTES });
    assert.equal(tagOf(await look({ range: '^1.0.0' })), 'v1.9.0');
  });

  it('an exact tag is followed as it is, also a moving one', async () => {
    github.publish('v2.0.0', { [NAME]: BYTES });
    github.publish('nightly', { [NAME]: BYTES });
    assert.equal(tagOf(await look({ tag: 'nightly' })), 'nightly');
    assert.equal(tagOf(await look({}, 'v2.0.0')), 'v2.0.0');
  });

  it('drafts and assets that are still uploading do not count', async () => {
    const release = github.publish('v1.0.0', {});
    github.attach(release, NAME, BYTES, { state: 'open' as 'uploaded' });
    assert.equal(codeOf(await look()), 'ASSET_MISSING');
    const [asset] = release.assets;
    if (asset) asset.state = 'uploaded';
    assert.equal(tagOf(await look()), 'v1.0.0');
  });
});

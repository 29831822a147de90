/** GitHub's pages instead of its API: against the stand-in, over real HTTP. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Http } from '../../../src/effects/http/http.ts';
import type { CachedAnswer } from '../../../src/effects/sources/conditional.ts';
import { GitHub } from '../../../src/effects/sources/github.ts';
import { GitHubOrWeb } from '../../../src/effects/sources/github-or-web.ts';
import { GitHubWeb } from '../../../src/effects/sources/github-web.ts';
import { RateLimited, type Source } from '../../../src/effects/sources/source.ts';
import { Fault } from '../../../src/support/fault.ts';
import { FakeGitHub } from '../../support/github/server.ts';

const NAME = 'app_linux_amd64.tar.gz';
const BYTES = Buffer.from('bytes');
const SHA = createHash('sha256').update(BYTES).digest('hex');
const SUMS = Buffer.from(`${SHA}  ${NAME}\n`);
let github: FakeGitHub;
let cache: Map<string, CachedAnswer>;
let nowMs: number;
let token: string | null;
let suffices: boolean;
let limits: number[];

beforeEach(async () => {
  github = await new FakeGitHub().listen();
  [cache, token, suffices, limits] = [new Map(), null, true, []];
  nowMs = Date.now();
});
afterEach(() => github.close());

const signal = () => AbortSignal.timeout(60_000);
const latest = (source: Source) => source.latest(0, signal());
const apiRequests = () => github.requests.filter(({ path }) => path.startsWith('/repos/'));

function sources(webUrl = github.url) {
  const http = new Http({
    userAgent: 'test',
    apiUrl: github.url,
    assetHosts: ['127.0.0.1', 'localhost'],
    mayBePlain: () => true,
    token: () => token,
    proxyEnvironment: {},
  });
  const answers = {
    read: (key: string) => cache.get(key) ?? null,
    write: (key: string, entry: CachedAnswer) => void cache.set(key, entry),
  };
  const common = {
    http,
    repository: 'acme/app',
    cache: answers,
    now: () => nowMs,
    secrets: () => [],
  };
  const api = new GitHub(common);
  const web = new GitHubWeb({
    ...common,
    webUrl,
    api,
    suffices: () => suffices,
    isVersion: (tag) => /^v\d/.test(tag),
  });
  const either = new GitHubOrWeb({
    ...common,
    api,
    web,
    hasToken: () => token !== null,
    onLimit: (untilMs) => limits.push(untilMs),
  });
  return { web, either };
}

const publish = (tag: string, sums = true, overrides = {}) =>
  github.publish(tag, { [NAME]: BYTES, ...(sums ? { 'checksums.txt': SUMS } : {}) }, overrides);

describe("GitHub's web pages as a source", () => {
  it('names the newest release and its assets by a file of sums, and asks no API', async () => {
    publish('v1.0.0', true, { publishedAt: '2026-01-02T03:04:05Z' });
    publish('v2.0.0-rc.1', true, { prerelease: true });
    const { web } = sources();
    const release = await latest(web);
    assert.deepEqual(
      [release?.tag, release?.publishedAt, release?.prerelease],
      ['v1.0.0', '2026-01-02T03:04:05Z', false],
    );
    const asset = release?.assets.find(({ name }) => name === NAME);
    assert.deepEqual([asset?.digest, asset?.sizeBytes], [SHA, 0]);
    assert.equal(asset && (await web.sizeOf(asset, signal())), BYTES.length);
    assert.deepEqual(apiRequests(), []);
  });

  it('asks the page of the newest release, and nothing else, while nothing is new', async () => {
    publish('v1.0.0');
    const before = sources().web;
    const [asset] = (await latest(before))?.assets ?? [];
    assert.ok(asset);
    await before.sizeOf(asset, signal());
    github.requests.length = 0;
    for (let polls = 0; polls < 3; polls++) {
      // Each poll of a program that ends after it.
      const { web } = sources();
      await latest(web);
      await web.sizeOf(asset, signal());
    }
    assert.deepEqual(
      github.requests.map(({ path }) => path),
      Array(3).fill('/acme/app/releases/latest'),
    );
  });

  it('asks the API once about a release without a file of sums, and again while it is young', async () => {
    publish('v1.0.0', false, { publishedAt: new Date(nowMs).toISOString() });
    const { web } = sources();
    assert.equal((await latest(web))?.assets[0]?.digest, SHA);
    await latest(web);
    assert.equal(apiRequests().length, 1);
    // Assets may follow.
    nowMs += 20 * 60_000;
    await latest(web);
    assert.equal(apiRequests().length, 2);
    nowMs += 24 * 60 * 60_000;
    await latest(web);
    assert.equal(apiRequests().length, 3);
    nowMs += 24 * 60 * 60_000;
    await latest(web);
    assert.equal(apiRequests().length, 3);
  });

  it('asks the API where the sums say too little', async () => {
    publish('v1.0.0');
    suffices = false;
    assert.equal((await latest(sources().web))?.assets.length, 2);
    assert.equal(apiRequests().length, 1);
  });

  it('asks the API where the sums would keep the processor busy for long', async () => {
    const others = Array.from({ length: 199 }, (_, n) => `${SHA}  app${n}\n`).join('');
    const of = (padding: string) => ({
      [NAME]: BYTES,
      'checksums.txt': Buffer.from(`${SUMS}${others}${padding}`),
    });
    const hostile = ['\n'.repeat(20_000), '\r\n'.repeat(2000), `${'#'.repeat(999)}\n`.repeat(200)];
    const { web } = sources();
    for (const [n, padding] of hostile.entries()) {
      github.publish(`v1.0.${n}`, of(padding));
      assert.equal((await latest(web))?.tag, `v1.0.${n}`);
      assert.equal(apiRequests().length, n + 1);
    }
    github.publish('v1.1.0', of('# a remark\r\n'.repeat(200)));
    assert.equal((await latest(web))?.assets.length, 201);
    assert.equal(apiRequests().length, hostile.length);
  });

  it('asks the API where two sums of one name contradict each other', async () => {
    github.publish('v1.0.0', {
      [NAME]: BYTES,
      'checksums.txt': Buffer.from(`${SHA}  ${NAME}\n${'0'.repeat(64)}  ${NAME}\n`),
    });
    const release = await latest(sources().web);
    assert.equal(release?.assets.find(({ name }) => name === NAME)?.digest, SHA);
    assert.equal(apiRequests().length, 1);
  });

  it('lists what the feed has; only the API knows which of them are prereleases', async () => {
    publish('v1.0.0');
    publish('v1.1.0', true, { prerelease: true });
    publish('v1.2.0');
    const { web } = sources();
    const { releases } = await web.list(0, signal(), 30);
    assert.deepEqual(
      releases.map(({ tag, prerelease }) => [tag, prerelease]),
      [
        ['v1.2.0', false],
        ['v1.1.0', true],
        ['v1.0.0', false],
      ],
    );
    const asked = apiRequests().length;
    assert.equal(asked, 2);
    nowMs += 48 * 60 * 60_000;
    github.releases.map((release) =>
      Object.assign(release, { publishedAt: '2026-01-01T00:00:00Z' }),
    );
    await web.list(0, signal(), 30);
    nowMs += 48 * 60 * 60_000;
    const settled = apiRequests().length;
    await web.list(0, signal(), 30);
    assert.equal(apiRequests().length, settled);
  });

  it('finds a higher version that is far down the list, once it was asked about', async () => {
    for (const n of [1, 2, 3, 4, 5, 6])
      publish(`v1.${9 - n}.0`, true, { publishedAt: '2026-01-01T00:00:00Z' });
    const { web } = sources();
    const seen = [];
    for (let lists = 0; lists < 3; lists++)
      seen.push((await web.list(0, signal(), 3)).releases.length);
    assert.deepEqual(seen, [3, 6, 6]);
  });

  it('reads the sums again after some hours, and at once where the rules ask for more', async () => {
    publish('v1.0.0', true, { publishedAt: '2026-01-01T00:00:00Z' });
    const { web } = sources();
    const [sums, asset] = ['checksums.txt', NAME].map((wanted) =>
      github.releases[0]?.assets.find(({ name }) => name === wanted),
    );
    assert.ok(sums && asset);
    const told = async () => (await latest(web))?.assets.find(({ name }) => name === NAME);
    const before = await told();
    assert.ok(before);
    assert.deepEqual([before.digest, await web.sizeOf(before, signal())], [SHA, BYTES.length]);
    const changed = Buffer.from('other bytes');
    const digest = createHash('sha256').update(changed).digest('hex');
    [asset.content, sums.content] = [changed, Buffer.from(`${digest}  ${NAME}\n`)];
    assert.equal((await told())?.digest, SHA);
    nowMs += 7 * 60 * 60_000;
    const now = await told();
    assert.ok(now);
    assert.deepEqual([now.digest, await web.sizeOf(now, signal())], [digest, changed.length]);
    assert.deepEqual(apiRequests(), []);
    suffices = false;
    assert.notEqual((await told())?.id, 0);
    assert.equal(apiRequests().length, 1);
  });

  it("tells the repository's number", async () => {
    publish('v1.0.0');
    github.repositoryId = 815;
    assert.equal(await sources().web.repositoryId(signal()), 815);
    assert.deepEqual(apiRequests(), []);
  });

  it('finds nothing where nothing stable was released', async () => {
    assert.equal(await latest(sources().web), null);
    await assert.rejects(sources().web.list(0, signal(), 30), { code: 'NOT_FOUND' });
  });

  it('asks about a tag that is no version each time: it may have moved', async () => {
    publish('nightly', false);
    const { web } = sources();
    await web.tagged('nightly', 0, signal());
    await web.tagged('nightly', 0, signal());
    assert.equal(apiRequests().length, 2);
    // Sums tell a move as well, without the API.
    publish('edge');
    const digest = async () =>
      (await web.tagged('edge', 0, signal()))?.assets.find(({ name }) => name === NAME)?.digest;
    assert.equal(await digest(), SHA);
    const sums = github.releases[0]?.assets.find(({ name }) => name === 'checksums.txt');
    assert.ok(sums);
    sums.content = Buffer.from(`${'0'.repeat(64)}  ${NAME}\n`);
    assert.equal(await digest(), '0'.repeat(64));
    assert.equal(apiRequests().length, 2);
  });

  it('takes a version that was asked for by its tag by its sums, and not for stable ever after', async () => {
    publish('v1.0.0', true, { prerelease: true });
    const { web } = sources();
    assert.equal((await web.tagged('v1.0.0', 0, signal()))?.tag, 'v1.0.0');
    assert.deepEqual(apiRequests(), []);
    const { releases } = await web.list(0, signal(), 30);
    assert.equal(releases[0]?.prerelease, true);
  });

  it('tells the size of an empty file', async () => {
    github.publish('v1.0.0', { [NAME]: Buffer.alloc(0), 'checksums.txt': SUMS });
    const release = await latest(sources().web);
    const asset = release?.assets.find(({ name }) => name === NAME);
    assert.ok(asset);
    assert.equal(await sources().web.sizeOf(asset, signal()), 0);
  });

  const location = (to: string) => ({ status: 302, headers: { location: to } });
  const refused: Record<string, [page: () => FakeGitHub['misbehave']['page'], code: string]> = {
    'a redirect to a page to sign in': [() => location('/login'), 'ANSWER_UNEXPECTED'],
    'a redirect to nowhere': [() => location('http://'), 'ANSWER_UNEXPECTED'],
    'a tag that is no UTF-8': [() => location('/acme/app/releases/tag/%ff'), 'ANSWER_UNEXPECTED'],
  };
  for (const [title, [page, code]] of Object.entries(refused))
    it(`refuses ${title}`, async () => {
      github.misbehave.page = page();
      await assert.rejects(
        latest(sources().web),
        (error: unknown) => error instanceof Fault && error.code === code,
      );
    });

  it('follows a repository that was renamed, within the same host', async () => {
    publish('v1.0.0');
    github.misbehave.takeOver = {
      path: /^\/acme\/app\/releases\/latest$/,
      send: (socket) =>
        socket.end(
          `HTTP/1.1 301 Moved\r\nlocation: ${github.url}/acme/new/releases/latest\r\ncontent-length: 0\r\n\r\nHTTP/1.1 `,
        ),
    };
    await assert.rejects(latest(sources().web), Fault);
    assert.ok(github.requests.some(({ path }) => path === '/acme/new/releases/latest'));
  });

  it('refuses a feed that is none, or is endless', async () => {
    for (const [body, code] of [
      ['<html>', 'ANSWER_MALFORMED'],
      [Buffer.alloc(4 * 1024 * 1024, ' '), 'ANSWER_TOO_LARGE'],
    ] as const) {
      github.misbehave.page = { status: 200, body };
      await assert.rejects(sources().web.repositoryId(signal()), { code });
    }
  });
});

describe("GitHub's API, and its web pages while there is a limit", () => {
  const exhaust = () => {
    github.rateLimit = { remaining: 0, resetAt: nowMs + 1_800_000 };
  };

  it('is followed by its web pages, tells it once, and asks the API again after the limit', async () => {
    publish('v1.0.0');
    exhaust();
    assert.equal((await latest(sources().either))?.tag, 'v1.0.0');
    assert.equal((await latest(sources().either))?.tag, 'v1.0.0');
    assert.deepEqual([limits.length, apiRequests().length], [1, 1]);
    const { either } = sources();
    nowMs += 2_000_000;
    github.rateLimit = null;
    await latest(either);
    assert.equal(apiRequests().length, 2);
    assert.ok(either.quota);
  });

  it('does not pace polls by a quota that is used up, while others answer', async () => {
    publish('v1.0.0');
    exhaust();
    const { either } = sources();
    await latest(either);
    assert.equal(either.quota, null);
  });

  it('is the limit itself where the web pages say too little', async () => {
    publish('v1.0.0', false);
    exhaust();
    for (let polls = 0; polls < 2; polls++)
      await assert.rejects(
        latest(sources().either),
        (error: unknown) =>
          error instanceof RateLimited && Math.abs(error.untilMs - nowMs - 1_800_000) < 2000,
      );
  });

  it('is not left for its web pages with a token', async () => {
    publish('v1.0.0');
    token = 'secret';
    github.misbehave.api = { status: 429 };
    await assert.rejects(latest(sources().either), RateLimited);
    assert.ok(github.requests.every(({ path }) => path.startsWith('/repos/')));
  });
});

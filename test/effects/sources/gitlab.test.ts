import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { check } from '../../../src/effects/check.ts';
import { Http } from '../../../src/effects/http/http.ts';
import type { CachedAnswer } from '../../../src/effects/sources/conditional.ts';
import { GitLab, gitLabHeaders } from '../../../src/effects/sources/gitlab.ts';
import { RateLimited } from '../../../src/effects/sources/source.ts';
import { pollNoteSchema } from '../../../src/machines/poll-note.ts';
import { Fault } from '../../../src/support/fault.ts';
import { FakeGitLab } from '../../support/forges/gitlab.ts';
import { policy } from '../../support/machine.ts';

const PROJECT = 'acme/tools/app';
const TOKEN = 'glpat-0123456789abcdefghij';
let gitlab: FakeGitLab;
let cache: Map<string, CachedAnswer>;
let token: string | null;
let hosts: string[];
let passedOver: string[];
let nowMs: number;

beforeEach(async () => {
  gitlab = await new FakeGitLab({ token: TOKEN, project: PROJECT }).listen();
  [cache, token, hosts, passedOver] = [new Map(), TOKEN, ['127.0.0.1', 'localhost'], []];
  nowMs = Date.now();
});
afterEach(() => gitlab[Symbol.asyncDispose]());

const signal = () => AbortSignal.timeout(60_000);

function source(): GitLab {
  const http = new Http({
    headersOf: gitLabHeaders,
    userAgent: 'test',
    apiUrl: gitlab.url,
    setting: 'UPDATE_SOURCE_URL',
    assetHosts: hosts,
    mayBePlain: () => true,
    token: () => token,
    proxyEnvironment: {},
  });
  return new GitLab({
    http,
    url: gitlab.url,
    repository: PROJECT,
    cache: {
      read: (key) => cache.get(key) ?? null,
      write: (key, entry) => void cache.set(key, entry),
    },
    now: () => nowMs,
    secrets: () => [TOKEN],
    debug: (message) => passedOver.push(message),
    isVersion: (tag) => /^v\d/.test(tag),
  });
}

const latest = () => source().latest(0, signal());
const list = (maxRequests = 30) => source().list(0, signal(), maxRequests);
const at = (ms: number) => new Date(nowMs + ms).toISOString();
const HOUR = 3_600_000;

describe('GitLab as a source', () => {
  it('tells the latest release of a project in a subgroup, and one by its tag', async () => {
    gitlab.publish('release/1', { app: Buffer.from('x') }, { released_at: at(-2 * HOUR) });
    gitlab.publish('v2.0.0', { app: Buffer.from('xy') }, { description: '- urgent' });
    const found = await latest();
    assert.deepEqual([found?.tag, found?.urgent, found?.draft], ['v2.0.0', true, false]);
    const [asset, ...others] = found?.assets ?? [];
    assert.deepEqual([asset?.name, asset?.sizeBytes, asset?.digest], ['app', 0, null]);
    assert.deepEqual(others, []);
    assert.equal((await source().tagged('release/1', 0, signal()))?.tag, 'release/1');
    assert.equal(await source().tagged('v9', 0, signal()), null);
  });

  it('passes over what is planned, and what names no version while anything does', async () => {
    gitlab.publish('nightly', {}, { released_at: at(-3 * HOUR) });
    assert.equal((await latest())?.tag, 'nightly');
    gitlab.publish('v1.0.0', {}, { released_at: at(-4 * HOUR) });
    gitlab.publish('v2.0.0', {}, { released_at: at(HOUR), upcoming_release: true });
    assert.equal((await latest())?.tag, 'v1.0.0');
    const { releases } = await list();
    assert.deepEqual(
      releases.filter(({ draft }) => draft).map(({ tag }) => tag),
      ['v2.0.0'],
    );
    gitlab.releases.splice(0, 2);
    assert.equal(await latest(), null);
  });

  it('takes a release with a time to come for planned where the server does not say', async () => {
    gitlab.publish('v1.0.0', {}, { released_at: at(HOUR), upcoming_release: null });
    assert.equal(await latest(), null);
    nowMs += 2 * HOUR;
    assert.equal((await latest())?.tag, 'v1.0.0');
  });

  it('counts the age from when a release was made, whatever date its author gave it', async () => {
    gitlab.publish('v1.0.0', {}, { created_at: at(-HOUR), released_at: at(-90 * 24 * HOUR) });
    assert.equal((await latest())?.publishedAt, at(-HOUR));
    gitlab.publish('v1.1.0', {}, { created_at: at(-2 * HOUR), released_at: at(-HOUR / 2) });
    assert.equal((await latest())?.publishedAt, at(-HOUR / 2));
  });

  it('lists page after page, to a bound', async () => {
    for (let n = 0; n < 45; n++) gitlab.publish(`v1.0.${n}`, {});
    const all = await list();
    assert.deepEqual([all.releases.length, all.isComplete], [45, true]);
    assert.equal(gitlab.requests.length, 3);
    const some = await list(2);
    assert.deepEqual([some.releases.length, some.isComplete], [40, false]);
  });

  it('asks for smaller pages where they are too large', async () => {
    for (let n = 0; n < 9; n++)
      gitlab.publish(`v1.0.${n}`, {}, { description: 'x'.repeat(500_000) });
    const { releases, isComplete } = await list();
    assert.deepEqual([releases.length, isComplete], [9, true]);
  });

  it('keeps what it needs of an answer, and asks on that condition', async () => {
    gitlab.publish(
      'v1.0.0',
      { app: Buffer.from('x') },
      { description: `urgent\n${'x'.repeat(9999)}` },
    );
    const before = [await latest(), await list()];
    for (const { body } of cache.values()) assert.ok(body.length < 2000, body);
    assert.deepEqual([await latest(), await list()], before);
  });

  it('passes over a release or a link that can not be read, and refuses a list of nothing else', async () => {
    gitlab.publish('v1.0.0', { app: Buffer.from('x') });
    gitlab.releases[0]?.assets.links.push(
      gitlab.linkTo('ftp://example.com/app', { name: 'by FTP', tag: 'v1.0.0' }),
    );
    gitlab.publish('v1\u001b[31m', {});
    const { releases } = await list();
    assert.deepEqual(
      releases.map(({ tag, assets }) => [tag, assets.length]),
      [['v1.0.0', 1]],
    );
    assert.equal(passedOver.length, 2);
    assert.equal((await latest())?.tag, 'v1.0.0');
    gitlab.releases.shift();
    await assert.rejects(list(), { code: 'ANSWER_MALFORMED' });
    await assert.rejects(latest(), { code: 'ANSWER_MALFORMED' });
  });

  it('says what a token of a guest lacks', async () => {
    const assets = { count: 0, sources: [], links: [] };
    gitlab.misbehave = { status: 200, body: JSON.stringify([{ name: 'v1.0.0', assets }]) };
    await assert.rejects(list(), { code: 'ACCESS_REFUSED', message: /role Reporter/ });
  });

  it('downloads with the token, which its storage never gets, and learns the size first', async () => {
    gitlab.publish('v1.0.0', { 'app.tar.gz': Buffer.from('bytes') });
    const [asset] = (await latest())?.assets ?? [];
    assert.ok(asset);
    assert.equal(await source().sizeOf(asset, signal()), 5);
    const answer = await source().fetch(asset, {}, signal(), { decompress: false });
    assert.equal(Buffer.concat(await answer.stream.toArray()).toString(), 'bytes');
    const { host } = new URL(gitlab.url);
    for (const { authorization, privateToken, ...request } of gitlab.requests)
      assert.deepEqual(
        [authorization, privateToken],
        request.host === host ? [`Bearer ${TOKEN}`, TOKEN] : [undefined, undefined],
      );
    assert.ok(gitlab.requests.some((request) => request.host !== host));
    hosts = ['127.0.0.1'];
    await assert.rejects(source().fetch(asset, {}, signal(), { decompress: false }), {
      code: 'REDIRECT_REFUSED',
      message: /UPDATE_ASSET_HOSTS/,
    });
  });

  it('tells a page to sign in from a file', async () => {
    const url = `${gitlab.url}/acme/tools/app/uploads/0/app.tar.gz`;
    const asset = { name: 'app.tar.gz', url, browserUrl: url, digest: null };
    await assert.rejects(source().sizeOf(asset, signal()), {
      code: 'ACCESS_REFUSED',
      message: /generic package/,
    });
  });

  it('finds nothing without a token, and refuses a wrong one', async () => {
    gitlab.publish('v1.0.0', {});
    token = null;
    assert.equal(await latest(), null);
    await assert.rejects(list(), { code: 'NOT_FOUND', message: /set UPDATE_GH_TOKEN/ });
    token = 'glpat-wrong';
    await assert.rejects(latest(), { code: 'ACCESS_REFUSED', message: /UPDATE_GH_TOKEN is sent/ });
  });

  const refused: Record<string, [answer: FakeGitLab['misbehave'], code: string]> = {
    'a limit': [
      { status: 429, body: 'Retry later\n', headers: { 'retry-after': '60' } },
      'RATE_LIMITED',
    ],
    'trouble of its own': [{ status: 502 }, 'SERVER_FAILED'],
    'a page of HTML': [{ status: 200, body: '<html>' }, 'ANSWER_MALFORMED'],
    'something else': [{ status: 200, body: '{"tag_name":1}' }, 'ANSWER_MALFORMED'],
    'an answer without a bottom': [
      {
        status: 200,
        // What does not fit is passed over beside what does.
        body: `[{"tag_name":"v1.0.0"},${'['.repeat(100_000)}${']'.repeat(100_000)}]`,
      },
      'ANSWER_MALFORMED',
    ],
    'an endless answer': [{ status: 200, body: ' '.repeat(4_000_000) }, 'ANSWER_TOO_LARGE'],
    'another host for the API': [
      { status: 302, headers: { location: 'http://localhost/' } },
      'REDIRECT_REFUSED',
    ],
  };
  for (const [title, [answer, code]] of Object.entries(refused))
    it(`refuses ${title}, and names its own setting`, async () => {
      gitlab.misbehave = answer;
      await assert.rejects(
        latest(),
        (error: unknown) =>
          error instanceof Fault && error.code === code && !/GH_API_URL|GitHub/.test(error.message),
      );
    });

  it('has its own setting named where another release than asked for is answered', async () => {
    gitlab.publish('v1.0.0', {});
    gitlab.misbehave = { status: 200, body: JSON.stringify(gitlab.releases[0]) };
    const place = { root: '/nonexistent', bakedDir: '/nonexistent', repository: PROJECT };
    const fact = await check(
      { policy, request: { tag: 'v9.9.9', file: null }, running: null, fresh: true },
      signal(),
      {
        source: source(),
        places: { ...place, versioning: 'semver', tagPrefix: '' },
        note: { read: () => pollNoteSchema.parse({}), write: () => {} },
        pollIntervalMs: 60_000,
        now: () => nowMs,
        random: () => 0.5,
        assetPattern: null,
      },
    );
    assert.ok(fact.type === 'checkFailed', fact.type);
    assert.match(`${fact.code} ${fact.message}`, /^ANSWER_UNEXPECTED .*check UPDATE_SOURCE_URL$/);
  });

  it('waits as long as it is asked to', async () => {
    gitlab.misbehave = { status: 429, headers: { 'retry-after': '120' } };
    await assert.rejects(
      latest(),
      (error: unknown) =>
        error instanceof RateLimited && Math.abs(error.untilMs - nowMs - 120_000) < 1000,
    );
  });
});

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Http } from '../../../src/effects/http/http.ts';
import type { CachedAnswer } from '../../../src/effects/sources/conditional.ts';
import { Forgejo } from '../../../src/effects/sources/forgejo.ts';
import { FakeForgejo } from '../../support/forges/forgejo.ts';

let forgejo: FakeForgejo;
let source: Forgejo;
let passedOver: string[];
let cache: Map<string, CachedAnswer>;
let nowMs: number;

beforeEach(async () => {
  forgejo = await new FakeForgejo().listen();
  passedOver = [];
  nowMs = Date.now();
  cache = new Map<string, CachedAnswer>();
  const http = new Http({
    userAgent: 'test',
    apiUrl: forgejo.url,
    assetHosts: ['127.0.0.1', 'localhost'],
    mayBePlain: () => true,
    token: () => null,
    proxyEnvironment: {},
  });
  source = new Forgejo({
    http,
    url: forgejo.url,
    repository: 'acme/app',
    cache: {
      read: (key) => cache.get(key) ?? null,
      write: (key, entry) => void cache.set(key, entry),
    },
    now: () => nowMs,
    secrets: () => [],
    debug: (message) => passedOver.push(message),
  });
});
afterEach(() => forgejo[Symbol.asyncDispose]());

const signal = () => AbortSignal.timeout(60_000);

describe('Forgejo as a source', () => {
  it('tells the latest release, without digests, and one by its tag', async () => {
    forgejo.publish('release/1', { app: Buffer.from('x') }, { body: 'urgent' });
    forgejo.publish('v2.0.0', { app: Buffer.from('xy') }, { prerelease: true });
    const latest = await source.latest(0, signal());
    assert.deepEqual([latest?.tag, latest?.urgent], ['release/1', true]);
    const { name, sizeBytes, digest } = latest?.assets[0] ?? {};
    assert.deepEqual([name, sizeBytes, digest], ['app', 1, null]);
    assert.equal((await source.tagged('release/1', 0, signal()))?.tag, 'release/1');
    assert.equal(await source.tagged('v9', 0, signal()), null);
  });

  it('lists page after page, however small they are, to a bound', async () => {
    for (let n = 0; n < 5; n++) forgejo.publish(`v1.0.${n}`, {});
    forgejo.pageSize = 2;
    const all = await source.list(0, signal(), 30);
    assert.deepEqual([all.releases.length, all.isComplete], [5, true]);
    const some = await source.list(0, signal(), 2);
    assert.deepEqual([some.releases.length, some.isComplete], [4, false]);
  });

  it('passes over a release that can not be read, and refuses a list of nothing else', async () => {
    forgejo.publish('v1.0.0', {});
    forgejo.publish('v1\u001b[31m', {});
    const { releases } = await source.list(0, signal(), 30);
    assert.deepEqual(
      releases.map(({ tag }) => tag),
      ['v1.0.0'],
    );
    assert.equal(passedOver.length, 1);
    forgejo.releases.pop();
    await assert.rejects(source.list(0, signal(), 30), { code: 'ANSWER_MALFORMED' });
  });

  it('asks for the size of an asset that is elsewhere, and keeps it for an hour', async () => {
    forgejo.publish('v1.0.0', {});
    forgejo.link('app', Buffer.from('four'));
    const [asset] = (await source.latest(0, signal()))?.assets ?? [];
    assert.ok(asset);
    const size = () => source.sizeOf(asset, signal());
    assert.deepEqual([asset.sizeBytes, await size()], [0, 4]);
    forgejo.replace('app', Buffer.from('longer'));
    assert.equal(await size(), 4);
    // Nothing but the address tells these bytes apart from others.
    nowMs += 3_600_000;
    assert.equal(await size(), 6);
    for (const damaged of ['', '{', `${nowMs}`, `${nowMs} -6`]) {
      for (const key of cache.keys()) cache.set(key, { etag: '', body: damaged });
      assert.equal(await size(), 6, damaged);
    }
    forgejo.replace('app', null);
    nowMs += 3_600_000;
    await assert.rejects(size(), { code: 'DOWNLOAD_REFUSED' });
  });

  it('says where to look when there is nothing', () => {
    assert.match(source.notFound().message, /GH_USER, GH_REPO and UPDATE_SOURCE_URL/);
  });
});

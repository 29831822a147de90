/** How a directory answers: by http with the refusals of servers, and on a disk with ranges. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Http } from '../../../src/effects/http/http.ts';
import type { CachedAnswer } from '../../../src/effects/sources/conditional.ts';
import { Directory } from '../../../src/effects/sources/directory.ts';
import { FileShelf } from '../../../src/effects/sources/directory-file.ts';
import { HttpShelf } from '../../../src/effects/sources/directory-http.ts';
import { readStream } from '../../../src/support/bounded.ts';
import { FakeDirectory } from '../../support/directory/server.ts';
import { FakeMinisign } from '../../support/minisign.ts';

const NOW = Date.parse('2026-03-01T00:00:00Z');
const signal = () => AbortSignal.timeout(30_000);
const BYTES = Buffer.from('0123456789');
let directory: FakeDirectory;
let token: string | null;

beforeEach(async () => {
  token = null;
  directory = await new FakeDirectory().listen();
  await directory.publish('v1.0.0', { 'app.tar.gz': BYTES });
});
afterEach(() => directory.close());

function overHttp(): Directory {
  const url = directory.url.replace(/\/$/, '');
  const http = new Http({
    userAgent: 'test',
    apiUrl: url,
    setting: 'UPDATE_SOURCE_URL',
    assetHosts: ['127.0.0.1'],
    mayBePlain: () => true,
    token: () => token,
    proxyEnvironment: {},
  });
  const kept = new Map<string, CachedAnswer>();
  const cache = {
    read: (key: string) => kept.get(key) ?? null,
    write: (key: string, entry: CachedAnswer) => void kept.set(key, entry),
  };
  const shelf = new HttpShelf({ http, cache, url, now: () => NOW, secrets: () => [] });
  return new Directory({ shelf, minisignKeys: null });
}

const onDisk = () =>
  new Directory({
    shelf: new FileShelf(directory.fileUrl.replace(/\/$/, ''), () => []),
    minisignKeys: null,
  });

const assetOf = async (source: Directory) => {
  const asset = (await source.latest(0, signal()))?.assets[0];
  if (asset === undefined) throw new Error('it was published');
  return asset;
};

async function bytesOf(source: Directory, range?: string) {
  const headers: Record<string, string> = range === undefined ? {} : { range };
  const options = { decompress: false };
  const answer = await source.fetch(await assetOf(source), headers, signal(), options);
  const fail = () => new Error('endless');
  const bounds = { maxBytes: 100, withinMs: 30_000, tooLarge: fail, tooLate: fail };
  const text = answer.status === 416 ? '' : (await readStream(answer.stream, bounds)).toString();
  answer.stream.destroy();
  return { status: answer.status, range: answer.headers['content-range'], text };
}

describe('a directory', () => {
  for (const [kind, source] of [
    ['http', overHttp],
    ['a disk', onDisk],
  ] as const)
    it(`by ${kind} gives its newest, each by its tag, all of them, and the bytes`, async () => {
      await directory.publish('v1.1.0', { 'app.tar.gz': BYTES });
      assert.equal((await source().latest(0, signal()))?.tag, 'v1.1.0');
      assert.equal((await source().tagged('v1.0.0', 0, signal()))?.tag, 'v1.0.0');
      assert.equal(await source().tagged('v9.0.0', 0, signal()), null);
      const { releases, isComplete } = await source().list(0, signal());
      assert.deepEqual([releases.length, isComplete], [2, true]);
      const all = { status: 200, range: undefined, text: '0123456789' };
      assert.deepEqual(await bytesOf(source()), all);
      const part = { status: 206, range: 'bytes 4-9/10', text: '456789' };
      assert.deepEqual(await bytesOf(source(), 'bytes=4-'), part);
    });

  it('is read once in a check, and anew in the next', async () => {
    const source = overHttp();
    const check = signal();
    await source.latest(0, check);
    await directory.publish('v1.1.0', { 'app.tar.gz': BYTES });
    assert.equal((await source.list(0, check)).releases.length, 1);
    assert.equal((await source.list(0, signal())).releases.length, 2);
    assert.equal(directory.requests.length, 2);
  });

  it('says 416 to a range behind the end of a file', async () => {
    assert.equal((await bytesOf(onDisk(), 'bytes=10-')).status, 416);
  });

  it('on a disk gives no file outside of it, though the journal names one', async () => {
    const ask = async (url: string) =>
      onDisk().fetch({ name: 'x', url, browserUrl: url }, {}, signal(), { decompress: false });
    for (const url of [
      'file:///etc/hostname',
      `${directory.fileUrl}../etc/hostname`,
      'https://files.example.com/x',
    ])
      await assert.rejects(ask(url), { code: 'FILE_MISSING' }, url);
    symlinkSync('/etc', path.join(directory.root, 'etc'));
    await assert.rejects(ask(`${directory.fileUrl}etc/hostname`), { code: 'FILE_MISSING' });
    mkdirSync(path.join(directory.root, 'v2'));
    await assert.rejects(ask(`${directory.fileUrl}v2`), { code: 'FILE_MISSING' });
  });

  it('on a disk that is not mounted is told as that, and not as an empty one', async () => {
    rmSync(path.join(directory.root, 'releases.json'));
    await assert.rejects(onDisk().latest(0, signal()), {
      code: 'NOT_FOUND',
      message: /self-update index/,
    });
    rmSync(directory.root, { recursive: true });
    await assert.rejects(onDisk().latest(0, signal()), {
      code: 'FILE_MISSING',
      message: /mount it there, or correct UPDATE_SOURCE_URL$/,
    });
    mkdirSync(directory.root);
  });

  it('on a disk follows a link that stays inside of it', async () => {
    symlinkSync('v1.0.0', path.join(directory.root, 'v2.0.0'));
    const url = `${directory.fileUrl}v2.0.0/app.tar.gz`;
    const asset = { name: 'x', url, browserUrl: url };
    const answer = await onDisk().fetch(asset, {}, signal(), { decompress: false });
    answer.stream.destroy();
    assert.equal(answer.status, 200);
  });

  it('tells one address from another, and tokens, and shows none of them', () => {
    const anonymous = overHttp().identity;
    token = 'canary-token';
    assert.notEqual(overHttp().identity, anonymous);
    assert.notEqual(onDisk().identity, anonymous);
    for (const { identity } of [overHttp(), onDisk()]) assert.match(identity, /^[0-9a-f]{16}$/);
  });
});

describe('an index where signatures are asked for', () => {
  const signer = new FakeMinisign();
  const signedOnly = () =>
    new Directory({
      shelf: new FileShelf(directory.fileUrl.replace(/\/$/, ''), () => []),
      minisignKeys: [signer.key],
    });
  const sign = (by: FakeMinisign, comment: string) =>
    directory.write('releases.json.minisig', by.sign(directory.index, comment));

  it('counts with a signature of a key that is known, whose id its releases carry', async () => {
    sign(signer, 'timestamp:1\tfile:releases.json\thashed');
    assert.equal((await signedOnly().latest(0, signal()))?.indexKey, signer.key.id);
    assert.equal((await onDisk().latest(0, signal()))?.indexKey, undefined);
  });

  it('is refused without one, by another key, of other bytes, and of another file', async () => {
    const refused = (code: string) => assert.rejects(signedOnly().latest(0, signal()), { code });
    await refused('SIGNATURE_MISSING');
    sign(new FakeMinisign(), 'file:releases.json');
    await refused('SIGNATURE_INVALID');
    sign(signer, 'file:app.json');
    await refused('SIGNATURE_INVALID');
    directory.write('releases.json.minisig', 'x'.repeat(100_000));
    await refused('SIGNATURE_INVALID');
    sign(signer, 'file:releases.json');
    directory.write('releases.json', `${directory.index} `);
    await refused('SIGNATURE_INVALID');
  });
});

describe('a server of a directory', () => {
  const cases: [title: string, status: number, code: string, advice: RegExp][] = [
    ['has no index', 404, 'NOT_FOUND', /check UPDATE_SOURCE_URL/],
    ['refuses', 401, 'ACCESS_REFUSED', /make the directory readable, or set UPDATE_GH_TOKEN/],
    ['forbids', 403, 'ACCESS_REFUSED', /\(403\): make the directory readable/],
  ];
  for (const [title, status, code, advice] of cases)
    it(`that ${title} is told, with a remedy`, async () => {
      directory.misbehave = { all: { status, body: '<Error/>' } };
      await assert.rejects(overHttp().latest(0, signal()), { code, message: advice });
    });

  it('that refuses a token is told as that', async () => {
    token = 'canary-token';
    directory.misbehave = { all: { status: 403 } };
    await assert.rejects(overHttp().latest(0, signal()), /UPDATE_GH_TOKEN is sent there/);
  });
});

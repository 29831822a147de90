/** A real registry as a source: what it tells, how quietly it is asked, and what is refused. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { CachedAnswer } from '../../src/effects/sources/conditional.ts';
import type { Oci } from '../../src/effects/sources/oci.ts';
import { bundlesOf } from '../../src/effects/sources/oci-referrers.ts';
import { RateLimited } from '../../src/effects/sources/source.ts';
import { readStream } from '../../src/support/bounded.ts';
import type { RegistryFront, Wrong } from '../support/registry/front.ts';
import {
  digestOf,
  INDEX_TYPE,
  MANIFEST_TYPE,
  NAME,
  TestRegistry,
} from '../support/registry/registry.ts';
import { NOW, type SourceOptions, signal, sourceFor } from '../support/registry/source.ts';

const BYTES = Buffer.from('0123456789');
const FILES = { 'app.tar.gz': BYTES, 'checksums.txt': Buffer.from('sums') };

let registry: TestRegistry;
let front: RegistryFront;
let kept: Map<string, CachedAnswer>;
let passedOver: string[];

beforeEach(async () => {
  registry = await TestRegistry.start();
  front = registry.front;
  kept = new Map();
  passedOver = [];
});
afterEach(() => registry[Symbol.asyncDispose]());

const source = (options: SourceOptions = {}) =>
  sourceFor(front.url, { kept, debug: (message) => passedOver.push(message), ...options });
const latestOf = (oci: Oci) => oci.latest(0, signal());
/** What is answered to a question of this kind, of a path that fits. */
const answering = (fits: RegExp, answer: Wrong | ((path: string) => Wrong)) => {
  front.wrong = ({ method, path }) =>
    !fits.test(`${method} ${path}`) ? null : typeof answer === 'function' ? answer(path) : answer;
};
/** A manifest that no honest client pushes, for whatever tag is asked. */
const claiming = (manifest: unknown) => {
  const body = JSON.stringify(manifest);
  const digest = digestOf(Buffer.from(body));
  const headers = { 'content-type': MANIFEST_TYPE, 'docker-content-digest': digest };
  answering(/\/manifests\//, { status: 200, headers, body });
};
const layer = (title: string, digest = digestOf(BYTES)) => ({
  mediaType: 'application/octet-stream',
  digest,
  size: 10,
  annotations: { 'org.opencontainers.image.title': title },
});
const fixture = (name: string) =>
  readFileSync(
    path.join(import.meta.dirname, '../support/registry/oras-1.3.6', `${name}.manifest`),
    'utf8',
  );

describe('a registry', () => {
  it('gives its newest, each by its tag, and the bytes with their digests', async () => {
    await registry.publish('v1.0.0', FILES);
    await registry.publish('v1.1.0', FILES, {});
    const oci = source();
    const latest = await latestOf(oci);
    assert.deepEqual([latest?.tag, latest?.publishedAt], ['v1.1.0', null]);
    assert.equal((await oci.tagged('v1.0.0', 0, signal()))?.publishedAt, '2026-01-31T12:00:00Z');
    assert.equal(await oci.tagged('v9.0.0', 0, signal()), null);
    const asked = front.asked.length;
    assert.equal(await oci.tagged('../v1.0.0', 0, signal()), null);
    assert.equal(front.asked.length, asked);
    const [asset] = latest?.assets ?? [];
    assert.ok(asset);
    assert.deepEqual(
      [asset.name, asset.sizeBytes, `sha256:${asset.digest}`],
      ['app.tar.gz', 10, digestOf(BYTES)],
    );
    const bytesOf = async (headers: Record<string, string>) => {
      const answer = await oci.fetch(asset, headers, signal(), { decompress: false });
      const fail = () => new Error('endless');
      const bounds = { maxBytes: 100, withinMs: 30_000, tooLarge: fail, tooLate: fail };
      return `${answer.status} ${await readStream(answer.stream, bounds)}`;
    };
    assert.equal(await bytesOf({}), '200 0123456789');
    assert.equal(await bytesOf({ range: 'bytes=4-' }), '206 456789');
  });

  it('reads what oras pushed: plain files', async () => {
    for (const text of ['hello\n', 'sums\n', '{}']) await registry.pushBlob(Buffer.from(text));
    await registry.pushManifest('v1.2.3', fixture('files'), MANIFEST_TYPE);
    const release = await latestOf(source());
    assert.deepEqual(
      release?.assets.map(({ name, sizeBytes }) => [name, sizeBytes]),
      [
        ['app_linux_amd64.tar.gz', 6],
        ['checksums.txt', 5],
      ],
    );
    assert.equal(release?.publishedAt, '2026-11-29T09:36:35Z');
  });

  it('reads what oras pushed: a file by its path, and a directory', async () => {
    claiming(JSON.parse(fixture('path-and-directory')));
    const release = await source().tagged('v1.2.4', 0, signal());
    assert.deepEqual(
      release?.assets.map(({ name }) => name),
      ['f.tar.gz', 'tree.tar.gz', 'checksums.txt'],
    );
  });

  it('with nothing new costs two requests, one of them a HEAD', async () => {
    await registry.publish('v1.0.0', FILES);
    await latestOf(source());
    front.requests.length = 0;
    const again = await latestOf(source());
    assert.equal(again?.assets.length, 2);
    assert.deepEqual(front.asked, [
      `GET /v2/${NAME}/tags/list?n=1000`,
      `HEAD /v2/${NAME}/manifests/v1.0.0`,
    ]);
  });

  it('is read once in a check, and sees files that were exchanged in the next', async () => {
    await registry.publish('v1.0.0', FILES);
    const oci = source();
    const check = signal();
    await oci.latest(0, check);
    await registry.publish('v1.0.0', { 'app.tar.gz': Buffer.from('other') });
    const { releases } = await oci.list(0, check, 3);
    assert.equal(`sha256:${releases[0]?.assets[0]?.digest}`, digestOf(BYTES));
    assert.equal(front.asked.filter((asked) => asked.includes('/tags/list')).length, 1);
    const next = await latestOf(oci);
    assert.equal(`sha256:${next?.assets[0]?.digest}`, digestOf(Buffer.from('other')));
  });

  it('does without HEAD, and without a digest in its answer', async () => {
    await registry.publish('v1.0.0', FILES);
    answering(/^HEAD/, { status: 405 });
    assert.equal((await latestOf(source()))?.assets.length, 2);
    answering(/^HEAD/, { status: 200 });
    assert.equal((await latestOf(source()))?.assets.length, 2);
  });

  it('lists as few releases as suffice, ten at most, and explains tags that are not allowed', async () => {
    for (let n = 10; n < 22; n++) await registry.publish(`v${n}`, FILES);
    const tagsOf = async (oci: Oci, most: number) =>
      (await oci.list(0, signal(), most)).releases.map(({ tag }) => tag);
    assert.deepEqual(await tagsOf(source(), 30), ['v21']);
    const all = source({ suffices: () => false });
    assert.equal((await tagsOf(all, 30)).length, 10);
    assert.deepEqual(await tagsOf(all, 5), ['v21', 'v20']);
    assert.equal((await tagsOf(source({ newestFirst: () => [] }), 30)).length, 12);
  });

  it('that has no repository, or no tag, says where to look', async () => {
    assert.equal(await latestOf(source()), null);
    await assert.rejects(source().list(0, signal(), 3), {
      code: 'NOT_FOUND',
      message: /check UPDATE_SOURCE_URL.*set UPDATE_GH_TOKEN/,
    });
  });

  it('tells one address from another, and shows none', () => {
    assert.match(source().identity, /^[0-9a-f]{16}$/);
    assert.notEqual(source({ name: 'acme/other' }).identity, source().identity);
  });
});

describe('the tags of a registry', () => {
  it('are read page after page, of which only the query counts', async () => {
    await registry.publish('v1.0.0', FILES);
    answering(/\/tags\/list/, (asked) => ({
      status: 200,
      headers: asked.includes('last=b')
        ? {}
        : { link: `<https://elsewhere.example${asked}&last=b>; rel="next"` },
      body: JSON.stringify({ tags: asked.includes('last=b') ? ['v1.0.0'] : ['a', 'b'] }),
    }));
    assert.equal((await latestOf(source()))?.tag, 'v1.0.0');
    assert.ok(front.requests.every(({ host }) => host === new URL(front.url).host));
    assert.deepEqual(front.asked.slice(0, 2), [
      `GET /v2/${NAME}/tags/list?n=1000`,
      `GET /v2/${NAME}/tags/list?n=1000&last=b`,
    ]);
  });

  it('without an end are refused, and not taken for all there are', async () => {
    let page = 0;
    answering(/\/tags\/list/, () => ({
      status: 200,
      headers: { link: `</v2/${NAME}/tags/list?n=1000&last=${page++}>; rel="next"` },
      body: '{"tags":["v1.0.0"]}',
    }));
    await assert.rejects(latestOf(source()), { code: 'LIST_TOO_LONG', message: /UPDATE_TAG/ });
    assert.equal(front.requests.length, 30);
    const tags = Array.from({ length: 20_001 }, (_, n) => `v${n}`);
    answering(/\/tags\/list/, {
      status: 200,
      headers: { link: '<?last=x>; rel="next"' },
      body: JSON.stringify({ tags }),
    });
    await assert.rejects(source().list(0, signal(), 30), { code: 'LIST_TOO_LONG' });
    assert.equal(front.requests.length, 31);
    // One page of them, and none after it.
    for (const count of [20_001, 400_000]) {
      const body = JSON.stringify({ tags: Array.from({ length: count }, () => 'v1') });
      answering(/\/tags\/list/, { status: 200, body });
      await assert.rejects(latestOf(source()), {
        code: 'LIST_TOO_LONG',
        message: /has more than 20000 tags/,
      });
    }
  });

  it('that stand for referrers, or are none, are no releases', async () => {
    const tags = [`sha256-${'a'.repeat(64)}`, `sha256-${'a'.repeat(64)}.sig`, '../x', 'v1 0', 'v1'];
    answering(/\/tags\/list/, { status: 200, body: JSON.stringify({ tags }) });
    const { releases } = await source({ newestFirst: () => [] }).list(0, signal(), 3);
    assert.deepEqual(
      releases.map(({ tag }) => tag),
      ['v1'],
    );
  });
});

describe('a release in a registry', () => {
  beforeEach(() => registry.publish('v1.0.0', FILES));
  const title = 'org.opencontainers.image.title';
  const refused: Record<string, [manifest: unknown, code: string, advice: RegExp]> = {
    'a container image': [
      { schemaVersion: 2, layers: [{ mediaType: 'x', digest: digestOf(BYTES), size: 10 }] },
      'IMAGE_NOT_FILES',
      /container image.*oras push/,
    ],
    'an image of several platforms': [
      { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [] },
      'IMAGE_NOT_FILES',
      /container image/,
    ],
    'an image index that has files as well': [
      { schemaVersion: 2, manifests: [], layers: [layer('app')] },
      'IMAGE_NOT_FILES',
      /container image/,
    ],
    'one name twice': [
      { schemaVersion: 2, layers: [layer('app'), layer('dist/app')] },
      'ANSWER_MALFORMED',
      /two files that are called app/,
    ],
    'another digest than sha256': [
      { schemaVersion: 2, layers: [layer('app', `sha512:${'a'.repeat(128)}`)] },
      'DIGEST_UNSUPPORTED',
      /only sha256/,
    ],
    'a digest that is a path': [
      { schemaVersion: 2, layers: [layer('app', 'sha256:../../../x')] },
      'DIGEST_UNSUPPORTED',
      /only sha256/,
    ],
    'the first version of manifests': [{ schemaVersion: 1 }, 'ANSWER_MALFORMED', /schemaVersion/],
  };
  for (const name of ['../app', 'a/../app', '/etc/app', 'a\\app', 'dist/', '.', '', 'a\u001b[31m'])
    refused[`a file that is called ${JSON.stringify(name)}`] = [
      {
        schemaVersion: 2,
        layers: [layer('app'), { ...layer(''), annotations: { [title]: name } }],
      },
      'ANSWER_MALFORMED',
      /plain name/,
    ];
  for (const [name, [manifest, code, message]] of Object.entries(refused))
    it(`is refused for ${name}`, async () => {
      claiming(manifest);
      await assert.rejects(latestOf(source()), { code, message });
    });

  it('with an odd time of publication has none', async () => {
    const annotations = { 'org.opencontainers.image.created': 'yesterday' };
    claiming({ schemaVersion: 2, layers: [layer('app')], annotations });
    assert.equal((await latestOf(source()))?.publishedAt, null);
  });

  it('is refused where the bytes of its manifest have another digest', async () => {
    answering(/^GET .*\/manifests\//, { status: 200, body: '{"schemaVersion":2,"layers":[]}' });
    await assert.rejects(latestOf(source()), { code: 'DIGEST_MISMATCH' });
    // Also where only this answer names one.
    const told = { 'docker-content-digest': digestOf(BYTES) };
    front.wrong = ({ method, path: asked }) => {
      if (!asked.includes('/manifests/')) return null;
      if (method === 'HEAD') return { status: 405 };
      return { status: 200, headers: told, body: '{"schemaVersion":2}' };
    };
    await assert.rejects(latestOf(source()), { code: 'DIGEST_MISMATCH' });
  });

  it('is read anew where what was kept of it was damaged', async () => {
    await latestOf(source());
    for (const [key, entry] of kept) kept.set(key, { ...entry, body: '{"schemaVersion":2}' });
    assert.equal((await latestOf(source()))?.assets.length, 2);
  });

  it('that is older and broken is passed over, and one that is newest is told', async () => {
    await registry.push('v0.9.0', { layers: [{ bytes: BYTES }] });
    const all = () => source({ suffices: () => false }).list(0, signal(), 30);
    assert.deepEqual(
      (await all()).releases.map(({ tag }) => tag),
      ['v1.0.0'],
    );
    assert.match(passedOver.join(), /v0\.9\.0 is a container image.*\[IMAGE_NOT_FILES\]/);
    await registry.push('v1.1.0', { layers: [{ bytes: BYTES }] });
    await assert.rejects(all(), { code: 'IMAGE_NOT_FILES' });
  });

  it('that is listed and not there is told, unless it is an older one', async () => {
    await registry.publish('v1.1.0', FILES);
    const list = () => source({ suffices: () => false }).list(0, signal(), 30);
    answering(/^HEAD .*v1\.0\.0/, { status: 404 });
    assert.equal((await list()).releases.length, 1);
    assert.match(passedOver.join(), /v1\.0\.0 is listed.*\[MANIFEST_MISSING\]/);
    answering(/^HEAD .*v1\.1\.0/, { status: 404 });
    assert.equal(await latestOf(source()), null);
    await assert.rejects(list(), { code: 'MANIFEST_MISSING' });
  });
});

describe('a server in the place of a registry', () => {
  const cases: Record<string, [answer: Wrong, code: string]> = {
    'asks for a pause': [{ status: 429, headers: { 'retry-after': '120' } }, 'RATE_LIMITED'],
    refuses: [{ status: 403 }, 'ACCESS_REFUSED'],
    'refuses without saying how to be authorized': [{ status: 401 }, 'ACCESS_REFUSED'],
    fails: [{ status: 502 }, 'SERVER_FAILED'],
    'sends a page': [{ status: 200, body: '<html>' }, 'ANSWER_MALFORMED'],
    'sends something else': [{ status: 200, body: '{"tags":[1]}' }, 'ANSWER_MALFORMED'],
    'sends no end': [{ status: 200, body: ' '.repeat(5_000_000) }, 'ANSWER_TOO_LARGE'],
    'sends elsewhere': [
      { status: 302, headers: { location: 'http://localhost/v2/' } },
      'REDIRECT_REFUSED',
    ],
  };
  for (const [title, [answer, code]] of Object.entries(cases))
    it(`that ${title} is told as that`, async () => {
      answering(/./, answer);
      await assert.rejects(latestOf(source({ assetHosts: ['127.0.0.1', 'localhost'] })), { code });
    });

  it('that asks for a pause, to HEAD or to a download as well, is given it', async () => {
    await registry.publish('v1.0.0', FILES);
    const asset = (await latestOf(source()))?.assets[0];
    assert.ok(asset);
    answering(/^HEAD|\/blobs\//, { status: 429, headers: { 'retry-after': '120' } });
    const limited = (error: unknown) => {
      assert.ok(error instanceof RateLimited);
      assert.equal(error.untilMs, NOW + 120_000);
      return true;
    };
    await assert.rejects(latestOf(source()), limited);
    await assert.rejects(source().fetch(asset, {}, signal(), { decompress: false }), limited);
  });

  it('that sends a manifest of 5 MB is cut off', async () => {
    await registry.publish('v1.0.0', FILES);
    const body = Buffer.alloc(5_000_000, ' ');
    answering(/^GET .*\/manifests\//, { status: 200, body });
    await assert.rejects(latestOf(source()), { code: 'ANSWER_TOO_LARGE' });
  });
});

describe('bundles in a registry', () => {
  const sha256 = digestOf(BYTES).slice('sha256:'.length);
  const bundle = { mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json' };

  it('are found by the manifest that names the bytes, also in another process', async () => {
    const manifest = await registry.publish('v1.0.0', FILES);
    await registry.attach(manifest, bundle);
    await latestOf(source());
    assert.deepEqual(await source().attestations(sha256, signal()), [bundle]);
    assert.deepEqual(await source().attestations('0'.repeat(64), signal()), []);
    const files = Object.entries(FILES).map(([name, bytes]) => ({
      sha256: digestOf(bytes).slice('sha256:'.length),
      name,
    }));
    assert.deepEqual(source().manifestsNaming(sha256), [
      { sha256: manifest.slice('sha256:'.length), name: NAME, files },
    ]);
    assert.deepEqual(source().manifestsNaming('0'.repeat(64)), []);
  });

  it('of the release that was read last are found behind many older ones of the same bytes', async () => {
    const oci = source();
    const type = bundle.mediaType;
    for (const version of [1, 2, 3, 4, 5, 6]) {
      const subject = await registry.publish(`v${version}.0.0`, FILES, { version: `${version}` });
      // Provenance, and what it is made of.
      const layers = ['provenance', 'sbom'].map((kind) => ({
        bytes: Buffer.from(JSON.stringify({ kind, version })),
        mediaType: type,
      }));
      const digest = await registry.push('digest', { layers, subject, artifactType: type });
      const manifests = [{ mediaType: MANIFEST_TYPE, digest, size: 2, artifactType: type }];
      const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests };
      await registry.pushManifest(subject.replace(':', '-'), JSON.stringify(index), INDEX_TYPE);
      await latestOf(oci);
    }
    assert.deepEqual((await oci.attestations(sha256, signal())).slice(0, 2), [
      { kind: 'provenance', version: 6 },
      { kind: 'sbom', version: 6 },
    ]);
  });

  it('vouch for what a release could have, and for nothing in an index or without a plain name', async () => {
    const unpack = { 'io.deis.oras.content.unpack': 'true' };
    for (const wrong of [
      { layers: [layer('app')], manifests: [] },
      { layers: [layer('../app')] },
      { layers: [{ ...layer(''), annotations: unpack }] },
    ]) {
      claiming({ schemaVersion: 2, mediaType: MANIFEST_TYPE, ...wrong });
      const oci = source();
      await oci.tagged('v1.0.0', 0, signal()).catch(() => null);
      assert.deepEqual(oci.manifestsNaming(sha256), []);
    }
  });

  it('are found in one process where nothing is kept', async () => {
    await registry.attach(await registry.publish('v1.0.0', FILES), bundle);
    const oci = source({ cache: { read: () => null, write: () => {} } });
    await latestOf(oci);
    assert.deepEqual(await oci.attestations(sha256, signal()), [bundle]);
  });

  it('are found by the bytes themselves', async () => {
    await registry.publish('v1.0.0', FILES);
    await registry.attach(digestOf(BYTES), bundle);
    assert.deepEqual(await source().attestations(sha256, signal()), [bundle]);
  });

  it('are listed by the API for it, where a registry has one', async () => {
    const manifest = await registry.publish('v1.0.0', FILES);
    await registry.attach(manifest, bundle);
    const tag = `${front.target}/v2/${NAME}/manifests/${manifest.replace(':', '-')}`;
    const body = await (await fetch(tag, { headers: { accept: INDEX_TYPE } })).text();
    answering(/\/referrers\//, { status: 200, body });
    await latestOf(source());
    front.requests.length = 0;
    assert.deepEqual(await source().attestations(sha256, signal()), [bundle, bundle]);
    assert.equal(
      front.asked[0],
      `GET /v2/${NAME}/referrers/${manifest}?artifactType=${encodeURIComponent(bundle.mediaType)}`,
    );
    assert.ok(!front.asked.some((asked) => asked.includes('/manifests/sha256-')));
  });

  it('are found in a registry that has the API for it', async () => {
    await using withApi = await TestRegistry.start({ hasReferrers: true });
    const { front } = withApi;
    await withApi.attach(await withApi.publish('v1.0.0', FILES), bundle);
    const oci = sourceFor(front.url);
    await latestOf(oci);
    assert.deepEqual(await oci.attestations(sha256, signal()), [bundle]);
    assert.deepEqual(await oci.attestations('0'.repeat(64), signal()), []);
    assert.ok(!front.asked.some((asked) => asked.includes('/manifests/sha256-')));
  });

  it('are read from what oras attached', async () => {
    await registry.pushBlob(Buffer.from(`${JSON.stringify(bundle)}\n`));
    for (const text of ['hello\n', 'sums\n', '{}']) await registry.pushBlob(Buffer.from(text));
    const files = await registry.pushManifest('v1.2.3', fixture('files'), MANIFEST_TYPE);
    await registry.pushManifest('digest', fixture('attached'), MANIFEST_TYPE);
    await registry.pushManifest(files.replace(':', '-'), fixture('referrers'), INDEX_TYPE);
    const asset = (await latestOf(source()))?.assets[0];
    assert.deepEqual(await source().attestations(asset?.digest ?? '', signal()), [bundle]);
  });

  it('of other kinds are passed over, and what is no JSON is handed on', async () => {
    const subject = await registry.publish('v1.0.0', FILES);
    const other = await registry.push('digest', { layers: [{ bytes: BYTES, mediaType: 'x' }] });
    const odd = Buffer.from('no bundle');
    const layers = [{ bytes: odd, mediaType: bundle.mediaType }];
    const broken = await registry.push('digest', { layers, subject });
    const manifests = [
      { digest: other, artifactType: 'application/spdx+json' },
      { digest: other, artifactType: bundle.mediaType },
      { digest: 'sha256:../../x', artifactType: bundle.mediaType },
      { digest: broken },
    ];
    answering(/\/referrers\//, { status: 200, body: JSON.stringify({ manifests }) });
    assert.deepEqual(await source().attestations(sha256, signal()), ['no bundle']);
    assert.ok(!front.asked.some((asked) => asked.endsWith('/x')), front.asked.join());
  });

  it('without an end are cut off', async () => {
    const subject = await registry.publish('v1.0.0', FILES);
    const layers = Array.from({ length: 20 }, (_, n) => ({
      bytes: Buffer.from(`{"n":${n}}`),
      mediaType: bundle.mediaType,
    }));
    const digest = await registry.push('digest', { layers, subject });
    answering(/\/referrers\//, { status: 200, body: JSON.stringify({ manifests: [{ digest }] }) });
    assert.equal((await source().attestations(sha256, signal())).length, 10);
    const large = { bytes: Buffer.alloc(1024 * 1024 + 1, ' '), mediaType: bundle.mediaType };
    const manifests = [{ digest: await registry.push('digest', { layers: [large], subject }) }];
    answering(/\/referrers\//, { status: 200, body: JSON.stringify({ manifests }) });
    await assert.rejects(source().attestations(sha256, signal()), { code: 'ANSWER_TOO_LARGE' });
  });

  it('have a limit for all of them together, however many are listed', async () => {
    const deps = {
      manifests: {
        naming: () => [{ sha256, name: NAME, files: [] }],
        manifest: () => assert.fail('nothing was listed'),
      },
      repositoryUrl: `https://ghcr.io/v2/${NAME}`,
      ask: async (asked: { signal: AbortSignal }): Promise<never> => {
        if (!asked.signal.aborted) await once(asked.signal, 'abort');
        throw asked.signal.reason;
      },
      fetch: () => assert.fail('nothing was listed'),
      allWithinMs: 1,
    };
    await assert.rejects(bundlesOf(sha256, signal(), deps), {
      code: 'NETWORK_FAILED',
      message: /^ghcr\.io can't be reached: its response did not end within/,
    });
    const stopped = AbortSignal.abort(new Error('stopped'));
    await assert.rejects(bundlesOf(sha256, stopped, deps), { message: 'stopped' });
  });
});

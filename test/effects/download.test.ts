import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  type DownloadDependencies,
  deadlineOf,
  download,
  partFile,
} from '../../src/effects/download.ts';
import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import { verify } from '../../src/effects/verify.ts';
import type { Release } from '../../src/machines/model.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { release as aRelease } from '../support/machine.ts';

const BYTES = Buffer.from('0123456789'.repeat(30_000));
const SHA = createHash('sha256').update(BYTES).digest('hex');
let github: FakeGitHub;
let source: GitHub;
let root: string;
let deps: DownloadDependencies;
let release: Release;
const progress: number[] = [];

beforeEach(async () => {
  github = await new FakeGitHub({ token: 'secret' }).listen();
  root = mkdtempSync(path.join(os.tmpdir(), 'download-'));
  const [asset] = github.publish('v1.0.0', { 'app.tar.gz': BYTES }).assets;
  const url = `${github.url}/repos/acme/app/releases/assets/${asset?.id}`;
  release = aRelease('1.0.0', {
    asset: {
      id: asset?.id ?? 0,
      name: 'app.tar.gz',
      url,
      browserUrl: '',
      sizeBytes: BYTES.length,
      digest: SHA,
    },
  });
  const http = new Http({
    userAgent: 'test',
    apiUrl: github.url,
    assetHosts: ['127.0.0.1', 'localhost'],
    mayBePlain: () => true,
    token: () => 'secret',
    proxyEnvironment: {},
  });
  const places = {
    root,
    bakedDir: path.join(root, 'baked'),
    repository: 'acme/app',
    versioning: 'semver',
    tagPrefix: '',
  } as const;
  progress.length = 0;
  source = new GitHub({
    http,
    repository: 'acme/app',
    cache: { read: () => null, write: () => {} },
    now: Date.now,
  });
  deps = {
    source,
    places,
    maxAssetBytes: 1e9,
    stallWindowMs: 300,
    sealed: new Map(),
    onProgress: (received) => progress.push(received),
    warn: assert.fail,
  };
});
afterEach(async () => {
  await github.close();
  rmSync(root, { recursive: true });
});

/** What `verify` needs besides; the digest is all that is asked for. */
function trusting() {
  return {
    source,
    trust: {
      conditions: ['digest' as const],
      minisignKeys: [],
      minisignBinding: 'version' as const,
      attestation: null,
    },
  };
}

const get = () => download({ release }, AbortSignal.timeout(20_000), deps);
const code = (expected: string) => (error: Error) =>
  (error as { code?: string }).code === expected ||
  assert.fail(`${(error as { code?: string }).code}: ${error.message}`);
const part = () => partFile(deps.places, release);
const storage = () => github.requests.filter((request) => request.path.startsWith('/storage/'));

function begun(bytes: Buffer): void {
  mkdirSync(path.dirname(part()), { recursive: true });
  writeFileSync(part(), bytes);
}

describe('a download', () => {
  it('arrives whole, with its digest and with progress', async () => {
    const fact = await get();
    assert.deepEqual(fact, {
      type: 'downloaded',
      path: part(),
      sizeBytes: BYTES.length,
      sha256: SHA,
    });
    assert.deepEqual(readFileSync(part()), BYTES);
    assert.equal(progress.at(-1), BYTES.length);
  });

  it('sends the token to the API and never to the storage behind the redirect', async () => {
    await get();
    assert.equal(github.requests[0]?.headers.authorization, 'Bearer secret');
    assert.equal(storage()[0]?.headers.authorization, undefined);
  });

  it('comes from the public address where others behind this one have used the quota up', async () => {
    github.rateLimit = { remaining: 0, resetAt: Date.now() + 60_000 };
    const { asset } = release;
    const browserUrl = `${github.url}/acme/app/releases/download/v1.0.0/${asset.name}`;
    release = { ...release, asset: { ...asset, browserUrl } };
    assert.equal((await get()).type, 'downloaded');
    assert.deepEqual(readFileSync(part()), BYTES);
    const { headers } = github.requests.find(({ path }) => path.includes('/download/')) ?? {};
    assert.equal(headers?.accept, 'application/octet-stream');
  });

  it('waits for the limit where there is no such address, or a host that is not listed', async () => {
    github.rateLimit = { remaining: 0, resetAt: Date.now() + 60_000 };
    await assert.rejects(get(), code('RATE_LIMITED'));
    const elsewhere = { ...release.asset, browserUrl: 'https://elsewhere.example/app.tar.gz' };
    release = { ...release, asset: elsewhere };
    await assert.rejects(get(), code('RATE_LIMITED'));
    assert.ok(github.requests.every(({ path }) => path.includes('/releases/assets/')));
  });

  it('goes on where an earlier one ended', async () => {
    github.misbehave = { throttle: 1_000_000, cutAfterBytes: 150_000 };
    await assert.rejects(get(), code('DOWNLOAD_CUT'));
    github.misbehave = {};
    await get();
    assert.match(storage()[1]?.headers.range ?? '', /^bytes=[1-9]\d*-$/);
    assert.deepEqual(readFileSync(part()), BYTES);
  });

  it('begins anew where the server ignores Range', async () => {
    begun(Buffer.from('wrong bytes'));
    github.misbehave = { ignoreRange: true };
    await get();
    assert.deepEqual(readFileSync(part()), BYTES);
  });

  it('does not ask again for what is there', async () => {
    begun(BYTES);
    await get();
    assert.equal(github.requests.length, 0);
  });

  for (const [title, left] of [
    ['in its beginning', Buffer.alloc(100_000)],
    ['in the whole of it', Buffer.alloc(BYTES.length)],
  ] as const)
    it(`begins anew, at once, where a power cut left holes ${title}`, async () => {
      begun(left);
      const fact = await get();
      assert.ok(fact.type === 'downloaded' && fact.sha256 === SHA);
      assert.deepEqual(readFileSync(part()), BYTES);
      assert.equal(storage().at(-1)?.headers.range, undefined);
    });

  it('begins anew over a part that is too long', async () => {
    begun(Buffer.concat([BYTES, BYTES]));
    await get();
    assert.deepEqual(readFileSync(part()), BYTES);
  });

  it('ends when nothing comes any more', async () => {
    github.misbehave = { stallAfterBytes: 1000 };
    await assert.rejects(get(), code('DOWNLOAD_STALLED'));
  });

  it('of 1 GiB holds an app that was stopped for it no longer than two and a half hours, however steadily it trickles', () => {
    assert.equal(Math.round(deadlineOf(1024 ** 3) / 60_000), 150);
    assert.equal(Math.round(deadlineOf(50_000_000) / 60_000), 17);
  });

  it('ends when bytes come too slowly to be meant', async () => {
    github.misbehave = { throttle: 20 };
    await assert.rejects(get(), code('DOWNLOAD_STALLED'));
  });

  it('takes no more than was announced', async () => {
    github.misbehave = { lie: Buffer.alloc(BYTES.length + 5_000_000) };
    await assert.rejects(get(), code('LENGTH_MISMATCH'));
  });

  it('refuses what is announced beyond the bound, before it asks', async () => {
    deps = { ...deps, maxAssetBytes: 10 };
    await assert.rejects(get(), code('ASSET_TOO_LARGE'));
    assert.equal(github.requests.length, 0);
  });

  it('does not begin with an answer of another length, which a next try would go on from', async () => {
    github.misbehave = { lie: Buffer.from('<html>Sign in to the Wi-Fi</html>') };
    await assert.rejects(get(), code('LENGTH_MISMATCH'));
    assert.ok(!existsSync(part()));
    github.misbehave = {};
    assert.equal((await get()).type, 'downloaded');
  });

  it('takes no more than was announced from a server that does not say how much comes', async () => {
    let ended = false;
    github.misbehave = {
      takeOver: {
        path: /^\/storage\//,
        send: (socket) => {
          socket.on('close', () => {
            ended = true;
          });
          socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
          const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
          const more = () => {
            while (!ended && socket.write(chunk));
            if (!ended) socket.once('drain', more);
          };
          more();
        },
      },
    };
    await assert.rejects(get(), code('LENGTH_MISMATCH'));
    assert.ok(!existsSync(part()), 'none of it is of the asset');
  });

  it('does not follow a redirect to plain http elsewhere, to another scheme, or to a host that is not listed', async () => {
    for (const redirectTo of [
      'https://evil.example/x',
      'file:///etc/passwd',
      'ftp://localhost/x',
    ]) {
      github.misbehave = { redirectTo };
      await assert.rejects(get(), code('REDIRECT_REFUSED'));
    }
  });
});

describe('verification', () => {
  it('discards a part whose digest is wrong, so that the next try begins anew', async () => {
    release = { ...release, asset: { ...release.asset, digest: 'f'.repeat(64) } };
    const fact = await get();
    assert.ok(fact.type === 'downloaded');
    const input = { release, path: fact.path, sha256: fact.sha256, repositoryId: null };
    await assert.rejects(
      verify(input, AbortSignal.timeout(100_000), { ...trusting(), sealed: deps.sealed }),
      code('DIGEST_MISMATCH'),
    );
    assert.ok(!existsSync(part()));
  });

  it('takes the word of no earlier process for what is in the file', async () => {
    const fact = await get();
    assert.ok(fact.type === 'downloaded');
    const input = { release, path: fact.path, sha256: fact.sha256, repositoryId: null };
    const later = { ...trusting(), sealed: new Map<string, string>() };
    assert.equal((await verify(input, AbortSignal.timeout(100_000), later)).type, 'verified');
    // As a power cut leaves it.
    writeFileSync(fact.path, Buffer.alloc(BYTES.length));
    later.sealed.clear();
    await assert.rejects(verify(input, AbortSignal.timeout(100_000), later), code('DOWNLOAD_LOST'));
    assert.ok(!existsSync(fact.path));
  });
});

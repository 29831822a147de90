/** `verify`: what is asked for has to hold, and what is known of the repository. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import { type TrustOptions, type VerifyDependencies, verify } from '../../src/effects/verify.ts';
import type { Release } from '../../src/machines/model.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { release as aRelease } from '../support/machine.ts';
import { FakeMinisign } from '../support/minisign.ts';

const BYTES = Buffer.from('the bytes of a release');
const SHA = createHash('sha256').update(BYTES).digest('hex');
const OTHER = 'f'.repeat(64);
let github: FakeGitHub;
let root: string;
let file: string;

beforeEach(async () => {
  github = await new FakeGitHub({ token: 'secret' }).listen();
  root = mkdtempSync(path.join(os.tmpdir(), 'verify-'));
  file = path.join(root, 'app.part');
  writeFileSync(file, BYTES);
});
afterEach(async () => {
  await github.close();
  rmSync(root, { recursive: true });
});

function dependencies(trust: Partial<TrustOptions> = {}): VerifyDependencies {
  const http = new Http({
    userAgent: 'test',
    apiUrl: github.url,
    assetHosts: ['127.0.0.1', 'localhost'],
    mayBePlain: () => true,
    token: () => 'secret',
    proxyEnvironment: {},
  });
  const client = new GitHub({
    http,
    repository: 'acme/app',
    cache: { read: () => null, write: () => {} },
    now: Date.now,
  });
  return {
    source: client,
    trust: {
      conditions: ['digest'],
      minisignKeys: [],
      minisignBinding: 'version',
      attestation: null,
      ...trust,
    },
    sealed: new Map(),
  };
}

/** A release of those bytes, with what else is published beside them. */
function published(digest: string | null = SHA, others: Record<string, Buffer> = {}): Release {
  const { assets } = github.publish('v1.0.0', { 'app.tar.gz': BYTES, ...others });
  const urlOf = (name: string) =>
    `${github.url}/repos/acme/app/releases/assets/${assets.find((asset) => asset.name === name)?.id}`;
  const asset = {
    id: 1,
    name: 'app.tar.gz',
    url: urlOf('app.tar.gz'),
    browserUrl: '',
    sizeBytes: BYTES.length,
    digest,
  };
  const beside = (name: string) => ({ ...asset, name, url: urlOf(name), digest: null });
  const signatures =
    'app.tar.gz.minisig' in others
      ? [{ kind: 'minisign' as const, over: 'asset' as const, asset: beside('app.tar.gz.minisig') }]
      : [];
  return aRelease('1.0.0', {
    asset,
    checksums: 'checksums.txt' in others ? beside('checksums.txt') : null,
    signatures,
  });
}

const verified = (
  release: Release,
  {
    trust = {},
    repositoryId = null,
  }: { trust?: Partial<TrustOptions>; repositoryId?: number | null } = {},
) =>
  verify(
    { release, path: file, sha256: SHA, repositoryId },
    AbortSignal.timeout(60_000),
    dependencies(trust),
  );

describe('downloaded bytes', () => {
  it("hold by GitHub's digest, and by a list of sums where that is there", async () => {
    assert.deepEqual(await verified(published()), {
      type: 'verified',
      checks: ['digest'],
      repositoryId: 4711,
      urgent: false,
    });
    const sums = Buffer.from(`${SHA}  app.tar.gz\n`);
    assert.deepEqual(
      ((await verified(published(null, { 'checksums.txt': sums }))) as { checks: string[] }).checks,
      ['checksums'],
    );
  });

  it('are refused without any digest, and with a wrong one', async () => {
    await assert.rejects(verified(published(null)), { code: 'DIGEST_MISSING' });
    await assert.rejects(verified(published(OTHER)), { code: 'DIGEST_MISMATCH' });
  });

  it('that are wrong are fetched anew, unless GitHub itself says that they are right', async () => {
    await assert.rejects(verified(published(OTHER)), { code: 'DIGEST_MISMATCH' });
    assert.equal(existsSync(file), false);
    writeFileSync(file, BYTES);
    const minisign = {
      conditions: ['digest' as const, 'minisign' as const],
      minisignKeys: [new FakeMinisign().key],
    };
    await assert.rejects(verified(published(), { trust: minisign }), { code: 'SIGNATURE_MISSING' });
    assert.equal(existsSync(file), true, 'to fetch them again would give the same');
  });

  it('that changed since they were downloaded are refused whatever is asked for', async () => {
    const release = published();
    writeFileSync(file, 'others');
    for (const conditions of [['digest' as const], []])
      await assert.rejects(verified(release, { trust: { conditions } }), { code: 'DOWNLOAD_LOST' });
  });

  it('are let through where nothing is checked, and that is said', async () => {
    const asked = github.requests.length;
    assert.deepEqual(await verified(published(OTHER), { trust: { conditions: [] } }), {
      type: 'verified',
      checks: [],
    });
    assert.equal(github.requests.length, asked);
  });

  it('hold by a signature of the key that is trusted, and no other', async () => {
    const [ours, theirs] = [new FakeMinisign(), new FakeMinisign()];
    const signature = Buffer.from(ours.sign(BYTES, 'timestamp:1\tfile:app.tar.gz\tversion:1.0.0'));
    const release = published(SHA, { 'app.tar.gz.minisig': signature });
    const trust = (key: FakeMinisign) => ({
      conditions: ['minisign' as const],
      minisignKeys: [key.key],
    });
    assert.ok(
      ((await verified(release, { trust: trust(ours) })) as { checks: string[] }).checks.includes(
        'minisign',
      ),
    );
    await assert.rejects(verified(release, { trust: trust(theirs) }), {
      code: 'SIGNATURE_INVALID',
    });
  });
});

describe('a file that the operator named', () => {
  const local = () => ({ ...published(), origin: 'file' as const });

  it('holds as it was when it was named', async () => {
    assert.deepEqual(await verified(local(), { trust: { conditions: [] } }), {
      type: 'verified',
      checks: ['file'],
    });
    const changed = local();
    await assert.rejects(verified({ ...changed, asset: { ...changed.asset, digest: OTHER } }), {
      code: 'DIGEST_MISMATCH',
      message: /name it again/,
    });
  });
});

describe('a repository', () => {
  it('with another number than before is refused', async () => {
    assert.equal(
      ((await verified(published(), { repositoryId: 4711 })) as { type: string }).type,
      'verified',
    );
    await assert.rejects(verified(published(), { repositoryId: 1 }), {
      code: 'REPOSITORY_REPLACED',
      message: /its id was 1 and is 4711/,
    });
  });

  it('that is now followed where there are no numbers is taken, and tells none', async () => {
    const { source, ...rest } = dependencies();
    const elsewhere: VerifyDependencies = {
      ...rest,
      source: {
        repositoryId: null,
        fetch: (...asked) => source.fetch(...asked),
        attestations: async () => [],
      },
    };
    const input = { release: published(), path: file, sha256: SHA, repositoryId: 4711 };
    const fact = await verify(input, AbortSignal.timeout(60_000), elsewhere);
    assert.equal(fact.type === 'verified' && fact.repositoryId, null);
  });

  it("that can't be asked stays a question where a number is known, and is passed over at first", async () => {
    const [first, second] = [published(), published()];
    github.misbehave = { api: { status: 500 } };
    await assert.rejects(verified(first, { repositoryId: 4711 }));
    const fact = await verified(second);
    assert.equal(fact.type === 'verified' && fact.repositoryId, null);
  });
});

/**
 * The Update Framework's attacks (https://theupdateframework.io/docs/security/), each named,
 * against the product as users run it.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import type { FakeGitHub } from '../support/github/server.ts';
import { bomb, tar } from '../support/hostile.ts';
import { ask } from '../support/prober.ts';
import { Product } from '../support/product.ts';

const APP = 'app.tar.gz';

/** v0.0.1 runs, and nothing happens by itself. */
async function running(env: Record<string, string> = {}): Promise<Product> {
  const product = await Product.create({
    env: { SLEEP: '3600', UPDATE_STRATEGY: 'download-then-kill', ...env },
  });
  await publish(product, '0.0.1');
  product.start();
  await product.fact('versionBecameHealthy');
  return product;
}

async function publish(
  product: Product,
  version: string,
  options: Parameters<FakeGitHub['publish']>[2] = {},
) {
  return product.github.publish(
    `v${version}`,
    { [APP]: await appArchive({ version, port: product.port }) },
    options,
  );
}

/**
 * Asks for an update, which must not be made: the app is untouched, and the reason has this code.
 */
async function refused(
  product: Product,
  code: string | RegExp | null,
  version = '0.0.1',
): Promise<void> {
  const { stderr } = await product.command(['update']);
  const status = await product.status();
  assert.equal(status.version, version, stderr);
  assert.equal(await ask(product.port), version);
  if (code === null) assert.equal(status.lastError, null);
  else assert.match(status.lastError?.code ?? 'no error', new RegExp(code));
  assert.ok(
    !(await product.events()).some(({ type }) => type === 'appStopped'),
    'the app was touched',
  );
}

describe('the attack', { concurrency: 2 }, () => {
  it('arbitrary installation: bytes without a valid signature, and bytes that are others than those', async () => {
    await using product = await running();
    await publish(product, '0.0.2', { digests: false });
    await refused(product, 'DIGEST_MISSING');
    await publish(product, '0.0.3');
    product.github.misbehave = { lie: await appArchive({ version: '6.6.6', port: product.port }) };
    await refused(product, /DIGEST_MISMATCH|LENGTH_MISMATCH/);
  });

  it('wrong software: an asset for another machine, or of a repository that took over the name', async () => {
    await using product = await running();
    product.github.publish('v0.0.2', {
      'app_0.0.2_plan9_mips.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
    });
    await refused(product, 'ASSET_MISSING');
    await publish(product, '0.0.3');
    assert.equal((await product.command(['update'])).exitCode, 0);
    product.github.repositoryId = 1;
    await publish(product, '0.0.4');
    await product.command(['update']);
    assert.deepEqual(
      [await ask(product.port), (await product.status()).lastError?.code],
      ['0.0.3', 'REPOSITORY_REPLACED'],
    );
  });

  it('rollback: an older release becomes the latest, also after a restart and the loss of the journal', async () => {
    await using product = await running();
    await publish(product, '0.0.2');
    assert.equal((await product.command(['update'])).exitCode, 0);
    product.github.latestTag = 'v0.0.1';
    await product.command(['update']);
    assert.equal(await ask(product.port), '0.0.2');
    await product.killUpdater();
    product.start();
    await product.command(['update']);
    assert.equal(await ask(product.port), '0.0.2');
    assert.ok(
      !(await product.events()).some(
        (fact) => fact.type === 'switched' && fact.seq > 20 && fact.to.version === '0.0.1',
      ),
    );
  });

  it('freeze: a server that answers for ever what it answered once; the age of what is known is shown', async () => {
    await using product = await running();
    const before = await product.status();
    product.github.misbehave = { api: { status: 304, body: '' } };
    await product.command(['update']);
    const after = await product.status();
    assert.deepEqual([after.version, after.latest], ['0.0.1', '0.0.1']);
    assert.ok((after.lastCheck ?? '') > (before.lastCheck ?? ''));
    product.github.misbehave = { api: { status: 500 } };
    await product.command(['update']);
    assert.equal((await product.status()).lastSuccessfulCheck, after.lastSuccessfulCheck);
    assert.match((await product.command(['status'])).stdout, /last check/);
  });

  it('fast-forward: a version beyond all others is bounded by the range, and denied by the operator', async () => {
    await using product = await running({ UPDATE_RANGE: '<1.0.0' });
    await publish(product, '999999999.0.0');
    await refused(product, null);
    await publish(product, '0.9.0');
    await product.command(['deny', '0.9.0']);
    await refused(product, null);
  });

  it('mix-and-match: the asset is replaced between the answer and its bytes', async () => {
    await using product = await running();
    const published = await publish(product, '0.0.2');
    const [asset] = published.assets;
    const other = await appArchive({ version: '6.6.6', port: product.port });
    if (asset)
      Object.assign(asset, {
        content: Buffer.concat([
          other,
          Buffer.alloc(Math.max(0, asset.content.length - other.length)),
        ]).subarray(0, asset.content.length),
      });
    await refused(product, 'DIGEST_MISMATCH');
  });

  it('endless data: a body that is longer than announced, an asset that is larger than allowed, an answer without an end', async () => {
    await using product = await running({ UPDATE_MAX_ASSET_BYTES: '1000000' });
    await publish(product, '0.0.2');
    product.github.misbehave = { lie: Buffer.alloc(5_000_000) };
    await refused(product, 'LENGTH_MISMATCH');
    product.github.publish('v0.0.3', { [APP]: Buffer.alloc(2_000_000, 'x') });
    await refused(product, 'ASSET_TOO_LARGE');
    product.github.misbehave = {
      lie: Buffer.alloc(5_000_000),
      api: { status: 200, body: `[${'"x",'.repeat(1_000_000)}"x"]` },
    };
    await refused(product, /ANSWER_TOO_LARGE|ASSET_TOO_LARGE/);
  });

  it('slow retrieval: a stall in the middle', { timeout: 60_000 }, async () => {
    await using product = await running();
    product.github.publish('v0.0.2', { [APP]: Buffer.alloc(300_000, 'x') });
    product.github.misbehave = { stallAfterBytes: 1000 };
    await refused(product, /DOWNLOAD_STALLED|NETWORK_FAILED|TOO_SLOW/);
  });

  it('malicious mirror: redirects to other hosts, other protocols, and in circles', async () => {
    await using product = await running();
    await publish(product, '0.0.2');
    for (const redirectTo of [
      'https://evil.example/app.tar.gz',
      'http://evil.example/app.tar.gz',
      'file:///etc/passwd',
      'ftp://localhost/x',
    ]) {
      product.github.misbehave = { redirectTo };
      await refused(product, 'REDIRECT_REFUSED');
    }
    product.github.misbehave = {
      redirectTo: 'ftp://localhost/x',
      api: {
        status: 302,
        body: '',
        headers: { location: `${product.github.url}/repos/acme/app/releases/latest` },
      },
    };
    await refused(product, 'REDIRECT_REFUSED');
  });

  it('decompression bomb: half a megabyte that would be 601 MiB', async () => {
    await using product = await running();
    product.github.publish('v0.0.2', { [APP]: bomb(601 * 1024 * 1024) });
    await refused(product, 'ARCHIVE_TOO_LARGE');
  });

  it('archive escape: a file beside the tree, and one through a link', async () => {
    await using product = await running();
    product.github.publish('v0.0.2', { [APP]: tar({ path: '../../../escaped', body: 'x' }) });
    await refused(product, 'ARCHIVE_(REFUSED|CORRUPT)');
    product.github.publish('v0.0.3', {
      [APP]: tar(
        { path: 'l', type: 'SymbolicLink', linkpath: product.root },
        { path: 'l/escaped', body: 'x' },
      ),
    });
    await refused(product, 'ARCHIVE_(REFUSED|CORRUPT)');
    assert.ok(
      !existsSync(path.join(product.root, 'escaped')) &&
        !existsSync(path.join(product.dir, 'escaped')),
    );
  });

  it('token theft: the token goes to the API and to nobody it redirects to', async () => {
    await using product = await running();
    await publish(product, '0.0.2');
    assert.equal((await product.command(['update'])).exitCode, 0);
    const { requests } = product.github;
    assert.ok(
      requests.some(
        ({ path: asked, headers }) =>
          asked.startsWith('/repos/') && headers.authorization !== undefined,
      ),
    );
    const elsewhere = requests.filter(({ path: asked }) => asked.startsWith('/storage/'));
    assert.ok(
      elsewhere.length > 0 &&
        elsewhere.every(
          ({ headers }) => headers.authorization === undefined && headers.cookie === undefined,
        ),
    );
  });

  it('key compromise: with several conditions one that is met is not enough', async () => {
    await using product = await Product.create();
    const conditions = {
      UPDATE_VERIFY: 'digest,minisign',
      UPDATE_MINISIGN_KEYS: 'RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3',
    };
    Object.assign(product.env, {
      SLEEP: '3600',
      UPDATE_STRATEGY: 'download-then-kill',
      ...conditions,
    });
    await publish(product, '0.0.2');
    product.start();
    await product.fact('appStarted');
    await refused(product, 'SIGNATURE_MISSING');
  });
});

/**
 * Which release is followed, as its operator sees it: what is passed over is told, with the setting
 * that would follow it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';

const ASSET = { UPDATE_ASSET: 'app_*.tar.gz', UPDATE_PROBATION: '0' };

async function publish(
  product: Product,
  tag: string,
  version: string,
  overrides = {},
): Promise<void> {
  product.github.publish(
    tag,
    { [`app_${version}.tar.gz`]: await appArchive({ version, port: product.port }) },
    overrides,
  );
}

/** 0.0.1 runs. */
async function running(): Promise<Product> {
  const product = await Product.create({ env: ASSET });
  await publish(product, 'v0.0.1', '0.0.1');
  assert.equal((await product.command(['run', '--once'])).exitCode, 0);
  return product;
}

describe('a release that the settings pass over', { concurrency: 2 }, () => {
  it('is told by check, update, status and the log, once in the journal, and followed as soon as the advice is', async () => {
    await using product = await running();
    await publish(product, 'release-0.0.2', '0.0.2');
    const check = await product.command(['check']);
    assert.equal(check.exitCode, 1);
    assert.match(
      check.stderr,
      /tag release-0\.0\.2 is not a version under UPDATE_VERSIONING=semver\. UPDATE_TAG_PREFIX=release- would follow it \[TAG_UNREADABLE\]/,
    );
    assert.doesNotMatch(check.stdout + check.stderr, /up to date/);
    for (let i = 0; i < 3; i++) assert.equal((await product.command(['update'])).exitCode, 1);
    const refusals = (await product.events()).filter(({ type }) => type === 'releaseRefused');
    assert.equal(refusals.length, 1);
    const { version, lastError } = await product.status();
    assert.deepEqual([version, lastError?.code], ['0.0.1', 'TAG_UNREADABLE']);
    assert.equal(product.apps().length, 1, 'the app was not touched');

    const advised = { UPDATE_TAG_PREFIX: 'release-' };
    assert.equal((await product.command(['check'], advised)).exitCode, 100);
    assert.equal((await product.command(['update'], advised)).exitCode, 0);
    const after = await product.status();
    assert.deepEqual([after.version, after.lastError], ['0.0.2', null]);
    assert.equal((await product.command(['check'], advised)).exitCode, 0);
  });

  it('is over in status once a check finds nothing to refuse', async () => {
    await using product = await running();
    await publish(product, 'docs-7', '0.0.2');
    assert.equal((await product.command(['update'])).exitCode, 1);
    product.github.releases.shift();
    assert.equal((await product.command(['update'])).exitCode, 0);
    assert.equal((await product.status()).lastError, null);
  });

  it('does not keep a version that came with the image from being started', async () => {
    await using product = await Product.create({ baked: '0.0.1', env: ASSET });
    await publish(product, 'v1.0.0-rc.1', '1.0.0-rc.1', { prerelease: true });
    const { stderr } = await product.command(['run', '--once']);
    assert.match(
      stderr,
      /v1\.0\.0-rc\.1 is a prerelease\. UPDATE_PRERELEASE=on would follow it \[PRERELEASE_ONLY\]/,
    );
    assert.equal((await product.status()).version, '0.0.1');
    assert.equal(product.apps().length, 1);
  });

  it('differs in its build metadata: told once, and installed when it is named', async () => {
    await using product = await Product.create({ env: ASSET });
    await publish(product, 'v1.2.3+5', '1.2.3+5');
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    await publish(product, 'v1.2.3+6', '1.2.3+6');
    const check = await product.command(['check']);
    assert.equal(check.exitCode, 0);
    assert.match(
      check.stdout,
      /v1\.2\.3\+6 is version 1\.2\.3 as v1\.2\.3\+5 is, which runs: build metadata and spelling are not compared/,
    );
    for (let i = 0; i < 2; i++) await product.command(['update']);
    assert.equal((await product.status()).lastError?.code, 'VERSION_EQUAL');
    assert.equal(
      (await product.events()).filter(({ type }) => type === 'releaseFound').length,
      2,
      'the first, and the one that is told',
    );
    assert.equal((await product.command(['install', 'v1.2.3+6'])).exitCode, 0);
    assert.equal((await product.status()).tag, 'v1.2.3+6');
  });

  it('is denied, held back or paused: check does not call that up to date', async () => {
    await using product = await running();
    await publish(product, 'v0.0.2', '0.0.2');
    await product.command(['deny', '0.0.2']);
    assert.match(
      (await product.command(['check'])).stdout,
      /^not up to date: 0\.0\.1\. 0\.0\.2 is available, but is denied \(`self-update retry 0\.0\.2` allows it\)/,
    );
    await product.command(['retry', '0.0.2']);
    await product.command(['pause']);
    assert.match((await product.command(['check'])).stdout, /updates are paused/);
  });
});

/**
 * A version far ahead of all others was published, installed and taken back: what the operator can
 * say against it, with a real app.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';

async function publish(product: Product, version: string): Promise<void> {
  product.github.publish(`v${version}`, {
    'app_linux_amd64.tar.gz': await appArchive({ version, port: product.port }),
  });
}

it('999.0.0, once denied, shuts no later version out (fast-forward)', async () => {
  await using product = await Product.create({ baked: null });
  await publish(product, '1.0.0');
  product.start();
  await product.fact('versionBecameHealthy', ({ version }) => version === '1.0.0');
  await publish(product, '999.0.0');
  assert.equal((await product.command(['update'])).exitCode, 0);
  await product.fact('versionBecameHealthy', ({ version }) => version === '999.0.0');
  product.github.releases.splice(0, 1);
  await publish(product, '1.1.0');
  // As a way back without any word against it: the floor is named, with what ends it.
  assert.equal((await product.command(['install', 'v1.1.0'])).exitCode, 0);
  assert.equal((await product.command(['release'])).exitCode, 0);
  await publish(product, '1.2.0');
  const told = await product.command(['check']);
  assert.match(
    told.stdout,
    /^not up to date: 1\.1\.0\. 1\.2\.0 is available, but is below 999\.0\.0.*`self-update deny 999\.0\.0`/,
  );
  assert.equal((await product.command(['deny', '999.0.0'])).exitCode, 0);
  assert.equal((await product.command(['update'])).exitCode, 0);
  await product.fact('versionBecameHealthy', ({ version }) => version === '1.2.0');
});

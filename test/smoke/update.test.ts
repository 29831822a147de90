/**
 * One real update by each strategy, as an operator sees it: what `npm test` has of the whole
 * product. The rest is `npm run test:product`.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { Product } from '../support/product.ts';

async function publish(product: Product, version: string): Promise<void> {
  product.github.publish(`v${version}`, {
    'app.tar.gz': await appArchive({ version, port: product.port }),
  });
}

/** The baked v0.0.1 runs under a resident updater, and is trusted. */
async function resident(strategy: string): Promise<Product> {
  const product = await Product.create({ env: { UPDATE_STRATEGY: strategy } });
  await publish(product, '0.0.1');
  product.start();
  await product.fact('versionBecameHealthy');
  return product;
}

describe('a resident updater', { concurrency: 2 }, () => {
  for (const strategy of ['kill-then-download', 'download-then-kill']) {
    it(`installs a new release by ${strategy}, tells it, and ends cleanly on TERM`, async () => {
      await using product = await resident(strategy);
      await publish(product, '0.0.2');
      const { exitCode, stderr } = await product.command(['update']);
      assert.equal(exitCode, 0, stderr);
      const status = await product.status();
      assert.equal(status.version, '0.0.2');
      assert.equal(status.tag, 'v0.0.2');
      assert.equal(status.previous, '0.0.1');
      assert.equal(status.updaterRunning, true);
      const history = JSON.parse((await product.command(['history', '--json'])).stdout);
      assert.deepEqual(
        [history[0].from, history[0].to, history[0].outcome],
        ['0.0.1', '0.0.2', 'updated'],
      );
      product.updaters[0]?.kill('SIGTERM');
      const result = await product.updaters[0];
      assert.equal(result?.exitCode, 0);
      assert.equal(product.apps().length, 0);
    });
  }
});

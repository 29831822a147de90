/**
 * UPDATE_STRATEGY=hand-over without a container, and something ends in the middle of it: one version
 * serves afterwards, and the other is gone.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { appArchive } from '../support/app.ts';
import { ask } from '../support/prober.ts';
import { Product } from '../support/product.ts';

/** v0.0.1 runs, and is trusted. */
async function serving(env: Record<string, string> = {}): Promise<Product> {
  const product = await Product.create({
    env: { UPDATE_STRATEGY: 'hand-over', UPDATE_PROBATION: '0', ...env },
  });
  product.env['UPDATE_LISTEN'] = `127.0.0.1:${product.port}`;
  product.start();
  await product.fact('versionBecameHealthy');
  return product;
}

async function publish(product: Product, version: string): Promise<void> {
  product.github.publish(`v${version}`, { 'app.tar.gz': await appArchive({ version }) });
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `not yet: ${what}`);
    await sleep(20);
  }
}

/** One copy runs, of the version that `current` names, and it answers. */
async function serves(product: Product, version: string): Promise<void> {
  await until(`${version} answers`, async () => (await ask(product.port)) === version);
  await until('one copy', () => product.apps().length === 1);
  assert.match(product.apps()[0]?.tree ?? '', new RegExp(`${version}[^/]*$`));
  assert.equal((await product.status()).version, version);
}

describe('an updater that was killed', () => {
  it('leaves the sockets with the app: the next update stops that first, and the one after hands over', async () => {
    await using product = await serving();
    await product.killUpdater();
    await publish(product, '0.0.2');
    product.start(['--now']);
    await product.fact('switchStarted');
    await serves(product, '0.0.2');
    const types = async () => (await product.events()).map(({ type }) => type);
    assert.ok(!(await types()).includes('startedBeside'));
    assert.deepEqual((await product.status()).denied, []);
    await publish(product, '0.0.3');
    assert.equal((await product.command(['update'])).exitCode, 0);
    await serves(product, '0.0.3');
    assert.ok((await types()).includes('startedBeside'));
    const { stdout } = await product.command(['history', '--json']);
    assert.doesNotMatch(stdout, /"failed"|"rolledBack"/);
  });
});

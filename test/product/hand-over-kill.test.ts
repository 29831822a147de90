/**
 * UPDATE_STRATEGY=hand-over without a container, and something ends in the middle of it: one version
 * serves afterwards, and the other is gone.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendSignal } from '../../src/effects/supervisor/process-table.ts';
import { appArchive } from '../support/app.ts';
import { ask } from '../support/prober.ts';
import { Product } from '../support/product.ts';

/** v0.0.1 runs, and is trusted. */
async function serving(env: Record<string, string> = {}, stopMs = 0): Promise<Product> {
  const product = await Product.create({
    stopMs,
    env: { UPDATE_STRATEGY: 'hand-over', UPDATE_PROBATION: '0', ...env },
  });
  product.env['UPDATE_LISTEN'] = `127.0.0.1:${product.port}`;
  product.start();
  await product.fact('versionBecameHealthy');
  return product;
}

/** The log's word for the fact at which each state is entered. */
const ENTERED = {
  'it is being started': /0\.0\.1 → 0\.0\.2/,
  'it proves itself': /is started beside/,
  'current is about to move': /is ready/,
  'the old one is told to stop': /current is now 0\.0\.2/,
  'the old one has stopped': /other copy has stopped/,
} as const;

/** v0.0.2 is out, and its hand-over has come so far. */
async function handingOver(entered: RegExp): Promise<Product> {
  const product = await serving({ UPDATE_PROBATION: '0.5' }, 300);
  await publish(product, '0.0.2');
  product.updaters[0]?.kill('SIGHUP');
  await product.logged(entered);
  return product;
}

/** Ends the copies of a version. */
function end(product: Product, version: string): void {
  for (const { pid, tree } of product.apps())
    if (path.basename(tree).startsWith(version)) sendSignal(pid, 'SIGKILL');
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

/** As `serves`, whichever of the two it is. */
async function converges(product: Product): Promise<void> {
  await until('one copy answers, and is linked', async () => {
    const [app, ...others] = product.apps();
    if (app === undefined || others.length > 0) return false;
    const linked = realpathSync(path.join(product.dir, 'current'));
    const version = /0\.0\.[12]/.exec(path.basename(linked))?.[0];
    return app.tree === linked && (await ask(product.port)) === version;
  });
  // A journal that was lost is begun anew first.
  await until('it replays', async () => (await product.command(['replay'])).exitCode === 0);
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

for (const [moment, entered] of Object.entries(ENTERED)) {
  describe(`in a hand-over, when ${moment},`, { concurrency: 2 }, () => {
    for (const [what, version] of [
      ['the old copy', '0.0.1'],
      ['the new copy', '0.0.2'],
    ] as const)
      it(`kill -9 of ${what}: one copy serves afterwards`, async () => {
        await using product = await handingOver(entered);
        end(product, version);
        await converges(product);
      });

    it('an updater that is told to end takes both copies along, and the next one brings up one', async () => {
      await using product = await handingOver(entered);
      const [updater] = product.updaters;
      if (updater?.pid === undefined) throw new Error('no updater was started');
      const exited = once(updater.nodeChildProcess, 'exit');
      // Not by execa's word, which kills after five seconds.
      process.kill(updater.pid, 'SIGTERM');
      assert.deepEqual(await exited, [0, null]);
      assert.deepEqual(product.apps(), [], product.log.join('\n'));
      product.start();
      await converges(product);
    });

    it('kill -9 of the updater, and the loss of its journal: the next one ends the copy that is not linked', async () => {
      await using product = await handingOver(entered);
      await product.killUpdater();
      for (const file of globSync('state/journal.db*', { cwd: product.dir }))
        rmSync(path.join(product.dir, file));
      product.start();
      await converges(product);
    });
  });
}

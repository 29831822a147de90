/** One directory is one, however it is written: the next updater finds the app of the one before, and no second copy runs. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { markedProcesses } from '../../src/effects/supervisor/process-table.ts';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';

describe('an updater that was killed', () => {
  it('leaves its app to the next one, which is given the same directory in other words', async () => {
    await using product = await Product.create();
    await using prober = new Prober(product.port).start();
    const real = product.dir;
    mkdirSync(real);
    symlinkSync(real, path.join(product.root, 'größe'));
    product.start([], { extraEnv: { UPDATE_DIR: `${product.root}//größe/` } });
    await product.fact('versionBecameHealthy');
    const before = markedProcesses(real).map(({ pid }) => pid);
    assert.equal(before.length, 1);
    await product.killUpdater();
    product.start();
    await product.fact('appStarted');
    const { exitCode, stderr } = await product.command(['status']);
    assert.equal(exitCode, 0, stderr);
    await prober.answers('0.0.1');
    assert.deepEqual(
      markedProcesses(real).map(({ pid }) => pid),
      before,
    );
  });
});

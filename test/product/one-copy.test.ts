/**
 * One directory is one, however it is written: the next updater finds the app of the one before,
 * and no second copy runs.
 */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { markedProcesses } from '../../src/effects/supervisor/process-table.ts';
import { Prober } from '../support/prober.ts';
import { MARKER, Product } from '../support/product.ts';

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

describe('two updaters whose directories begin alike', () => {
  it('and go on after a colon keep to their own apps', async () => {
    await using first = await Product.create();
    await using second = await Product.create();
    second.env['UPDATE_DIR'] = `${first.dir}:two`;
    second.start();
    await second.fact('versionBecameHealthy');
    const theirs = second.apps();
    first.start();
    await first.fact('versionBecameHealthy');
    assert.equal(first.apps().length, 1);
    assert.deepEqual(second.apps(), theirs);
  });

  it('know the app that an earlier version of the updater started, and start no second one', async () => {
    await using product = await Product.create();
    product.env['UPDATE_DIR'] = `${product.dir}:two`;
    const tree = path.join(product.env['UPDATE_BAKED_DIR'] ?? '', '0.0.1');
    const { execa } = await import('execa');
    const app = execa(path.join(tree, 'app'), [], {
      env: { ...product.env, [MARKER]: `${product.dir}:${tree}` },
      extendEnv: false,
      detached: true,
      reject: false,
    });
    product.start();
    await product.logged(/the app runs/);
    assert.deepEqual(product.apps(), [{ pid: app.pid, slot: 'app', tree }]);
  });
});

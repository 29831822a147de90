/** The app runs also when nothing can be recorded, and the updater goes on when it can be again. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { execaSync } from 'execa';
import { appArchive } from '../support/app.ts';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';

const isRoot = process.getuid?.() === 0;

function mounted(): { directory: string; remount: (options: string) => void } & Disposable {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'volume-'));
  execaSync('mount', ['-t', 'tmpfs', 'none', directory]);
  return {
    directory,
    remount: (options) => void execaSync('mount', ['-o', `remount,${options}`, directory]),
    [Symbol.dispose]() {
      execaSync('umount', ['--lazy', directory]);
      rmSync(directory, { recursive: true });
    },
  };
}

describe('a journal that can not be opened', () => {
  it('on a read-only volume: the baked version runs, it is said, and updates begin once the volume is writable (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted();
    volume.remount('ro');
    await using product = await Product.create({
      env: { UPDATE_DIR: path.join(volume.directory, 'data') },
    });
    product.github.publish('v0.0.2', {
      'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
    });
    await using prober = new Prober(product.port).start();
    product.start();
    await prober.answers('0.0.1');
    await product.logged(/updates are suspended: .*\[READ_ONLY\]/);
    volume.remount('rw');
    await prober.answers('0.0.2');
    await product.fact('versionBecameHealthy');
    assert.equal(product.apps().length, 1);
  });

  it('on a read-only volume, by `run --once`: the app runs, though there is no place for its output (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted();
    volume.remount('ro');
    await using product = await Product.create({
      env: { UPDATE_DIR: path.join(volume.directory, 'data') },
    });
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /the app's output is lost/);
    assert.equal(product.apps().length, 1);
  });

  it('held by another program: the installed version runs, it is said, and `run --once` fails', async () => {
    await using product = await Product.create();
    product.github.publish('v0.0.2', {
      'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
    });
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    for (const { pid } of product.apps()) process.kill(pid, 'SIGKILL');
    const holder = new DatabaseSync(path.join(product.dir, 'state', 'journal.db'));
    holder.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE');
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /\[JOURNAL_BUSY\]/);
    assert.match(product.apps()[0]?.tree ?? 'nothing runs', /0\.0\.2-/);
    holder.close();
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    assert.equal(product.apps().length, 1);
  });

  it('for want of the very first fact: the app runs, and the disk is not filled further (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    using volume = mounted();
    volume.remount('size=64k');
    await using product = await Product.create({
      env: { UPDATE_DIR: path.join(volume.directory, 'data') },
    });
    mkdirSync(product.dir);
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /\[NO_SPACE\]/);
    assert.equal(product.apps().length, 1);
  });
});

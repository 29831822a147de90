/** A signal that comes while a program of somebody else works for the updater. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { execa } from 'execa';
import { appArchive } from '../support/app.ts';
import { ARCHIVE, packed } from '../support/lint.ts';
import { Product } from '../support/product.ts';

const FILE = 'app_linux_amd64.tar.gz';
const PATIENCE_MS = 60_000;
let product: Product;
let bin: string;

beforeEach(async () => {
  product = await Product.create({ env: { UPDATE_STRATEGY: 'download-then-kill' } });
  bin = path.join(product.root, 'bin');
  mkdirSync(bin);
  product.env['PATH'] = `${bin}:${product.env['PATH']}`;
});
afterEach(() => product[Symbol.asyncDispose]());

/** Stands in for a program: says that it works, and works until it is told. */
async function holding(name: string, before = '') {
  const [fifo, begun] = ['fifo', 'begun'].map((one) => path.join(bin, one)) as [string, string];
  await execa('mkfifo', [fifo]);
  const file = path.join(bin, name);
  writeFileSync(file, `#!/bin/sh\n${before}\n: > ${begun}\nread -r word < ${fifo}\n`);
  chmodSync(file, 0o755);
  return {
    working: async () => {
      const watcher = watch(bin);
      const signal = AbortSignal.timeout(PATIENCE_MS);
      while (!existsSync(begun)) await once(watcher, 'change', { signal });
      watcher.close();
    },
    // Both ends: it waits for nobody who reads. A line each, also for what starts afterwards.
    release: () => writeSync(openSync(fifo, constants.O_RDWR), 'go on\n'.repeat(10)),
  };
}

const begin = (...words: string[]) =>
  execa(process.execPath, [product.entry, ...words], {
    env: product.env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
const scratchOf = (pid: number | undefined) =>
  readdirSync('/tmp').filter((name) => name.startsWith(`self-update-lint-${pid}-`));

describe('a signal', () => {
  it('while a new tree is synced ends a resident updater with its app, and not before it', async () => {
    const sync = await holding('sync');
    const updater = product.start();
    await product.logged(/passed probation/);
    product.github.publish('v0.0.2', {
      [FILE]: await appArchive({ version: '0.0.2', port: product.port }),
    });
    await sync.working();
    // Not its streams' end, which an app that it left behind holds open.
    const ended = once(updater.nodeChildProcess, 'exit');
    updater.kill('SIGTERM');
    await Promise.race([product.logged(/stopping the app/), ended]);
    // As a person does who presses Ctrl-C again, and npm by itself.
    updater.kill('SIGTERM');
    sync.release();
    assert.deepEqual(await ended, [0, null]);
    await assert.rejects(fetch(`http://127.0.0.1:${product.port}/`));
  });

  it('while a tree of lint is synced leaves nothing', async () => {
    const sync = await holding('sync');
    product.github.publish('v1.2.3', { [ARCHIVE]: await packed() });
    const linting = begin('lint', 'acme/app');
    await sync.working();
    linting.kill('SIGINT');
    sync.release();
    const { exitCode, stdout, stderr } = await linting;
    assert.equal(exitCode, 130, stderr);
    assert.equal(`${stdout}${stderr}`, '');
    assert.deepEqual(scratchOf(linting.pid), []);
  });

  it('while minisign signs leaves no half of a signature', async () => {
    const half = 'for word; do case $last in -x) echo half > "$word";; esac; last=$word; done';
    const minisign = await holding('minisign', half);
    const dist = path.join(product.root, 'dist');
    mkdirSync(dist);
    writeFileSync(path.join(dist, ARCHIVE), await packed());
    const signing = begin('lint', '--sums', '--sign', 'key', '--as', 'acme/app@v1.2.3', dist);
    await minisign.working();
    assert.equal(readdirSync(dist).length, 3);
    signing.kill('SIGTERM');
    const { exitCode, stderr } = await signing;
    assert.equal(exitCode, 143, stderr);
    assert.deepEqual(readdirSync(dist).toSorted(), [ARCHIVE, 'checksums.txt']);
  });

  it('while nobody answers ends check, and is no failure of it', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    product.env['UPDATE_GH_API_URL'] = `http://127.0.0.1:${port}`;
    const [checking] = [begin('check', '--json'), await once(silent, 'connection')];
    checking.kill('SIGINT');
    const { exitCode, stdout, stderr } = await checking;
    silent.close();
    assert.equal(exitCode, 130, stderr);
    assert.equal(`${stdout}${stderr}`, '');
  });
});

/**
 * An app that asks for its own update, or from whose shell an updater is started: it bears the
 * app's mark, and is none of the app.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { processInfo } from '../../src/effects/supervisor/process-table.ts';
import { archive } from '../support/app.ts';
import { Product } from '../support/product.ts';

/**
 * An app that runs what is in the file `go` as soon as that is there, by a shell; where it is told
 * to stop it ends what it started first.
 */
const asking = (
  version: string,
  { root, port }: Product,
  detached: boolean,
): string => `#!${process.execPath}
const fs = require('node:fs'), { spawn } = require('node:child_process');
let child = null;
require('node:http').createServer((_, response) => response.end('${version}')).listen(${port}, '127.0.0.1');
process.on('SIGTERM', () => {
  if (child && !${detached}) child.kill('SIGTERM');
  process.exit(0);
});
if ('${version}' === '1.0.0') setInterval(() => {
  if (child || !fs.existsSync('${root}/go')) return;
  const out = fs.openSync('${root}/out', 'a');
  const env = { ...process.env, ...JSON.parse(fs.readFileSync('${root}/env', 'utf8')) };
  child = spawn('/bin/sh', ['-c', fs.readFileSync('${root}/go', 'utf8')], { env, detached: ${detached}, stdio: ['ignore', out, out] });
}, 20);
`;

async function installed(product: Product, detached: boolean): Promise<void> {
  const of = async (version: string) => ({
    [`app_${version}_linux_x64.tar.gz`]: await archive({
      app: { content: asking(version, product, detached), mode: 0o755 },
    }),
  });
  writeFileSync(path.join(product.root, 'env'), JSON.stringify(product.env));
  writeFileSync(path.join(product.root, 'out'), '');
  product.github.publish('v1.0.0', await of('1.0.0'));
  const { exitCode, stderr } = await product.command(['run', '--once']);
  assert.equal(exitCode, 0, stderr);
  product.github.publish('v1.1.0', await of('1.1.0'));
}

const said = (product: Product): string => readFileSync(path.join(product.root, 'out'), 'utf8');

async function until(what: string, product: Product, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, `not yet: ${what}\n${said(product)}`);
    await sleep(20);
  }
}

const trees = (product: Product): string[] =>
  product.apps().map(({ tree }) => path.basename(tree).replace(/-.*/, ''));

describe('an updater that bears the mark of the app', { concurrency: 2 }, () => {
  for (const [how, detached] of [
    ['in a session of its own', true],
    ['in the group of the app, which ends it when it is told to stop', false],
  ] as const)
    it(`and was asked by the app itself, ${how}, brings the update, and the app is up`, async () => {
      await using product = await Product.create({ baked: null });
      await installed(product, detached);
      writeFileSync(
        path.join(product.root, 'go'),
        `exec ${process.execPath} ${product.entry} update`,
      );
      await until('the update is done', product, () => /asked for an update: /.test(said(product)));
      assert.match(said(product), /asked for an update: done, version 1\.1\.0/);
      assert.deepEqual(trees(product), ['1.1.0']);
      assert.match((await product.command(['status'])).stdout, /state +running/);
    });

  it('and is a resident one, started from a shell of the app, outlives the version that it stops', async () => {
    await using product = await Product.create({ baked: null });
    await installed(product, false);
    writeFileSync(
      path.join(product.root, 'go'),
      `trap '' TERM; ${process.execPath} ${product.entry} run & echo pid $!; wait`,
    );
    await product.fact('versionBecameHealthy', ({ version }) => version === '1.1.0');
    const pid = Number(/^pid (\d+)$/m.exec(said(product))?.[1]);
    try {
      assert.equal(processInfo(pid)?.isZombie, false, said(product));
      assert.deepEqual(trees(product), ['1.1.0']);
    } finally {
      process.kill(pid, 'SIGTERM');
    }
    await until(
      'it ends, with the app',
      product,
      () => processInfo(pid)?.isZombie !== false && product.apps().length === 0,
    );
  });

  it('is not taken for the app, and the app starts', async () => {
    await using product = await Product.create();
    product.start([], {
      extraEnv: { SELF_UPDATE_APP: `${product.dir}:${product.dir}/releases/0.9.0-aaaa` },
    });
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.1');
    assert.deepEqual(trees(product), ['0.0.1']);
  });
});

describe('an update that is interrupted', () => {
  const stays = (version: string) => ({
    app: {
      content: `#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done # ${version}\n`,
      mode: 0o755,
    },
  });
  const ends = (version: string) => ({
    app: { content: `#!/bin/sh\nexec sleep 1000 # ${version}\n`, mode: 0o755 },
  });

  /** 1.0.0 runs, and an update to 1.1.0 gets SIGINT at `moment`. */
  async function interrupt(product: Product, moment: () => Promise<unknown>, make = ends) {
    product.github.publish('v1.0.0', {
      'app_1.0.0_linux_x64.tar.gz': await archive(make('1.0.0')),
    });
    await product.command(['run', '--once']);
    product.github.publish('v1.1.0', {
      'app_1.1.0_linux_x64.tar.gz': await archive({
        ...make('1.1.0'),
        padding: { content: randomBytes(100_000) },
      }),
    });
    const { execa } = await import('execa');
    const update = execa(process.execPath, [product.entry, 'update'], {
      env: product.env,
      extendEnv: false,
      reject: false,
    });
    await moment();
    update.kill('SIGINT');
    const { exitCode, stdout, stderr } = await update;
    assert.equal(exitCode, 1, `${stdout}${stderr}`);
    assert.doesNotMatch(stdout, /done/);
    return stderr;
  }

  it('in the middle of a stop is not said to be done, and the app to be there still', async () => {
    await using product = await Product.create({ baked: null, env: { SVWAIT: '600' } });
    const said = await interrupt(
      product,
      () => product.fact('switchStarted', ({ to }) => to === '1.1.0'),
      stays,
    );
    assert.match(said, /the app was told to stop, and still runs: .*\[COMMAND_INTERRUPTED\]/);
  });

  for (const [strategy, state] of [
    ['download-then-kill', 'the app runs'],
    ['kill-then-download', 'the app is down'],
  ] as const)
    it(`while it downloads says that ${state} where that is so: ${strategy}`, async () => {
      await using product = await Product.create({
        baked: null,
        env: { UPDATE_STRATEGY: strategy },
      });
      const begun = async () => {
        product.github.misbehave = { stallAfterBytes: 1000 };
        await product.github.nextRequest(/storage/);
      };
      const said = await interrupt(product, begun);
      assert.match(
        said,
        new RegExp(`interrupted while downloading, and ${state}: .*\\[COMMAND_INTERRUPTED\\]`),
      );
    });
});

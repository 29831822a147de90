/**
 * Whoever reads the output goes away, as `| head -n 1` does: nothing follows from that for the
 * updater, its app, or an update.
 */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa, execaSync } from 'execa';
import { appArchive, appSource } from '../support/app.ts';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';

/** A command of the product that writes both streams to a pipe, of which `head` reads one line. */
async function intoHead(product: Product, args: string[], streams: 'both' | 'stdout' = 'both') {
  const fifo = path.join(product.root, `fifo-${args.join('-')}`);
  execaSync('mkfifo', [fifo]);
  const head = execa('head', ['-n', '1', fifo]);
  const pipe = openSync(fifo, 'w');
  const errors = streams === 'stdout' ? openSync(path.join(product.root, 'errors'), 'w') : pipe;
  // execa takes any descriptor; its types know the first three.
  const stdio = ['ignore', pipe, errors] as unknown as ['ignore', 'inherit', 'inherit'];
  const options = {
    env: product.env,
    extendEnv: false,
    reject: false,
    buffer: false,
    stdio,
  } as const;
  const command = execa(process.execPath, [product.entry, ...args], options);
  product.updaters.push(command);
  for (const fd of new Set([pipe, errors])) closeSync(fd);
  const { stdout } = await head;
  return { command, line: stdout };
}

/** An app that ends when it can't write. */
async function publish(product: Product, version: string): Promise<void> {
  const options = { version, port: product.port };
  const content = `${appSource(options)}\nprocess.stdout.write('${version} begins\\n');\n`;
  product.github.publish(`v${version}`, {
    'app.tar.gz': await appArchive({ ...options, files: { app: { content, mode: 0o755 } } }),
  });
}

describe('a reader that goes away', { concurrency: 2 }, () => {
  it("from a resident updater and its app: both run on, and the next version, which can't write either, is trusted", async () => {
    await using product = await Product.create({ env: { UPDATE_PROBATION: '1' } });
    await using prober = new Prober(product.port).start();
    const { command, line } = await intoHead(product, ['run']);
    assert.match(line, /^update: /);
    await prober.answers('0.0.1');
    await product.fact('versionBecameHealthy');
    await publish(product, '0.0.2');
    await product.command(['update']);
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal(prober.version, '0.0.2');
    assert.deepEqual((await product.status()).denied, []);
    assert.match(readFileSync(path.join(product.dir, 'app.log'), 'utf8'), /0\.0\.2 begins/);
    assert.equal(command.nodeChildProcess.exitCode, null);
    command.kill('SIGTERM');
    assert.equal((await command).exitCode, 0);
  });

  it('from `run --once`: the update is made', async () => {
    await using product = await Product.create();
    await publish(product, '0.0.2');
    const { command } = await intoHead(product, ['run', '--once', '--now']);
    assert.equal((await command).exitCode, 0);
    assert.equal((await product.status()).version, '0.0.2');
  });

  for (const args of [
    ['events', '--follow'],
    ['status', '--watch'],
  ]) {
    it(`from \`${args.join(' ')}\`: it ends at the next line, and says nothing`, async () => {
      await using product = await Product.create();
      await product.command(['run', '--once']);
      const { command } = await intoHead(product, args, 'stdout');
      await product.command(['pause']);
      await product.command(['resume']);
      assert.equal((await command).exitCode, 0);
      assert.equal(readFileSync(path.join(product.root, 'errors'), 'utf8'), '');
    });
  }

  it('before the first word of a command: it ends as ever', async () => {
    await using product = await Product.create();
    assert.ok(!existsSync(product.dir));
    const { exitCode, stderr } = await execa(
      'sh',
      ['-c', '("$@"; echo "$?" >&2) | true', 'sh', process.execPath, product.entry, '--help'],
      {
        env: product.env,
        reject: false,
      },
    );
    assert.equal(exitCode, 0);
    assert.equal(stderr, '0');
  });
});

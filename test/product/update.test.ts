/**
 * The product as its users run it: a resident updater beside a real app, and the commands of an
 * operator.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive } from '../support/app.ts';
import { Prober } from '../support/prober.ts';
import { Product, type ProductOptions } from '../support/product.ts';

const APP = 'app.tar.gz';

async function publish(
  product: Product,
  version: string,
  options: { stopMs?: number; padBytes?: number } = {},
): Promise<void> {
  product.github.publish(`v${version}`, {
    [APP]: await appArchive({ version, port: product.port, ...options }),
  });
}

/** The baked v0.0.1 runs under a resident updater, and is trusted. */
async function resident(options: ProductOptions = {}): Promise<Product> {
  const product = await Product.create(options);
  await publish(product, '0.0.1');
  product.start();
  await product.fact('versionBecameHealthy');
  return product;
}

describe('a resident updater', { concurrency: 2 }, () => {
  it('starts a newer release instead of the baked version, when it can be had in time', async () => {
    await using product = await Product.create();
    await publish(product, '0.0.2');
    const prober = new Prober(product.port).start();
    product.start();
    await product.fact('versionBecameHealthy');
    await prober.stop();
    assert.deepEqual(
      prober.versions.map(({ version }) => version),
      ['0.0.2'],
    );
  });

  for (const [title, api] of [
    ['hangs', 'hang'],
    ['resets', 'reset'],
    ['fails', { status: 500 }],
    ['is at its limit', { status: 403, headers: { 'retry-after': '600' } }],
  ] as const) {
    it(`starts the baked version when GitHub ${title}`, async () => {
      await using product = await Product.create({ env: { UPDATE_FIRST_CHECK_TIMEOUT: '1' } });
      product.github.misbehave = { api };
      product.start();
      await product.fact('versionBecameHealthy');
      assert.equal(product.apps().length, 1);
    });
  }

  it('is adopted again when it was killed: the app survives, is never there twice, and is restarted when it crashes', async () => {
    await using product = await resident();
    const [before] = product.apps();
    await product.killUpdater();
    assert.deepEqual(product.apps(), [before]);
    product.start();
    assert.equal((await product.command(['pause'])).exitCode, 0);
    assert.deepEqual(product.apps(), [before]);
    const prober = new Prober(product.port).start();
    await prober.answers('0.0.1');
    process.kill(before?.pid ?? 0, 'SIGKILL');
    await prober.gone();
    await prober.answers('0.0.1');
    await prober.stop();
    assert.equal(product.apps().length, 1);
  });

  it('refuses a second one with status 75', async () => {
    await using product = await resident();
    const { exitCode, stderr } = await product.command(['run', '--once']);
    assert.equal(exitCode, 75);
    assert.match(stderr, /another updater runs.*\[LOCKED\]/);
  });

  it('goes on while a reader of the journal is suspended', async () => {
    await using product = await resident();
    const reader = product.follow();
    await product.fact('oldVersionsRemoved');
    reader.kill('SIGSTOP');
    await publish(product, '0.0.2');
    assert.equal((await product.command(['update'])).exitCode, 0);
    assert.equal((await product.status()).version, '0.0.2');
    reader.kill('SIGKILL');
  });

  it('restarts a crashed app', async () => {
    await using product = await resident();
    const [before] = product.apps();
    const prober = new Prober(product.port).start();
    await prober.answers('0.0.1');
    process.kill(before?.pid ?? 0, 'SIGKILL');
    await prober.gone();
    await prober.answers('0.0.1');
    await prober.stop();
    assert.equal(product.apps().length, 1);
    assert.notEqual(product.apps()[0]?.pid, before?.pid);
  });

  it('kills the whole group of an app that ignores TERM', async () => {
    await using product = await resident({ env: { SVWAIT: '1', UPDATE_STOP_SIGNAL: 'WINCH' } });
    await publish(product, '0.0.2');
    assert.equal((await product.command(['update'])).exitCode, 0);
    const stopped = (await product.events()).find(({ type }) => type === 'appStopped');
    assert.equal(stopped?.type === 'appStopped' && stopped.killed, true);
    assert.equal(product.apps().length, 1);
  });

  it('brings the old version back before anything else after a download that fails behind the stop, and downloads first the next time', async () => {
    await using product = await resident({ env: { UPDATE_STRATEGY: 'kill-then-download' } });
    await publish(product, '0.0.2', { padBytes: 1_000_000 });
    product.github.misbehave = { cutAfterBytes: 500_000 };
    product.updaters[0]?.kill('SIGHUP');
    const failed = await product.fact('downloadFailed');
    assert.equal(failed.code, 'DOWNLOAD_CUT');
    const started = await product.fact(
      'appStarted',
      ({ version, seq }) => version === '0.0.1' && seq > failed.seq,
    );
    const between = (await product.events())
      .filter(({ seq }) => seq > failed.seq && seq < started.seq)
      .map(({ type }) => type);
    assert.deepEqual(between, ['switched']);
    product.github.misbehave = {};
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    const order = (await product.events())
      .filter(({ seq }) => seq > started.seq)
      .map(({ type }) => type);
    assert.ok(order.indexOf('downloaded') < order.indexOf('appStopped'), order.join());
    const resumed = product.github.requests.filter(
      ({ path: file, headers }) => file.startsWith('/storage/') && headers.range !== undefined,
    );
    assert.ok(resumed.length > 0, 'the second try resumed the first');
  });
});

describe("an operator's commands", { concurrency: 2 }, () => {
  it('check tells by its status whether there is an update, and changes nothing', async () => {
    await using product = await Product.create();
    await publish(product, '0.0.1');
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    const before = (await product.events()).length;
    assert.equal((await product.command(['check'])).exitCode, 0);
    await publish(product, '0.0.2');
    const { exitCode, stdout } = await product.command(['check', '--json']);
    assert.equal(exitCode, 100);
    assert.deepEqual(JSON.parse(stdout), {
      updateAvailable: true,
      version: '0.0.1',
      latest: '0.0.2',
      latestTag: 'v0.0.2',
      source: { name: 'github', url: product.github.url, webUntil: null },
    });
    assert.equal((await product.events()).length, before);
  });

  it('install holds an older version until release, beside a running updater', async () => {
    await using product = await resident();
    await publish(product, '0.0.2');
    assert.equal((await product.command(['update'])).exitCode, 0);
    assert.equal((await product.command(['install', '0.0.1'])).exitCode, 0);
    assert.deepEqual((await product.status()).hold?.version, '0.0.1');
    assert.equal((await product.status()).version, '0.0.1');
    assert.equal((await product.command(['update'])).exitCode, 0);
    assert.equal((await product.status()).version, '0.0.1', 'a held version stays');
    assert.equal((await product.command(['release'])).exitCode, 0);
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal((await product.status()).hold, null);
  });

  it('install takes an archive from this machine', async () => {
    await using product = await resident();
    const file = path.join(product.root, 'app_0.3.0_linux_amd64.tar.gz');
    writeFileSync(file, await appArchive({ version: '0.3.0', port: product.port }));
    assert.equal((await product.command(['install', file])).exitCode, 0);
    const status = await product.status();
    assert.equal(status.version, '0.3.0');
    assert.equal(status.hold?.version, '0.3.0');
  });

  it('restart gives the app a new process of the same version', async () => {
    await using product = await resident();
    const [before] = product.apps();
    assert.equal((await product.command(['restart'])).exitCode, 0);
    const [after] = product.apps();
    assert.equal(after?.tree, before?.tree);
    assert.notEqual(after?.pid, before?.pid);
  });

  it('pause, deny and their opposites work with and without an updater, and survive a restart', async () => {
    await using product = await Product.create();
    await publish(product, '0.0.1');
    await product.command(['run', '--once']);
    assert.equal((await product.command(['pause'])).exitCode, 0);
    assert.equal((await product.command(['deny', 'v0.0.2'])).exitCode, 0);
    await publish(product, '0.0.2');
    assert.equal((await product.command(['check'])).exitCode, 0, 'paused: nothing to do');
    assert.equal((await product.status()).paused, true);
    assert.equal((await product.command(['resume'])).exitCode, 0);
    await product.command(['update']);
    const status = await product.status();
    assert.equal(status.version, '0.0.1');
    assert.deepEqual(
      status.denied.map(({ version, code }) => [version, code]),
      [['0.0.2', 'DENIED_BY_OPERATOR']],
    );
    assert.equal((await product.command(['retry', '0.0.2'])).exitCode, 0);
    assert.equal((await product.command(['update'])).exitCode, 0);
    assert.equal((await product.status()).version, '0.0.2');
  });

  it('replay --at shows the state as it was', async () => {
    await using product = await resident();
    const { stdout, exitCode } = await product.command(['replay', '--at', '2', '--json']);
    assert.equal(exitCode, 0);
    assert.equal(JSON.parse(stdout).state, 'checking');
    assert.equal((await product.command(['replay', '--at', '999'])).exitCode, 1);
  });

  it('say what is wrong with the command line, with status 2', async () => {
    await using product = await Product.create();
    for (const args of [
      ['frobnicate'],
      ['install'],
      ['status', 'x'],
      ['run', '--bogus'],
      ['replay', '--at', 'x'],
    ]) {
      const { exitCode, stderr } = await product.command(args);
      assert.equal(exitCode, 2, args.join(' '));
      assert.match(stderr, /^self-update: .+/);
    }
  });

  it('say every problem of the configuration at once, with status 78, before anything is touched', async () => {
    await using product = await Product.create();
    const { exitCode, stderr } = await product.command(['run'], {
      GH_USER: undefined,
      SLEEP: 'soon',
      UPDATE_RANGE: 'new',
      UPDATE_STRATEGY: 'fast',
    });
    assert.equal(exitCode, 78);
    for (const name of ['GH_USER', 'SLEEP', 'UPDATE_RANGE', 'UPDATE_STRATEGY'])
      assert.match(stderr, new RegExp(`^update: ${name}: .*Example: ${name}=`, 'm'));
    assert.equal((await product.command(['status'])).exitCode, 0);
    assert.deepEqual(await product.events(), []);
  });

  it('never show the token', async () => {
    await using product = await resident({ env: { VERBOSE: '1' } });
    await product.command(['update']);
    const everything = [
      ...product.log,
      ...product.output,
      JSON.stringify(await product.events()),
      JSON.stringify(await product.status()),
    ].join('\n');
    assert.ok(!everything.includes(product.env['UPDATE_GH_TOKEN'] ?? ''));
  });
});

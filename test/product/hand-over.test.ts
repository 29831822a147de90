/** UPDATE_STRATEGY=hand-over without a container: no request fails, and a bad version never serves. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { archive } from '../support/app.ts';
import { freePort, Product } from '../support/product.ts';
import { Requests, request } from '../support/requests.ts';

const SERVES = `
if (Number(process.env.LISTEN_PID) !== process.pid) throw new Error('not for this process');
const server = require('node:http').createServer((q, r) => r.setHeader('connection', 'close').end(VERSION));
server.listen({ fd: 3 });
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;
/** Takes its time for an answer, and does not end when it is told to. */
const DEAF = `
const server = require('node:http').createServer((q, r) =>
  setTimeout(() => r.setHeader('connection', 'close').end(VERSION), 20));
server.listen({ fd: 3 });
process.on('SIGTERM', () => {});
`;
/** Ends the listening for whoever has the socket, which Node can't. */
const SHUTS = String.raw`#!/usr/bin/perl
use IO::Handle;
open my $listener, '+<&=', 3 or die $!;
$listener->blocking(1);
$SIG{TERM} = sub { shutdown $listener, 2; exit 0 };
while (accept my $client, $listener) {
  sysread $client, my $request, 4096;
  syswrite $client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nVERSION";
  close $client;
}
die "accept: $!";
`;
/** What a version does instead. */
const BAD: Readonly<Record<string, { program: string; code: string }>> = {
  'exits at once': { program: 'process.exit(3);', code: 'APP_EXITED' },
  'exits after a while': {
    program: 'setTimeout(() => process.exit(3), 300);',
    code: 'APP_EXITED',
  },
  'is never ready': { program: 'setInterval(() => {}, 1000);', code: 'UNHEALTHY' },
  'ignores TERM and is never ready': {
    program: "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);",
    code: 'UNHEALTHY',
  },
};

const app = (version: string, program: string) =>
  archive({
    app: {
      mode: 0o755,
      content: program.startsWith('#!')
        ? program.replace('VERSION', version)
        : `#!${process.execPath}\nconst VERSION = '${version}';\n${program}\n`,
    },
  });

async function eventsOf(product: Product): Promise<{ type: string }[]> {
  const { stdout } = await product.command(['events', '--json']);
  return stdout.split('\n').map((line) => JSON.parse(line));
}

async function serving(env: Record<string, string> = {}, program = SERVES) {
  const port = await freePort();
  const product = await Product.create({
    baked: null,
    env: {
      UPDATE_LISTEN: `127.0.0.1:${port}`,
      UPDATE_STRATEGY: 'hand-over',
      UPDATE_PROBATION: '1',
      ...env,
    },
  });
  const publish = async (version: string, program = SERVES) =>
    product.github.publish(`v${version}`, { 'app.tar.gz': await app(version, program) });
  await publish('0.0.1', program);
  product.start();
  await product.fact('versionBecameHealthy');
  return { product, port, publish };
}

/** Refused until it listens again, and the copy that its accept failed is started anew. */
async function answered(port: number, version: string): Promise<void> {
  const until = Date.now() + 20_000;
  for (;;) {
    const answer = await request(port).catch((error: Error) => error.message);
    if (answer === version) return;
    if (Date.now() > until) assert.equal(answer, version);
    await sleep(20);
  }
}

describe('a hand-over, embedded', () => {
  it('loses no request through two updates, and ends with one copy', async () => {
    const { product, port, publish } = await serving();
    await using _ = product;
    const load = new Requests(port);
    for (const version of ['0.0.2', '0.0.3']) {
      await publish(version);
      assert.equal((await product.command(['update'])).exitCode, 0);
    }
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
    assert.equal(await request(port), '0.0.3');
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.deepEqual(load.answers, ['0.0.1', '0.0.2', '0.0.3']);
    const told = (await eventsOf(product)).map(({ type }) => type);
    assert.equal(told.filter((type) => type === 'otherCopyStopped').length, 2);
    assert.equal(told.filter((type) => type === 'appStopped').length, 1);
  });

  it('goes on where a version shuts the held socket down as it ends', {
    skip: !existsSync('/usr/bin/perl'),
  }, async () => {
    const { product, port, publish } = await serving({}, SHUTS);
    await using _ = product;
    await publish('0.0.2', SHUTS);
    assert.equal((await product.command(['update'])).exitCode, 0);
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await product.logged(/held socket of port \d+ was shut down by the app.*listening again/);
    await answered(port, '0.0.2');
  });

  it('loses no request of an old version that ignores TERM', async () => {
    const { product, port, publish } = await serving({ SVWAIT: '4' });
    await using _ = product;
    await publish('0.0.2', DEAF);
    assert.equal((await product.command(['update'])).exitCode, 0);
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    const load = new Requests(port);
    await publish('0.0.3');
    assert.equal((await product.command(['update'])).exitCode, 0);
    await product.fact('otherCopyStopped', ({ killed }) => killed);
    await load.stop();
    assert.deepEqual(load.failures, []);
  });

  for (const [what, { program, code }] of Object.entries(BAD)) {
    it(`a version that ${what} is denied, and nobody noticed`, async () => {
      const { product, port, publish } = await serving({
        UPDATE_HEALTH_CMD: '! ls -l /proc/$UPDATE_APP_PID/cwd | grep -q 0.0.2',
      });
      await using _ = product;
      const load = new Requests(port);
      await publish('0.0.2', program);
      await product.command(['update']);
      await product.fact('otherCopyStopped');
      await load.stop();
      assert.deepEqual(load.failures, []);
      assert.deepEqual(load.answers, ['0.0.1']);
      const { denied, version } = JSON.parse((await product.command(['status', '--json'])).stdout);
      assert.equal(version, '0.0.1');
      assert.deepEqual(
        denied.map((one: { version: string; code: string }) => [one.version, one.code]),
        [['0.0.2', code]],
      );
    });
  }
});

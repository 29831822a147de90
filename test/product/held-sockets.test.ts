/** UPDATE_LISTEN without a container: the resident updater holds the sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { archive } from '../support/app.ts';
import { freePort, Product } from '../support/product.ts';
import { Requests, request } from '../support/requests.ts';

/** Takes what it is given (sd_listen_fds(3)), and needs a moment to start. */
const taking = (version: string) => `
if (Number(process.env.LISTEN_PID) !== process.pid) throw new Error('not for this process');
const server = require('node:http').createServer((q, r) =>
  r.setHeader('connection', 'close').end('${version}'));
setTimeout(() => server.listen({ fd: 3 }), 200);
process.on('SIGTERM', () => server.close(() => process.exit(0)));`;
/** Listens by itself, and does nothing at TERM. */
const unchanged = (version: string) => `
const { PORT } = process.env;
require('node:http').createServer((q, r) => setTimeout(() => r.end('${version}'), 20)).listen(PORT);`;

type Source = (version: string) => string;

async function prepare(env: Record<string, string> = {}): Promise<{
  product: Product;
  port: number;
  publish: (version: string, source: Source) => Promise<void>;
}> {
  const port = await freePort();
  const product = await Product.create({
    baked: null,
    env: {
      UPDATE_LISTEN: `web=127.0.0.1:${port}`,
      UPDATE_STRATEGY: 'download-then-kill',
      PORT: String(port),
      ...env,
    },
  });
  const publish = async (version: string, source: Source) => {
    const content = `#!${process.execPath}\n${source(version)}`;
    const file = await archive({ app: { mode: 0o755, content } });
    product.github.publish(`v${version}`, { 'app.tar.gz': file });
  };
  return { product, port, publish };
}

describe('a held socket, embedded', () => {
  for (const [kind, source, env] of [
    ['an app that takes it', taking, {}],
    ['a Node app without a change', unchanged, { UPDATE_LISTEN_NODE: 'on' }],
  ] as const)
    it(`loses no request through two updates of ${kind}`, async () => {
      const { product, port, publish } = await prepare(env);
      await using _ = product;
      await publish('0.0.1', source);
      product.start();
      await product.fact('versionBecameHealthy');
      const requests = new Requests(port);
      for (const version of ['0.0.2', '0.0.3']) {
        await publish(version, source);
        assert.equal((await product.command(['update'])).exitCode, 0);
      }
      await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
      assert.equal(await request(port), '0.0.3');
      await requests.stop();
      assert.deepEqual(requests.failures, []);
      assert.deepEqual(requests.answers, ['0.0.1', '0.0.2', '0.0.3']);
    });

  it('is with an app that outlives a killed updater, and the next one takes both over', async () => {
    const { product, port, publish } = await prepare();
    await using _ = product;
    await publish('0.0.1', taking);
    product.start();
    await product.fact('versionBecameHealthy');
    await product.killUpdater();
    assert.equal(await request(port), '0.0.1');
    await publish('0.0.2', taking);
    product.start();
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal(await request(port), '0.0.2');
    const requests = new Requests(port);
    await publish('0.0.3', taking);
    assert.equal((await product.command(['update'])).exitCode, 0);
    assert.equal(await request(port), '0.0.3');
    await requests.stop();
    assert.deepEqual(requests.failures, []);
  });
});

describe('a socket that can’t be held, embedded', () => {
  for (const [what, listen, status, line] of [
    [
      'no address',
      'localhost:80',
      78,
      /^update: UPDATE_LISTEN: .*not \[NAME=\].*\[CONFIGURATION\]$/,
    ],
    ['six of them', '1 2 3 4 5 6', 78, /^update: UPDATE_LISTEN: .*more than 5.*\[CONFIGURATION\]$/],
    [
      'one of another machine',
      '203.0.113.9:8080',
      73,
      /none of this machine's.*\[LISTEN_FAILED\]$/,
    ],
  ] as const)
    it(`ends the start with one line: ${what}`, async () => {
      const { product } = await prepare({ UPDATE_LISTEN: listen });
      await using _ = product;
      const { exitCode, stderr } = await product.command(['run']);
      assert.equal(exitCode, status, stderr);
      assert.match(stderr, line);
      assert.equal(stderr.split('\n').length, 1, stderr);
    });

  it('ends the start with one line: a port that another program has', async () => {
    const other = net.createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as net.AddressInfo;
    const { product } = await prepare({ UPDATE_LISTEN: `127.0.0.1:${port}` });
    await using _ = product;
    const { exitCode, stderr } = await product.command(['run']);
    other.close();
    assert.equal(exitCode, 73);
    assert.match(
      stderr,
      /^update: warning: UPDATE_LISTEN: .*another program has it.*\[LISTEN_FAILED\]$/,
    );
  });
});

describe('a version that binds a held address itself, embedded', () => {
  it('gives way, is denied by nobody, and runs once the configuration fits', async () => {
    const { product, port, publish } = await prepare();
    await using _ = product;
    await publish('0.0.1', taking);
    const first = product.start();
    await product.fact('versionBecameHealthy');
    await publish('0.0.2', unchanged);
    const { exitCode, stderr } = await product.command(['update']);
    assert.equal(exitCode, 1);
    assert.match(stderr, new RegExp(`port ${port} is in use: UPDATE_LISTEN holds it`));
    assert.equal(await request(port), '0.0.1');
    const { denied, lastError, waitingFor } = await product.status();
    assert.deepEqual(denied, []);
    assert.equal(lastError?.code, 'ADDRESS_HELD');
    assert.equal(waitingFor?.reason, 'address');
    assert.equal(waitingFor?.until, null);
    first.kill('SIGTERM');
    await first;
    product.start([], { extraEnv: { UPDATE_LISTEN_NODE: 'on' } });
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal(await request(port), '0.0.2');
  });

  it('is not denied for it either where it had been trusted before there were held sockets', async () => {
    const { product, port, publish } = await prepare({ UPDATE_LISTEN: '' });
    await using _ = product;
    await publish('0.0.1', unchanged);
    const first = product.start();
    await product.fact('versionBecameHealthy');
    first.kill('SIGTERM');
    await first;
    product.start([], { extraEnv: { UPDATE_LISTEN: `127.0.0.1:${port}` } });
    await product.fact('appCrashLooped', ({ code }) => code === 'ADDRESS_HELD');
    assert.deepEqual((await product.status()).denied, []);
  });
});

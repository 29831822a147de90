/** How many connections wait on a listening socket: by real sockets that nobody accepts from. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import {
  parseListenCounters,
  parseListeners,
  readListenCounters,
  readQueues,
} from '../../src/effects/accept-queue.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid';
const row = (number: number, local: string, state: string, queue: string) =>
  `${String(number).padStart(4)}: ${local} 00000000:0000 ${state} 00000000:${queue} 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0`;

/** Listens, says so, and accepts nothing until it is ended: it blocks its own event loop. */
const SLEEPER = `
const server = require('node:net').createServer().listen({ port: Number(process.argv[1]), host: process.argv[2], backlog: Number(process.argv[3]) }, () => {
  require('node:fs').writeSync(1, 'listening');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

async function freePort(host: string): Promise<number> {
  const server = net.createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function sleeper(
  host: string,
  backlog: number,
): Promise<{ port: number; connect: () => Promise<void> } & AsyncDisposable> {
  const port = await freePort(host);
  const child = spawn(process.execPath, ['-e', SLEEPER, `${port}`, host, `${backlog}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const clients: net.Socket[] = [];
  return {
    port,
    async connect() {
      const client = net.connect(port, host === '::' ? '::1' : host);
      clients.push(client);
      client.on('error', () => {});
      await once(client, 'connect');
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      for (const client of clients) client.destroy();
    },
  };
}

describe('the accept queue', () => {
  for (const host of ['127.0.0.1', '0.0.0.0', '::1', '::'])
    it(`of ${host} has as many as wait, and none of another socket's`, async () => {
      await using server = await sleeper(host, 100);
      const other = { address: '127.0.0.1', port: await freePort('127.0.0.1') };
      const socket = { address: host, port: server.port };
      assert.deepEqual(readQueues([socket, other]), [0, null]);
      for (let count = 0; count < 3; count++) await server.connect();
      assert.deepEqual(readQueues([other, socket]), [null, 3]);
    });

  it('is not looked at where nothing is held', () => {
    assert.deepEqual(readQueues([]), []);
  });

  it('that is full is counted by the kernel', async () => {
    await using server = await sleeper('127.0.0.1', 1);
    const before = readListenCounters();
    assert.ok(before);
    // A backlog of 1 holds two; what comes after them finds it full.
    for (let count = 0; count < 2; count++) await server.connect();
    const late = net.connect(server.port, '127.0.0.1').on('error', () => {});
    // The kernel tries again, and counts again.
    while ((readListenCounters()?.overflows ?? 0) <= before.overflows)
      await new Promise((resolve) => setImmediate(resolve));
    late.destroy();
    const after = readListenCounters();
    assert.ok(after && after.drops > before.drops && after.overflows > before.overflows);
  });
});

describe("the kernel's tables", () => {
  it('are read up to the first connection', () => {
    const table = [
      HEAD,
      row(0, '0100007F:1F90', '0A', '000000FF'),
      row(1, '00000000:0050', '0A', '00000000'),
      row(2, '0100007F:1F91', '01', '00000005'),
      row(3, '0100007F:1F92', '0A', '00000007'),
      '',
    ].join('\n');
    assert.deepEqual(parseListeners(table), [
      { address: '127.0.0.1', port: 8080, queued: 255 },
      { address: '0.0.0.0', port: 80, queued: 0 },
    ]);
  });

  it('that are cut off, empty or of another kind have none', () => {
    const whole = row(0, '0100007F:1F90', '0A', '000000FF');
    assert.deepEqual(parseListeners(`${HEAD}\n${whole.slice(0, 50)}`), []);
    assert.deepEqual(parseListeners(''), []);
    assert.deepEqual(parseListeners('what is this?\nand this?\n'), []);
  });

  it('have counters by their names, wherever these stand', () => {
    const netstat = `TcpExt: SyncookiesSent ListenDrops Other ListenOverflows
TcpExt: 1 20 3 4
IpExt: ListenDrops ListenOverflows
IpExt: 8 9
`;
    assert.deepEqual(parseListenCounters(netstat), { overflows: 4, drops: 20 });
    assert.equal(parseListenCounters('TcpExt: ListenDrops\nTcpExt: 1\n'), null);
    assert.equal(parseListenCounters('TcpExt: ListenDrops ListenOverflows\n'), null);
    assert.equal(parseListenCounters(''), null);
  });
});

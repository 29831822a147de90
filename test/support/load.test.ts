/** The load generator: it loses nothing, and it finds what is lost. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { describe, it } from 'node:test';
import { Load } from './load/load.ts';
import type { StreamOptions, StreamReport } from './load/stream.ts';

type Listening = { port: number } & AsyncDisposable;

async function listening(server: net.Server): Promise<Listening> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The load until the `count`th request has come to `server`. */
async function loadUntil(
  count: number,
  server: net.Server,
  event: 'request' | 'connection' | 'broken',
  options: Omit<StreamOptions, 'port'>,
): Promise<StreamReport> {
  await using address = await listening(server);
  const came = new Promise<void>((resolve) => {
    let seen = 0;
    server.on(event, () => {
      seen += 1;
      if (seen >= count) resolve();
    });
  });
  await using load = new Load([{ ...options, port: address.port }]);
  await came;
  const [report] = await load.stop();
  assert.ok(report);
  return report;
}

describe('a load', () => {
  for (const connections of ['new', 'kept'] as const)
    it(`counts each answer, by its body (${connections} connections)`, async () => {
      let asked = 0;
      const sockets = new Set<net.Socket>();
      const server = http.createServer((request, response) => {
        asked += 1;
        sockets.add(request.socket);
        response.end(asked <= 20 ? 'first' : 'second');
      });
      const report = await loadUntil(100, server, 'request', { rate: 500, connections });
      assert.equal(report.answered, asked);
      assert.equal(report.failed, 0, JSON.stringify(report.reasons));
      assert.deepEqual(report.bodies, { first: 20, second: asked - 20 });
      assert.ok(report.p50Ms <= report.p99Ms && report.p99Ms <= report.longestMs);
      if (connections === 'new') assert.equal(sockets.size, asked);
      else assert.ok(sockets.size < asked);
    });

  it('goes on by its schedule while nobody answers', async () => {
    // Not one is answered before the hundredth has come.
    const held: http.ServerResponse[] = [];
    const server = http.createServer((_request, response) => {
      held.push(response);
      if (held.length < 100) return;
      for (const one of held) if (!one.writableEnded) one.end('late');
    });
    await using address = await listening(server);
    await using load = new Load([{ port: address.port, rate: 500, connections: 'new' }]);
    await load.answers('late');
    const [report] = await load.stop();
    assert.equal(report?.failed, 0);
    // The first has waited for the schedule of the other 99.
    assert.ok((report?.longestMs ?? 0) >= 99 * 2, JSON.stringify(report));
  });

  it('sends once more what a kept connection took with it unanswered, and calls that no failure', async () => {
    let asked = 0;
    const server = http.createServer((request, response) => {
      asked += 1;
      // Each connection is good for three.
      const { socket } = request as { socket: net.Socket & { count?: number } };
      socket.count = (socket.count ?? 0) + 1;
      if (socket.count === 3) {
        socket.destroy();
        server.emit('broken');
      } else response.end('body');
    });
    // On a busy machine a connection may long be taken when it is its turn.
    const report = await loadUntil(5, server, 'broken', { rate: 300, connections: 'kept' });
    assert.equal(report.failed, 0, JSON.stringify(report.reasons));
    assert.ok(report.retried > 0);
    assert.equal(report.answered, asked - report.retried);
  });

  it('calls it a failure on a new connection, and where the answer had begun', async () => {
    const cut = await loadUntil(
      10,
      http.createServer((request) => request.socket.destroy()),
      'request',
      { rate: 200, connections: 'kept' },
    );
    assert.equal(cut.answered, 0);
    assert.equal(cut.failed, cut.reasons['ECONNRESET']);
    let count = 0;
    const half = await loadUntil(
      10,
      http.createServer((request, response) => {
        count += 1;
        if (count <= 3) return response.end('whole');
        response.writeHead(200, { 'content-length': '10' }).write('half');
        return setImmediate(() => request.socket.destroy());
      }),
      'request',
      { rate: 200, connections: 'kept' },
    );
    assert.ok(half.failed > 0);
    assert.equal(half.retried, 0, JSON.stringify(half));
  });

  it('counts what is refused, what is not 200 and what is never answered', async () => {
    const { port, ...closed } = await listening(net.createServer());
    await closed[Symbol.asyncDispose]();
    const other = http.createServer((_request, response) => response.writeHead(503).end('sorry'));
    await using busy = await listening(other);
    const silent = net.createServer(() => {});
    await using silence = await listening(silent);
    const asked = once(other, 'request');
    const reached = once(silent, 'connection');
    await using load = new Load([
      { port, rate: 100, connections: 'new' },
      { port: busy.port, rate: 100, connections: 'kept' },
      { port: silence.port, rate: 100, connections: 'new', patienceMs: 100 },
    ]);
    await Promise.all([asked, reached]);
    const reports = await load.stop();
    for (const report of reports) assert.equal(report.answered, 0);
    assert.deepEqual(
      reports.map(({ reasons }) => Object.keys(reasons)),
      [['ECONNREFUSED'], ['status 503'], ['no answer within 100 ms']],
    );
  });
});

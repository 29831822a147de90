/** docs/drain.md, with the real HAProxy: who is asked what, and when the app gets no requests. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { Container } from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';
import { Load } from '../support/load/load.ts';
import { LoadedContainer } from '../support/load/updates.ts';
import { ask } from '../support/prober.ts';
import { freePort } from '../support/product.ts';

const RECIPE = path.join(import.meta.dirname, '..', '..', 'examples', 'recipes', 'haproxy.cfg');

function haproxy(file: string, env: Record<string, string> = {}): AsyncDisposable {
  const running = execa('haproxy', ['-db', '-f', file], { env, reject: false, stdio: 'ignore' });
  return {
    async [Symbol.asyncDispose]() {
      running.kill('SIGTERM');
      await running;
    },
  };
}

/** What HAProxy's runtime API says to one command; nothing while it starts. */
async function told(api: number, command: string): Promise<string> {
  const socket = net.connect(api, '127.0.0.1', () => socket.end(`${command}\n`));
  let text = '';
  socket.setEncoding('utf8').on('data', (part) => {
    text += String(part);
  });
  socket.on('error', () => {});
  await new Promise((resolve) => socket.on('close', resolve));
  return text;
}

/** Answers everything, /readyz too: the other container of the recipe. */
async function other(): Promise<{ port: number } & AsyncDisposable> {
  const server = http.createServer((_request, response) => response.end('other'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe('behind HAProxy, which asks /readyz', () => {
  it('an update under load is seen by nobody: the other container has the requests meanwhile', async () => {
    const [front, ready] = [await freePort(), await freePort()];
    await using beside = await other();
    await using app = await LoadedContainer.prepare({
      app: 'nodeChanged',
      manner: 'download-then-kill',
      updates: 1,
      startMs: 300,
      env: {
        UPDATE_HTTP_ADDR: `127.0.0.1:${ready}`,
        UPDATE_PRE_STOP_CMD: 'sleep 3',
      },
    });
    await app.start();
    await using _ = haproxy(RECIPE, {
      BIND: `127.0.0.1:${front}`,
      APP1: `127.0.0.1:${app.port}`,
      READY1: String(ready),
      APP2: `127.0.0.1:${beside.port}`,
      READY2: String(beside.port),
    });
    const { container } = app;
    await container.until(
      'HAProxy sends requests to both',
      async () => (await ask(front)) === '0.1.0' && (await ask(front)) === 'other',
    );
    await using load = new Load(
      (['new', 'kept'] as const).map((connections) => ({
        port: front,
        rate: 100,
        connections,
        path: '/?ms=50',
      })),
    );
    await load.answers('0.1.0');
    const updated = app.update('0.1.1');
    // While the hook runs, the app is still there, and gets nothing any more.
    await container.until(
      'the updater is not ready',
      async () => (await ask(ready, '/readyz')) === null,
    );
    assert.equal(await container.ask(), '0.1.0');
    await updated;
    await load.answers('0.1.1');
    const reports = await load.stop();
    for (const { reasons, bodies } of reports) {
      assert.deepEqual(reasons, {});
      assert.deepEqual(Object.keys(bodies).toSorted(), ['0.1.0', '0.1.1', 'other']);
    }
    const hooks = (await container.events()).map(({ type }) => type);
    assert.ok(hooks.indexOf('hookSucceeded') < hooks.lastIndexOf('appStopped'));
  });
});

describe('an app that hangs behind a held socket', () => {
  it('is up for a TCP check, and down for one by HTTP', async () => {
    const [port, api] = [await freePort(), await freePort()];
    await using container = await Container.prepare({
      port,
      image: IMAGES.empty,
      env: { UPDATE_LISTEN: `127.0.0.1:${port}` },
    });
    await container.publish('0.1.0', {
      files: { app: { content: '#!/bin/sh\nexec sleep 1000000\n', mode: 0o755 } },
    });
    await container.create();
    await container.fact('versionBecameHealthy');
    const directory = mkdtempSync(path.join(os.tmpdir(), 'haproxy-'));
    const file = path.join(directory, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  stats socket ipv4@127.0.0.1:${api} level admin
defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
  timeout check 1s
backend tcp
  server app 127.0.0.1:${port} check inter 100ms fall 1 rise 1
backend http
  option httpchk GET /
  server app 127.0.0.1:${port} check inter 100ms fall 1 rise 1
`,
    );
    await using _ = haproxy(file);
    /** Status and what the last check said, by backend. */
    const checks = async () => {
      const stdout = await told(api, 'show stat');
      const [head = '', ...rows] = stdout.split('\n').map((line) => line.split(','));
      const column = (row: string[], name: string) => row[head.indexOf(name)] ?? '';
      return Object.fromEntries(
        rows
          .filter((row) => column(row, 'svname') === 'app')
          .map((row) => [
            column(row, '# pxname'),
            `${column(row, 'status')} ${column(row, 'check_status')}`,
          ]),
      );
    };
    await container.until('both were checked', async () => {
      const { tcp, http: byHttp } = await checks();
      return tcp === 'UP L4OK' && byHttp === 'DOWN L7TOUT';
    });
    rmSync(directory, { recursive: true });
  });
});

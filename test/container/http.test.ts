/**
 * In the container: who wants to see it over HTTP keeps the updater resident. It hears the same
 * words as the loop does, and does the same.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { sendSignal } from '../../src/effects/supervisor/process-table.ts';
import { archive } from '../support/app.ts';
import { Container, PROFILES } from '../support/docker/container.ts';
import { anonymousMemory } from '../support/docker/memory.ts';
import { freePort } from '../support/product.ts';

/** 30 MB where it was measured first, and a fifth. */
const MAX_ANONYMOUS_KB = 36_000;
const TOKEN = 'operator-token-0123456789';

async function served(profile: keyof typeof PROFILES = 'root') {
  const port = await freePort();
  const env = { UPDATE_HTTP_ADDR: `127.0.0.1:${port}`, UPDATE_HTTP_TOKEN: TOKEN, SLEEP: '3600' };
  const container = await Container.run({ env, run: PROFILES[profile] });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    }).catch(() => null);
    return { status: response?.status ?? 0, text: (await response?.text()) ?? '' };
  };
  return { container, port, get };
}

/** So many connections of this machine with itself, for as long as they are used. */
async function connections(count: number): Promise<AsyncDisposable> {
  const server = createServer();
  const accepted: Socket[] = [];
  server.on('connection', (socket) => accepted.push(socket));
  server.listen(0, '127.0.0.3');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const made = Array.from({ length: count }, () => connect({ port, host: '127.0.0.3' }));
  await Promise.all(made.map((socket) => once(socket, 'connect')));
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of [...made, ...accepted]) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describe('a container that serves HTTP', { concurrency: 2 }, () => {
  for (const profile of Object.keys(PROFILES) as (keyof typeof PROFILES)[]) {
    it(`updates, rolls back and restarts as one that does not (${profile})`, async () => {
      const { container, get, port } = await served(profile);
      await using _ = container;
      await container.fact('versionBecameHealthy');
      assert.equal((await get('/readyz')).status, 200);
      assert.match((await get('/')).text, /<title>self-update/);
      await container.publish('0.0.2');
      await container.signal('HUP');
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      await container.publish('0.0.3');
      const act = (name: string) =>
        fetch(`http://127.0.0.1:${port}/api/actions/${name}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${TOKEN}` },
        });
      assert.equal((await act('update')).status, 202);
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
      await container.publish('0.0.4');
      assert.equal(
        (await container.command('update')).exitCode,
        0,
        'a command of the command line ends',
      );
      assert.equal((await container.status()).version, '0.0.4');
      await container.processOf(/^self-update run: 0\.0\.4 runs$/);
      container.github.publish('v0.0.5', {
        'app_0.0.5_linux_amd64.tar.gz': await archive({
          app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 },
        }),
      });
      const { stderr } = await container.command('update');
      const { version, denied } = await container.status();
      assert.equal(version, '0.0.4', stderr);
      assert.deepEqual(
        denied.map((one) => one.version),
        ['0.0.5'],
      );
      assert.match(
        (await get('/metrics')).text,
        /self_update_updates_total\{outcome="rolled_back"\} 1/,
      );
    });
  }

  it('keeps the journal from the app, whose socket the kernel knows', async () => {
    const { container, port, get } = await served();
    await using _ = container;
    await container.fact('versionBecameHealthy');
    const asks = async (place: string, user: string) => {
      const { stdout, stderr } = await container.exec(
        ['wget', '-q', '-S', '-O', '-', `http://127.0.0.1:${port}${place}`],
        ['--user', user],
      );
      return /HTTP\/\S+ (\d+)/.exec(`${stdout}${stderr}`)?.[1];
    };
    for (const place of [
      '/api/facts',
      '/api/history',
      '/api/replay?at=1',
      '/api/events',
      '/api/command?id=1',
    ])
      assert.equal(await asks(place, '1000:1000'), '403', place);
    assert.equal(await asks('/api/facts', '0:0'), '200');
    assert.equal(await asks('/api/status', '1000:1000'), '200');
    assert.equal((await get('/api/facts')).status, 200);
  });

  it('notices a crash loop that begins after the probation, and leaves no word unread', async () => {
    const { container } = await served();
    await using _ = container;
    await container.fact('versionBecameHealthy');
    container.github.publish('v0.0.2', {
      'app_0.0.2_linux_amd64.tar.gz': await archive({
        app: {
          content: '#!/bin/sh\n[ ! -e /tmp/broken ] || exit 1\nexec sleep 1000\n',
          mode: 0o755,
        },
      }),
    });
    await container.signal('HUP');
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await container.exec(['sh', '-c', 'touch /tmp/broken; chmod 644 /tmp/broken']);
    await container.exec([
      '/usr/lib/self-update/bin/sv',
      'term',
      '/run/self-update/private/service/app',
    ]);
    await container.fact('appCrashLooped');
    await container.fact('switched', ({ to, seq }) => to.version !== '0.0.2' && seq > 10);
  });

  it('takes little memory of its own while nothing is due, with dashboards open', async (t) => {
    // With --network host the tables of connections are the machine's, however many it has.
    await using _connections = await connections(2000);
    const { container, get, port } = await served();
    await using _ = container;
    await container.fact('oldVersionsRemoved');
    const streams = await Promise.all(
      Array.from({ length: 5 }, () =>
        fetch(`http://127.0.0.1:${port}/api/events`, {
          headers: { authorization: `Bearer ${TOKEN}` },
        }),
      ),
    );
    for (const path of ['/', '/metrics', '/api/history'])
      assert.equal((await get(path)).status, 200);
    const { kb, parts } = anonymousMemory(await container.processOf(/^self-update run/));
    t.diagnostic(`${(kb / 1000).toFixed(1)} MB anonymous`);
    assert.ok(kb > 1000 && kb < MAX_ANONYMOUS_KB, `${kb} kB: ${parts}`);
    for (const stream of streams) await stream.body?.cancel();
  });

  it('is healthy for Docker and for a probe while a stranger holds every connection', async () => {
    const { container, get, port } = await served();
    await using _ = container;
    await container.fact('versionBecameHealthy');
    const sockets = await Promise.all(
      Array.from({ length: 600 }, async () => {
        const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
        socket.on('error', () => {});
        await once(socket, 'connect');
        socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ');
        return socket;
      }),
    );
    assert.equal((await get('/healthz')).status, 200);
    assert.equal((await container.exec(['/usr/lib/self-update/healthcheck'])).exitCode, 0);
    for (const socket of sockets) socket.destroy();
  });

  it('comes back when its updater is killed, and ends in time', async () => {
    const { container, get } = await served();
    await using _ = container;
    await container.fact('versionBecameHealthy');
    sendSignal(await container.processOf(/^self-update run/), 'SIGKILL');
    await container.until('the server is gone', async () => (await get('/healthz')).status === 0);
    await container.until('the server is back', async () => (await get('/healthz')).status === 200);
    // As long as docker stop waits by itself.
    assert.equal((await container.stop(10)).status, 143);
  });
});

/** What status and metrics say of connections that wait on a held socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import type { Status } from '../../src/report/status.ts';
import { archive } from '../support/app.ts';
import { Served } from '../support/http.ts';
import { freePort } from '../support/product.ts';

/** It has the sockets, and takes no connection: as an app that hangs, or is not there yet. */
const HANGING = `#!${process.execPath}\nsetInterval(() => {}, 1000);\n`;

describe('connections that wait on a held socket', () => {
  it('are told by status and metrics, by the name of the socket', async () => {
    const [port, admin] = [await freePort(), await freePort()];
    await using served = await Served.create({
      env: { UPDATE_LISTEN: `web=127.0.0.1:${port} [::1]:${admin}` },
    });
    served.product.github.publish('v0.0.2', {
      'app_0.0.2.tar.gz': await archive({ app: { content: HANGING, mode: 0o755 } }),
    });
    served.product.start();
    await served.product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    const clients = [];
    for (let count = 0; count < 3; count++) {
      const client = net.connect(port, '127.0.0.1');
      await once(client, 'connect');
      clients.push(client);
    }
    const { stdout } = await served.product.command(['status', '--json']);
    const status = JSON.parse(stdout) as Status;
    assert.deepEqual(status.listening, [
      { name: 'web', address: '127.0.0.1', port, waiting: 3 },
      { name: String(admin), address: '::1', port: admin, waiting: 0 },
    ]);
    assert.equal(typeof status.listenOverflows, 'number');
    const text = (await served.product.command(['status'])).stdout;
    assert.match(
      text,
      new RegExp(
        `^listening +web 127\\.0\\.0\\.1:${port} \\(3 waiting\\), \\[::1\\]:${admin}(?:$|;)`,
        'm',
      ),
    );
    const metrics = (await served.ask('/metrics')).text;
    assert.match(metrics, /^self_update_listen_queue\{name="web"\} 3$/m);
    assert.match(metrics, new RegExp(`^self_update_listen_queue\\{name="${admin}"\\} 0$`, 'm'));
    assert.match(metrics, /^self_update_listen_overflows_total \d+$/m);
    for (const client of clients) client.destroy();
  });

  it('are not spoken of without held sockets', async () => {
    await using served = await Served.create();
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
    const status = JSON.parse((await served.product.command(['status', '--json'])).stdout);
    assert.deepEqual([status.listening, status.listenOverflows], [[], null]);
    assert.doesNotMatch((await served.product.command(['status'])).stdout, /^listening/m);
    const metrics = (await served.ask('/metrics')).text;
    assert.doesNotMatch(metrics, /self_update_listen/);
  });
});

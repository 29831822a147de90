/** Whose process is at the other end of a connection: by real sockets of real users. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { mayBeOf } from '../../src/web/peer.ts';

const APP_UID = 65534;
const OURS = { localAddress: '127.0.0.1', localPort: 1 };
const CLIENT = "require('net').connect(Number(process.argv[1]), process.argv[2]).resume()";

/** Runs `look` on the server's end of a connection by a process of `uid`. */
async function connectedBy(
  uid: number,
  { host, listen }: { host: string; listen: string },
  look: (socket: net.Socket) => void,
): Promise<void> {
  const server = net.createServer();
  server.listen(0, listen);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = spawn(process.execPath, ['-e', CLIENT, `${port}`, host], {
    uid,
    gid: uid,
    cwd: '/',
    env: {},
    stdio: 'ignore',
  });
  try {
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    look(socket);
    socket.destroy();
  } finally {
    client.kill('SIGKILL');
    server.close();
  }
}

describe('the user of a connection', {
  skip: process.getuid?.() === 0 ? false : 'needs root, to be another user',
}, () => {
  for (const [name, where] of Object.entries({
    'over IPv4': { host: '127.0.0.1', listen: '127.0.0.1' },
    'over IPv4 to a listener of both kinds': { host: '127.0.0.1', listen: '::' },
    'over IPv6': { host: '::1', listen: '::' },
  })) {
    it(`is the app ${name}`, () =>
      connectedBy(APP_UID, where, (socket) => assert.equal(mayBeOf(APP_UID, socket), true)));
    it(`is somebody else ${name}`, () =>
      connectedBy(0, where, (socket) => assert.equal(mayBeOf(APP_UID, socket), false)));
  }

  it('is not asked for where it comes from elsewhere', () => {
    assert.equal(
      mayBeOf(APP_UID, { ...OURS, remotePort: 2, remoteAddress: '192.0.2.1' } as net.Socket),
      false,
    );
  });

  it('may be the app where the kernel knows of no such connection here', () => {
    assert.equal(
      mayBeOf(APP_UID, { ...OURS, remotePort: 2, remoteAddress: '127.0.0.1' } as net.Socket),
      true,
    );
  });

  // With --network host the tables are the machine's, and every request asks.
  it('takes no memory to find that grows with the connections of the machine', async () => {
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const clients = Array.from({ length: 300 }, () => net.connect(port, '127.0.0.1'));
    try {
      await Promise.all(clients.map((client) => once(client, 'connect')));
      const unknown = { ...OURS, remotePort: 2, remoteAddress: '127.0.0.1' } as net.Socket;
      assert.equal(mayBeOf(APP_UID, unknown), true);
      const before = process.memoryUsage().arrayBuffers;
      for (let look = 0; look < 20; look++) mayBeOf(APP_UID, unknown);
      const left = process.memoryUsage().arrayBuffers - before;
      assert.ok(left < 256 * 1024, `${left} bytes are left of 20 looks`);
    } finally {
      for (const client of clients) client.destroy();
      server.close();
    }
  });

  it('is the app where a connection that has ended had the same ports, and is nobody’s any more', async () => {
    const server = net.createServer((socket) => socket.on('end', () => socket.end()));
    server.listen(0, '::');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    // The one that closes first keeps the port in TIME_WAIT, as root's.
    const first = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    await once(first, 'connect');
    const { localPort = 0 } = first;
    first.end();
    await once(first, 'close');
    const script =
      "require('net').connect({ port: +process.argv[1], host: '::ffff:127.0.0.1', localAddress: '::ffff:127.0.0.3', localPort: +process.argv[2], family: 6 }).resume()";
    const client = spawn(process.execPath, ['-e', script, `${port}`, `${localPort}`], {
      uid: APP_UID,
      gid: APP_UID,
      cwd: '/',
      env: {},
      stdio: 'ignore',
    });
    try {
      const [socket] = (await once(server, 'connection')) as [net.Socket];
      assert.equal(socket.remotePort, localPort);
      assert.equal(mayBeOf(APP_UID, socket), true);
      socket.destroy();
    } finally {
      client.kill('SIGKILL');
      server.close();
    }
  });
});

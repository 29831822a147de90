/**
 * A registry by the names that it has in the world: a proxy that leads each of them to a server of
 * ours, with a certificate for all of them.
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { execa } from 'execa';

export class ByName implements AsyncDisposable {
  /** Who was asked for: `HOST:PORT`. */
  readonly asked: string[] = [];
  /** For `NODE_EXTRA_CA_CERTS`. */
  readonly certificate: string;
  readonly #root: string;
  readonly #server: https.Server;
  readonly #proxy: http.Server;
  /** A server forgets those that became tunnels. */
  readonly #sockets: Duplex[] = [];

  private constructor(root: string, certificate: string, server: https.Server) {
    this.#root = root;
    this.certificate = certificate;
    this.#server = server;
    this.#proxy = http.createServer().on('connect', ({ url = '' }, socket) => {
      this.asked.push(url);
      const { port } = server.address() as AddressInfo;
      const target = net.connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(target).pipe(socket);
      });
      for (const end of [socket, target]) {
        this.#sockets.push(end);
        end.on('error', () => {});
      }
    });
  }

  static async start(names: readonly string[], answer: http.RequestListener): Promise<ByName> {
    const root = mkdtempSync(path.join(os.tmpdir(), 'names-'));
    const [key, cert] = [path.join(root, 'key.pem'), path.join(root, 'cert.pem')] as const;
    const subject = `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`;
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const what = ['-subj', '/CN=names', '-addext', subject, '-keyout', key, '-out', cert];
    await execa('openssl', ['req', '-x509', ...kind, ...what]);
    const tls = { key: readFileSync(key), cert: readFileSync(cert) };
    const started = new ByName(root, cert, https.createServer(tls, answer));
    await once(started.#server.listen(0, '127.0.0.1'), 'listening');
    await once(started.#proxy.listen(0, '127.0.0.1'), 'listening');
    return started;
  }

  /** For `HTTPS_PROXY`. */
  get proxy(): string {
    return `http://127.0.0.1:${(this.#proxy.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of [this.#proxy, this.#server]) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
    rmSync(this.#root, { recursive: true, force: true });
  }
}

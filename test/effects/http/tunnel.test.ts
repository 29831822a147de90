/** A real proxy and a real server: what goes through the tunnel, and what goes past it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import tls from 'node:tls';
import { isDirect, tunnelAgent } from '../../../src/effects/http/tunnel.ts';

const work = mkdtempSync(path.join(os.tmpdir(), 'tunnel-'));
after(() => rmSync(work, { recursive: true }));

/** An https server and a proxy before it; the certificate is for `localhost`. */
async function world({ isSecure = false } = {}) {
  const [keyFile, certFile] = [path.join(work, 'key.pem'), path.join(work, 'cert.pem')];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    keyFile,
    '-out',
    certFile,
    ...name,
  ];
  execFileSync('openssl', args, { stdio: 'ignore' });
  const ca = readFileSync(certFile);
  const server = https.createServer({ key: readFileSync(keyFile), cert: ca }, (request, response) =>
    response.end(`hello, ${request.url}`),
  );
  const asked: string[] = [];
  const proxy = (
    isSecure ? https.createServer({ key: readFileSync(keyFile), cert: ca }) : http.createServer()
  ).on('connect', ({ url = '', headers }, socket) => {
    asked.push(`${url} ${headers['proxy-authorization'] ?? ''}`.trim());
    const { port } = new URL(`http://${url}`);
    const target = net.connect(Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(target).pipe(socket);
    });
    for (const end of [socket, target]) end.on('error', () => {});
  });
  for (const one of [server, proxy]) await once(one.listen(0, '127.0.0.1'), 'listening');
  const [port, proxyPort] = [server, proxy].map((one) => (one.address() as AddressInfo).port);
  const get = async (noProxy: string): Promise<string> => {
    const agent = tunnelAgent(
      { http, https },
      {
        url: new URL(
          `${isSecure ? 'https://ada:p%ss@localhost' : 'http://ada:p%40ss@127.0.0.1'}:${proxyPort}`,
        ),
        noProxy,
      },
      10_000,
    );
    const [response] = (await once(
      https.get({ host: 'localhost', port, path: '/releases', agent, ca }),
      'response',
    )) as [http.IncomingMessage];
    return (await response.toArray()).join('');
  };
  const close = () => [server, proxy].forEach((one) => void one.close());
  return { get, asked, port, close };
}

it('what is asked through a proxy is answered, and TLS is spoken with the server itself', async () => {
  const { get, asked, port, close } = await world();
  assert.equal(await get(''), 'hello, /releases');
  assert.deepEqual(asked, [
    `localhost:${port} Basic ${Buffer.from('ada:p@ss').toString('base64')}`,
  ]);
  assert.equal(await get('localhost'), 'hello, /releases');
  assert.equal(asked.length, 1, 'what NO_PROXY names was asked through the proxy');
  close();
});

it('a proxy that is reached by TLS proves its own name, and a bare % in its password is one', async () => {
  const { get, asked, port, close } = await world({ isSecure: true });
  tls.setDefaultCACertificates([readFileSync(path.join(work, 'cert.pem'), 'utf8')]);
  assert.equal(await get(''), 'hello, /releases');
  assert.deepEqual(asked, [
    `localhost:${port} Basic ${Buffer.from('ada:p%ss').toString('base64')}`,
  ]);
  close();
});

it('NO_PROXY names hosts, what lies below, ports, ranges and blocks of addresses', () => {
  const table: [noProxy: string, host: string, port: number, expected: boolean][] = [
    ['', 'api.github.com', 443, false],
    ['*', 'api.github.com', 443, true],
    ['api.github.com', 'API.github.com', 443, true],
    ['github.com', 'api.github.com', 443, false],
    ['.github.com', 'api.github.com', 443, true],
    ['.github.com', 'github.com', 443, true],
    ['.github.com', 'notgithub.com', 443, false],
    ['*.github.com', 'api.github.com', 443, true],
    ['*.github.com', 'github.com', 443, false],
    ['other, api.github.com:443', 'api.github.com', 443, true],
    ['api.github.com:8443', 'api.github.com', 443, false],
    ['10.0.0.1-10.0.0.9', '10.0.0.9', 443, true],
    ['10.0.0.1-10.0.0.9', '10.0.0.10', 443, false],
    ['10.0.0.0/8', '10.200.3.4', 443, true],
    ['10.0.0.0/8', '11.0.0.1', 443, false],
    ['fd00::/8', 'fd12::1', 443, true],
    ['10.0.0.0/8', 'fd12::1', 443, false],
    ['10.0.0.0/99,10.0.0.9-10.0.0.1,10.0.0.0/', '10.0.0.1', 443, false],
  ];
  for (const [noProxy, host, port, expected] of table)
    assert.equal(isDirect(noProxy, host, port), expected, `${noProxy} for ${host}:${port}`);
});

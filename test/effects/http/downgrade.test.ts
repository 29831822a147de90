/** From https to http: never, whatever may be plain besides. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import tls from 'node:tls';
import { Http } from '../../../src/effects/http/http.ts';

const work = mkdtempSync(path.join(os.tmpdir(), 'downgrade-'));
after(() => rmSync(work, { recursive: true }));

/** A server with TLS, whose answer is a redirect to one without. */
async function world() {
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
  const cert = readFileSync(certFile, 'utf8');
  tls.setDefaultCACertificates([...tls.getCACertificates(), cert]);
  const asked: string[] = [];
  const plain = http.createServer(({ url = '' }, response) => {
    asked.push(url);
    response.end('from plain http');
  });
  const secure = https.createServer(
    { key: readFileSync(keyFile), cert },
    ({ url = '' }, response) => {
      const location = url === '/again' ? '/here' : `${plainUrl()}/storage`;
      response.writeHead(url === '/here' ? 200 : 302, { location }).end();
    },
  );
  for (const server of [plain, secure]) await once(server.listen(0, '127.0.0.1'), 'listening');
  const plainUrl = () => `http://localhost:${(plain.address() as AddressInfo).port}`;
  const secureUrl = `https://localhost:${(secure.address() as AddressInfo).port}`;
  const get = (apiUrl: string, url: string) => {
    const client = new Http({
      userAgent: 'test',
      apiUrl,
      assetHosts: ['localhost'],
      mayBePlain: () => true,
      token: () => null,
      proxyEnvironment: {},
    });
    return client
      .get(url, {}, AbortSignal.timeout(30_000), { decompress: false, sameHost: false })
      .then(({ stream, status }) => {
        stream.destroy();
        return status;
      });
  };
  const close = () => [plain, secure].forEach((server) => void server.close());
  return { get, asked, plainUrl: plainUrl(), secureUrl, close };
}

it('a redirect from https to http is refused under UPDATE_INSECURE_HTTP and to loopback, and so is an http address that https names', async () => {
  const { get, asked, plainUrl, secureUrl, close } = await world();
  try {
    assert.equal(await get(secureUrl, `${secureUrl}/again`), 200);
    const refused = { code: 'REDIRECT_REFUSED', message: /from https to http.*never followed/ };
    await assert.rejects(get(secureUrl, `${secureUrl}/asset`), refused);
    // A mirror without TLS that leads to one with it: from there on it stays.
    await assert.rejects(get(plainUrl, `${secureUrl}/asset`), refused);
    await assert.rejects(get(secureUrl, `${plainUrl}/asset`), refused);
    assert.deepEqual(asked, []);
    assert.equal(await get(plainUrl, `${plainUrl}/asset`), 200);
  } finally {
    close();
  }
});

// GitHub's webhook for many containers: passes what it gets on to each of them, unchanged, so that
// each checks the signature itself. With the Node of the image:
//   TO="app-0:9090 app-1:9090" PORT=8080 node webhook.js
// A name stands for all addresses that it has: one headless Service, or one alias of Compose, is
// enough. The answer is 202 when at least one container took it, and 502 when none did.
import { lookup } from 'node:dns/promises';
import http from 'node:http';

const TO = (process.env.TO ?? '').split(' ').filter((one) => one !== '');
// GitHub's payloads are 25 MB at most; those of releases are some kB.
const MAX_BODY_BYTES = 1024 * 1024;
const WITHIN_MS = 8_000;

async function addressesOf(target) {
  const { hostname, port } = new URL(`http://${target}`);
  const found = await lookup(hostname, { all: true });
  return found.map(({ address, family }) => {
    const host = family === 6 ? `[${address}]` : address;
    return `http://${host}:${port || 80}/hooks/github`;
  });
}

async function pass(address, headers, body) {
  const signal = AbortSignal.timeout(WITHIN_MS);
  const response = await fetch(address, { method: 'POST', headers, body, signal });
  if (!response.ok) throw new Error(`${address} answered ${response.status}`);
}

async function bodyOf(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('the body is too large');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

const server = http.createServer(async (request, response) => {
  try {
    if (request.method !== 'POST' || request.url !== '/hooks/github')
      return response.writeHead(404).end();
    const body = await bodyOf(request);
    const wanted = /^(?:content-type|x-github-.*|x-hub-signature-256)$/;
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => wanted.test(name)),
    );
    const looked = await Promise.allSettled(TO.map(addressesOf));
    const addresses = looked.flatMap(({ value }) => value ?? []);
    const passed = await Promise.allSettled(addresses.map((one) => pass(one, headers, body)));
    for (const { reason } of [...looked, ...passed]) if (reason) console.error(String(reason));
    const taken = passed.filter(({ status }) => status === 'fulfilled').length;
    response.writeHead(taken > 0 ? 202 : 502).end(`${taken} of ${addresses.length}\n`);
  } catch (error) {
    console.error(String(error));
    response.writeHead(400).end();
  }
});
server.requestTimeout = 20_000;
server.listen(Number(process.env.PORT ?? 8080), process.env.HOST);

/**
 * Ten real updaters behind one address, with the remedies of docs/fleet.md: the cache in front of
 * GitHub's API, by the very file of examples/fleet/github-cache and the real nginx, and one webhook
 * that is passed on to all, by examples/fleet/webhook.js.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { appArchive } from '../support/app.ts';
import { FakeGitHub, type Request } from '../support/github/server.ts';
import { freePort, Product, TOKEN } from '../support/product.ts';
import { filled } from '../support/template.ts';

const EXAMPLES = path.join(import.meta.dirname, '..', '..', 'examples', 'fleet');
const CONTAINERS = 10;
const HEARERS = 3;
const SECRET = 'a secret of the webhook';

/** Resolves once somebody listens there. */
async function listening(port: number): Promise<void> {
  for (let isThere = false; !isThere; await sleep(20)) {
    const socket = net.connect(port, '127.0.0.1');
    isThere = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
  }
}

type Cache = { url: string } & AsyncDisposable;

/** The real nginx; what it keeps is gone with it. */
async function cache(github: FakeGitHub, fresh: string): Promise<Cache> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'github-cache-'));
  const port = await freePort();
  const authorization = path.join(directory, 'authorization');
  writeFileSync(authorization, `proxy_set_header Authorization "Bearer ${TOKEN}";\n`);
  const server = filled(path.join(EXAMPLES, 'github-cache', 'default.conf.template'), {
    GITHUB_API: github.url,
    GITHUB_AUTHORIZATION: authorization,
    CACHE_LISTEN: `127.0.0.1:${port}`,
    CACHE_FRESH: fresh,
  }).replace('/var/cache/nginx/github', path.join(directory, 'cache'));
  const file = path.join(directory, 'nginx.conf');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  writeFileSync(
    file,
    // As the image has it, around the server of the example.
    `daemon off; user root; pid ${directory}/pid; events {} http { ${paths.join(' ')}\n${server} }`,
  );
  const nginx = execa('nginx', ['-p', directory, '-c', file, '-e', 'stderr'], {
    reject: false,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await listening(port);
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      nginx.kill('SIGTERM');
      await nginx;
      rmSync(directory, { recursive: true });
    },
  };
}

const publish = async (github: FakeGitHub, version: string) =>
  github.publish(`v${version}`, {
    [`app_${version}_linux_amd64.tar.gz`]: await appArchive({
      version,
      port: 0,
      files: { app: { content: '#!/bin/sh\nexec sleep 1000000\n', mode: 0o755 } },
    }),
  });

/** Of the API: downloads come from elsewhere. Each with how often it was asked. */
function asked(requests: readonly Request[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { path: where, headers } of requests) {
    if (!where.startsWith('/repos/')) continue;
    const what = `${where} ${headers.accept}`;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

async function fleet(
  containers: number,
  env: (index: number) => Record<string, string>,
): Promise<{ products: Product[] } & AsyncDisposable> {
  const products = await Promise.all(
    Array.from({ length: containers }, (_, index) =>
      Product.create({
        baked: null,
        env: { SLEEP: '3600', UPDATE_STRATEGY: 'download-then-kill', ...env(index) },
      }),
    ),
  );
  return {
    products,
    async [Symbol.asyncDispose]() {
      for (const product of products) await product.dispose();
    },
  };
}

const healthy = (products: readonly Product[], version: string) =>
  Promise.all(
    products.map((product) =>
      product.fact('versionBecameHealthy', (fact) => fact.version === version),
    ),
  );

describe('ten updaters behind a cache', () => {
  let github: FakeGitHub;
  before(async () => {
    github = await new FakeGitHub({ token: TOKEN }).listen();
    await publish(github, '0.0.1');
  });
  after(() => github.close());

  it('cost GitHub one request for each address, to check and to install, and need no token', async () => {
    await using front = await cache(github, '1h');
    await using containers = await fleet(CONTAINERS, () => ({
      UPDATE_GH_API_URL: front.url,
      UPDATE_GH_TOKEN: '',
    }));
    const { products } = containers;
    for (const product of products) product.start();
    await healthy(products, '0.0.1');
    const counts = asked(github.requests);
    assert.ok(Object.keys(counts).length >= 2, JSON.stringify(counts));
    assert.deepEqual(new Set(Object.values(counts)), new Set([1]), JSON.stringify(counts));
    assert.ok(Object.keys(counts).some((what) => / application\/octet-stream$/.test(what)));
    for (const { headers, path: where } of github.requests)
      if (where.startsWith('/repos/')) assert.equal(headers.authorization, `Bearer ${TOKEN}`);
    // Nobody waits for a quota that is the cache's.
    assert.equal((await products[0]?.status())?.lastError, null);
    for (const product of products) await product.command(['check']);
    assert.deepEqual(asked(github.requests), counts, 'checks that the cache answers');
  });

  it('are answered while GitHub is down, and GitHub is asked whether anything changed', async () => {
    await using front = await cache(github, '1s');
    const address = `${front.url}/repos/acme/app/releases/latest`;
    const read = async () => {
      const response = await fetch(address);
      return { status: response.status, text: await response.text() };
    };
    const before = await read();
    assert.equal(before.status, 200);
    const conditional = github.nextRequest(/releases\/latest$/);
    // It is fresh for a second: asked until GitHub is.
    let isOver = false;
    const over = conditional.then((request) => {
      isOver = true;
      return request;
    });
    while (!isOver) {
      assert.deepEqual(await read(), before);
      await sleep(50);
    }
    assert.match((await over).headers['if-none-match'] ?? '', /^(?:W\/)?"/);
    github.misbehave.api = { status: 503 };
    const refused = github.nextRequest(/releases\/latest$/);
    let wasRefused = false;
    void refused.then(() => {
      wasRefused = true;
    });
    while (!wasRefused) {
      assert.deepEqual(await read(), before);
      await sleep(50);
    }
    assert.deepEqual(await read(), before);
    delete github.misbehave.api;
  });
});

describe('updaters with one webhook', () => {
  it('all hear of a release at once, though they ask once a day', async () => {
    await using github = await listeningGitHub();
    await publish(github.server, '0.0.1');
    const ports = await Promise.all(Array.from({ length: HEARERS }, freePort));
    await using containers = await fleet(HEARERS, (index) => ({
      UPDATE_GH_API_URL: github.server.url,
      SLEEP: '86400',
      UPDATE_HTTP_ADDR: `127.0.0.1:${ports[index]}`,
      UPDATE_WEBHOOK_SECRET: SECRET,
    }));
    const { products } = containers;
    for (const product of products) product.start();
    await healthy(products, '0.0.1');
    const port = await freePort();
    const relay = execa(process.execPath, [path.join(EXAMPLES, 'webhook.js')], {
      env: {
        HOST: '127.0.0.1',
        PORT: String(port),
        TO: ports.map((one) => `127.0.0.1:${one}`).join(' '),
      },
      reject: false,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    try {
      await listening(port);
      await publish(github.server, '0.0.2');
      const body = JSON.stringify({ action: 'released', repository: { full_name: 'acme/app' } });
      const deliver = async (secret: string) => {
        const signature = createHmac('sha256', secret).update(body).digest('hex');
        const response = await fetch(`http://127.0.0.1:${port}/hooks/github`, {
          method: 'POST',
          body,
          headers: {
            'content-type': 'application/json',
            'x-github-event': 'release',
            'x-github-delivery': crypto.randomUUID(),
            'x-hub-signature-256': `sha256=${signature}`,
          },
        });
        return `${response.status} ${await response.text()}`;
      };
      assert.equal(await deliver('of somebody else'), `502 0 of ${HEARERS}\n`);
      assert.equal(await deliver(SECRET), `202 ${HEARERS} of ${HEARERS}\n`);
      await healthy(products, '0.0.2');
    } finally {
      relay.kill('SIGTERM');
      await relay;
    }
  });
});

async function listeningGitHub(): Promise<{ server: FakeGitHub } & AsyncDisposable> {
  const server = await new FakeGitHub({ token: TOKEN }).listen();
  return { server, [Symbol.asyncDispose]: () => server.close() };
}

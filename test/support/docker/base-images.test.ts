/**
 * How the Dockerfile's base images are pinned, against a registry that answers as Docker's does.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { describe, it } from 'node:test';
import {
  baseImages,
  currentDigest,
  lockLine,
  pinnedSettings,
  readPinnedSettings,
} from '../../../scripts/pin-base-images.ts';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');
const DOCKERFILE = readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8');
const ARGUMENT = 'ARG DEBIAN_IMAGE=debian:bookworm-slim';
const NEW = `sha256:${'b'.repeat(64)}`;
const INDEX = 'application/vnd.oci.image.index.v1+json';

async function registry(
  digest: string,
  type = INDEX,
): Promise<{ url: string; asked: string[] } & AsyncDisposable> {
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    if (request.url?.startsWith('/token?'))
      return void response.end(JSON.stringify({ token: 'anonymous' }));
    if (request.headers.authorization !== 'Bearer anonymous')
      return void response
        .writeHead(401, {
          'www-authenticate': `Bearer realm="${url}/token",service="registry",scope="repository:library/debian:pull"`,
        })
        .end();
    response
      .writeHead(request.url === '/v2/library/debian/manifests/bookworm-slim' ? 200 : 404, {
        'docker-content-digest': digest,
        'content-type': type,
      })
      .end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('the base images', () => {
  it('of the Dockerfile are all in the lock by digest, and the Dockerfile names them by tag, for machines that reach no registry', () => {
    const settings = readPinnedSettings();
    assert.deepEqual(
      settings.map((line) => line.replace(/@sha256:[0-9a-f]{64}$/, '')),
      [...DOCKERFILE.matchAll(/^ARG (\w+_IMAGE=\S+)$/gm)].map(([, setting]) => setting),
    );
    assert.deepEqual(
      baseImages(DOCKERFILE).map(({ argument }) => argument),
      ['NODE_IMAGE', 'DEBIAN_IMAGE'],
    );
  });

  it('can be named nowhere else than where they are pinned', () => {
    assert.throws(
      () => baseImages('FROM debian:bookworm-slim AS x\nFROM x\n'),
      /FROM debian:bookworm-slim: name it in an ARG/,
    );
    assert.deepEqual(
      baseImages(`${ARGUMENT}\nFROM \${DEBIAN_IMAGE} AS x\nFROM x AS y\nFROM scratch\n`),
      [{ argument: 'DEBIAN_IMAGE', name: 'debian', tag: 'bookworm-slim' }],
    );
  });

  for (const [what, lock] of [
    ['is empty', ''],
    ['has a tag only', 'DEBIAN_IMAGE=debian:bookworm-slim\n'],
    ['has a digest that is none', 'DEBIAN_IMAGE=debian:bookworm-slim@sha256:x\n'],
    ['has another tag', `DEBIAN_IMAGE=debian:trixie-slim@${NEW}\n`],
    ['has an image more', `DEBIAN_IMAGE=debian:bookworm-slim@${NEW}\nNODE_IMAGE=node:24@${NEW}\n`],
  ] as const)
    it(`are not taken from a lock that ${what}`, () => {
      assert.throws(
        () => pinnedSettings(`${ARGUMENT}\n`, lock),
        /scripts\/base-images\.lock has .*: npm run pin-base-images/,
      );
    });

  it('are renewed to what the registry has, with the token that it sends us for', async () => {
    await using server = await registry(NEW);
    const [image] = baseImages(`${ARGUMENT}\n`);
    assert.ok(image);
    const line = lockLine(image, await currentDigest(image, server.url));
    assert.equal(server.asked.length, 3);
    assert.deepEqual(pinnedSettings(`${ARGUMENT}\n`, `${line}\n`), [
      `DEBIAN_IMAGE=debian:bookworm-slim@${NEW}`,
    ]);
  });

  it('are not pinned to one architecture, to nothing, or to what is not there', async () => {
    const debian = { name: 'debian', tag: 'bookworm-slim' };
    await using single = await registry(NEW, 'application/vnd.oci.image.manifest.v1+json');
    await assert.rejects(currentDigest(debian, single.url), /no index of several architectures/);
    await using odd = await registry('sha256:x');
    await assert.rejects(currentDigest(debian, odd.url), /no index/);
    await assert.rejects(currentDigest({ name: 'debian', tag: 'gone' }, odd.url), /answered 404/);
  });
});

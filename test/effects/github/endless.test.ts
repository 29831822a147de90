/** Answers that never end: each is cut off by its bytes or by its time, and told as what it is. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { Http } from '../../../src/effects/http/http.ts';
import { GitHub } from '../../../src/effects/sources/github.ts';
import { Fault } from '../../../src/support/fault.ts';

const ENOUGH_BYTES = 64 * 1024 * 1024;
const CHUNKED =
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n';
const chunk = (data: Buffer | string) =>
  Buffer.concat([
    Buffer.from(`${data.length.toString(16)}\r\n`),
    Buffer.from(data),
    Buffer.from('\r\n'),
  ]);

type Outcome = { error: unknown; sentBytes: number };

/** Sends `begin`, and then `again` for as long as it is taken. */
async function asked(
  begin: Buffer | string,
  again: Buffer | string,
  timeMs = 60_000,
): Promise<Outcome> {
  let sentBytes = 0;
  const closed: Promise<unknown>[] = [];
  const server = net.createServer((socket: Socket) => {
    socket.on('error', () => {});
    closed.push(new Promise((resolve) => socket.on('close', resolve)));
    const pour = (): void => {
      while (!socket.destroyed && sentBytes < 4 * ENOUGH_BYTES) {
        sentBytes += again.length;
        if (!socket.write(again)) return;
      }
    };
    socket.once('data', () => {
      socket.write(begin);
      pour();
    });
    socket.on('drain', pour);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const http = new Http({
    userAgent: 'test',
    apiUrl: url,
    assetHosts: ['127.0.0.1'],
    mayBePlain: () => true,
    token: () => null,
    proxyEnvironment: {},
  });
  const github = new GitHub({
    http,
    repository: 'acme/app',
    cache: { read: () => null, write: () => {} },
    now: Date.now,
  });
  const error = await github.latest(0, AbortSignal.timeout(timeMs)).then(
    () => new Error('it was taken'),
    (reason: unknown) => reason,
  );
  // The connection is given up, too.
  await Promise.all(closed);
  server.close();
  return { error, sentBytes };
}

async function isCutOff(
  code: string,
  begin: Buffer | string,
  again: Buffer | string,
): Promise<void> {
  const { error, sentBytes } = await asked(begin, again);
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.ok(sentBytes < ENOUGH_BYTES, `${sentBytes} bytes were taken`);
}

describe('an answer of the API without an end', () => {
  const blanks = Buffer.alloc(64 * 1024, ' ');

  it('is cut off, chunked or not', async () => {
    await isCutOff('ANSWER_TOO_LARGE', `${CHUNKED}\r\n`, chunk(blanks));
    await isCutOff('ANSWER_TOO_LARGE', 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n', blanks);
  });

  it('is cut off that announces 100 GB', async () => {
    await isCutOff(
      'ANSWER_TOO_LARGE',
      'HTTP/1.1 200 OK\r\ncontent-length: 107374182400\r\n\r\n',
      blanks,
    );
  });

  it('is cut off by its decompressed bytes (a gzip bomb)', async () => {
    const bomb = gzipSync(Buffer.alloc(ENOUGH_BYTES, ' '), { level: 9 });
    const begin = Buffer.concat([
      Buffer.from(`${CHUNKED}content-encoding: gzip\r\n\r\n`),
      chunk(bomb),
    ]);
    await isCutOff('ANSWER_TOO_LARGE', begin, chunk(bomb));
  });

  it('is cut off that refuses', async () => {
    await isCutOff('ANSWER_TOO_LARGE', 'HTTP/1.1 500 No\r\nconnection: close\r\n\r\n', blanks);
  });

  it('is not read where it says that there is nothing, or something else elsewhere', async () => {
    const missing = await asked('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n', blanks);
    assert.match(String(missing.error), /it was taken/);
    assert.ok(missing.sentBytes < ENOUGH_BYTES);
    await isCutOff(
      'REDIRECT_REFUSED',
      'HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\nconnection: close\r\n\r\n',
      blanks,
    );
  });

  it('is cut off in its head, and in what follows its last chunk', async () => {
    await isCutOff('NETWORK_FAILED', 'HTTP/1.1 200 OK\r\n', `x-long: ${'y'.repeat(1024)}\r\n`);
    await isCutOff('NETWORK_FAILED', 'HTTP/1.1 200 OK\r\nx-long: ', 'y'.repeat(1024));
    await isCutOff(
      'NETWORK_FAILED',
      `${CHUNKED}\r\n${chunk('{}')}0\r\n`,
      `x-trailer: ${'y'.repeat(1024)}\r\n`,
    );
    await isCutOff('NETWORK_FAILED', `${CHUNKED}\r\n`, `1;${'y'.repeat(64 * 1024)}`);
  });

  it('that never begins, behind ever more preliminary ones (103), is given up when its time is up', async () => {
    const { error } = await asked('', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n', 500);
    assert.ok(error instanceof Fault || (error as Error).name === 'TimeoutError', String(error));
    assert.doesNotMatch(String(error), /was taken/);
  });
});

describe('a list of releases in eight pages of almost 3 MiB each', () => {
  const PAGE_BYTES = 3 * 1024 * 1024 - 4096;

  /** Read by a process with a heap of 128 MB. */
  async function readIn128Mb(itemOf: (bytes: number) => string): Promise<Record<string, unknown>> {
    const server = createServer((request, response) => {
      const count = Number(new URL(request.url ?? '', 'http://x').searchParams.get('per_page'));
      response.writeHead(200, { 'content-type': 'application/json', etag: `"${request.url}"` });
      response.end(
        `[${Array.from({ length: count }, () => itemOf(Math.floor(PAGE_BYTES / count) - 1)).join()}]`,
      );
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const child = path.join(import.meta.dirname, '..', '..', 'support', 'list-child.ts');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const run = promisify(execFile)(process.execPath, ['--max-old-space-size=128', child, url], {
      timeout: 120_000,
    });
    const { stdout } = await run.finally(() => server.close());
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  it('that hold no release needs the memory of one, and nothing of it is kept', async () => {
    const { code, keptCharacters } = await readIn128Mb(
      (bytes) => `{"x":[${'[],'.repeat((bytes - 10) / 3)}[]]}`,
    );
    assert.equal(code, 'ANSWER_MALFORMED');
    assert.ok(Number(keptCharacters) < 100_000, `${keptCharacters} characters were kept`);
  });

  it('that hold releases with long notes needs little more', async () => {
    const begin = '{"tag_name":"v1.0.0","draft":false,"prerelease":false,"assets":[],"body":"';
    const { releases, isComplete, keptCharacters } = await readIn128Mb(
      (bytes) => `${begin}${'n'.repeat(bytes - begin.length - 2)}"}`,
    );
    assert.deepEqual({ releases, isComplete }, { releases: 8 * 24, isComplete: false });
    assert.ok(Number(keptCharacters) < 1_000_000, `${keptCharacters} characters were kept`);
  });
});

describe('a redirect that leads to another slow one', () => {
  it('does not begin the time for an answer anew: the app may be down meanwhile', async () => {
    const headWithinMs = 1000;
    const hops: number[] = [];
    const server = createServer((_, response) => {
      hops.push(Date.now());
      // Each by itself has time enough; five of them have not.
      setTimeout(
        () => response.writeHead(302, { location: `/${hops.length}` }).end(),
        headWithinMs / 2,
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const http = new Http({
      userAgent: 'test',
      apiUrl: url,
      assetHosts: ['127.0.0.1'],
      mayBePlain: () => true,
      token: () => null,
      proxyEnvironment: {},
      headWithinMs,
    });
    try {
      const asking = http.get(url, {}, AbortSignal.timeout(100_000), {
        decompress: false,
        sameHost: false,
      });
      await assert.rejects(asking, { code: 'NETWORK_FAILED', message: /did not end within 1 s/ });
      assert.ok(hops.length <= 3, `${hops.length} were followed`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

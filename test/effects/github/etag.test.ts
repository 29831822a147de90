/** ETags that a server chose: none may come back to it in a way that it refuses at every poll. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it, type TestContext } from 'node:test';
import { Http } from '../../../src/effects/http/http.ts';
import type { CachedAnswer } from '../../../src/effects/sources/conditional.ts';
import { GitHub } from '../../../src/effects/sources/github.ts';

const REPOSITORY = JSON.stringify({ id: 7 });
const CONDITION = 'if-none-match';

/** A poller of its own cache, and what it was asked with: the conditions of each request. */
async function pollerOf(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const conditions: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    conditions.push(request.headers[CONDITION]);
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const http = new Http({
    userAgent: 'test',
    apiUrl: url,
    assetHosts: ['127.0.0.1'],
    mayBePlain: () => true,
    token: () => null,
    proxyEnvironment: {},
  });
  const kept = new Map<string, CachedAnswer>();
  const cache = {
    read: (key: string) => kept.get(key) ?? null,
    write: (key: string, entry: CachedAnswer) => void kept.set(key, entry),
  };
  const github = new GitHub({ http, repository: 'acme/app', cache, now: Date.now });
  return { ask: () => github.repositoryId(AbortSignal.timeout(30_000)), conditions, kept };
}

it('an ETag of 16 kB is not kept, and does not come back', async (t) => {
  let etag = `"${'a'.repeat(16_000)}"`;
  const { ask, conditions, kept } = await pollerOf(t, (_request, response) =>
    response.writeHead(200, { etag }).end(REPOSITORY),
  );
  assert.equal(await ask(), 7);
  assert.equal(await ask(), 7);
  assert.deepEqual([conditions, kept.size], [[undefined, undefined], 0]);
  etag = `"${'a'.repeat(254)}"`;
  assert.equal(await ask(), 7);
  assert.equal(await ask(), 7);
  assert.equal(conditions.at(-1), etag);
});

it('an ETag of 16 kB that an older version kept is not sent, nor is an answer of 304 to no condition believed', async (t) => {
  let status = 304;
  const { ask, conditions, kept } = await pollerOf(t, (_request, response) =>
    response.writeHead(status, { etag: '"fine"' }).end(status === 200 ? REPOSITORY : ''),
  );
  kept.get = () => ({ etag: `"${'a'.repeat(16_000)}"`, body: REPOSITORY, token: 'anonymous' });
  await assert.rejects(ask(), { code: 'ANSWER_UNEXPECTED' });
  status = 200;
  assert.equal(await ask(), 7);
  assert.deepEqual(conditions, [undefined, undefined]);
});

for (const refusal of [400, 412, 413, 431])
  it(`a condition that is refused with ${refusal} is forgotten, and asked without at once`, async (t) => {
    const { ask, conditions } = await pollerOf(t, (request, response) => {
      const isRefused = request.headers[CONDITION] === '"old"';
      response
        .writeHead(isRefused ? refusal : 200, {
          etag: conditions.length === 1 ? '"old"' : 'W/"new"',
        })
        .end(isRefused ? '' : REPOSITORY);
    });
    for (let poll = 0; poll < 3; poll++) assert.equal(await ask(), 7);
    assert.deepEqual(conditions, [undefined, '"old"', undefined, 'W/"new"']);
  });

it('a server that refuses every question is asked twice once, then once a poll', async (t) => {
  const { ask, conditions } = await pollerOf(t, (_request, response) => {
    const isFirst = conditions.length === 1;
    response.writeHead(isFirst ? 200 : 431, { etag: '"old"' }).end(isFirst ? REPOSITORY : '');
  });
  await ask();
  for (let poll = 0; poll < 2; poll++) await assert.rejects(ask(), { code: 'ANSWER_UNEXPECTED' });
  assert.deepEqual(conditions, [undefined, '"old"', undefined, undefined]);
});

it('a limit, or a refused token, is no reason to ask twice', async (t) => {
  let status = 200;
  const { ask, conditions } = await pollerOf(t, (_request, response) =>
    response.writeHead(status, { etag: '"old"' }).end(status === 200 ? REPOSITORY : ''),
  );
  await ask();
  for (const refusal of [401, 403, 429, 451]) {
    status = refusal;
    await assert.rejects(ask());
  }
  assert.deepEqual(conditions, [undefined, ...Array(4).fill('"old"')]);
});

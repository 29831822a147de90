/** The client of the FleetLock protocol, against a server of this test. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { acquireFleetLock, returnFleetLock } from '../../src/effects/fleet-lock.ts';
import { FleetLockServer } from '../../src/effects/fleet-lock-server.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { Fault } from '../../src/support/fault.ts';

type Asked = { method: string; url: string; headers: http.IncomingHttpHeaders; body: unknown };
type Answer = { status: number; headers?: Record<string, string>; body?: string };

const WHO = { id: 'app-0', group: 'default' };
let server: http.Server;
let asked: Asked[] = [];
let answers: Answer[] = [];
let base = '';

before(async () => {
  server = http.createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      asked.push({ method, url, headers, body: JSON.parse(Buffer.concat(pieces).toString()) });
      const { status, headers: more, body } = answers.shift() ?? { status: 200 };
      response.writeHead(status, more).end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`;
});
after(() => server.close());

function deps(url: string | null = base) {
  return {
    fleet: new FleetLockServer({ url: () => url, proxy: {}, userAgent: 'self-update/0' }),
    random: () => 0.5,
  };
}

async function acquire(...told: Answer[]): Promise<Fact & { code?: string; message?: string }> {
  [asked, answers] = [[], told];
  return acquireFleetLock(WHO, AbortSignal.timeout(60_000), deps());
}

const full = {
  kind: 'failed_lock_semaphore_full',
  value: 'semaphore currently full, all slots are locked already',
};

describe("the fleet's lock at its server", () => {
  it('is asked for as the protocol says', async () => {
    assert.deepEqual(await acquire({ status: 200 }), { type: 'fleetLockAcquired' });
    const [{ method, url, headers, body }] = asked as [Asked];
    assert.deepEqual(
      [method, url, headers['fleet-lock-protocol'], body],
      ['POST', '/base/v1/pre-reboot', 'true', { client_params: WHO }],
    );
    assert.match(headers['content-type'] ?? '', /^application\/json/);
  });

  it('is given back as the protocol says', async () => {
    [asked, answers] = [[], [{ status: 200 }]];
    const fact = await returnFleetLock(WHO, AbortSignal.timeout(60_000), deps());
    assert.deepEqual(fact, { type: 'fleetLockReturned' });
    assert.deepEqual(
      [asked[0]?.url, asked[0]?.body],
      ['/base/v1/steady-state', { client_params: WHO }],
    );
  });

  it('is not ours where giving it back is answered by 423, as by poseidon/fleetlock', async () => {
    [asked, answers] = [[], [{ status: 423, body: '{"kind":"locked","value":"held by other"}' }]];
    const fact = await returnFleetLock(WHO, AbortSignal.timeout(60_000), deps());
    assert.deepEqual(fact, { type: 'fleetLockReturned' });
  });

  const held: [title: string, answer: Answer][] = [
    ["the protocol's example", { status: 500, body: JSON.stringify(full) }],
    [
      'airlock 0.0.4',
      {
        status: 500,
        headers: { 'content-type': 'text/plain; charset=utf-8' },
        body: '{"kind":"failed_lock","value":"all 1 semaphore slots currently locked"}\n',
      },
    ],
    [
      'poseidon/fleetlock',
      {
        status: 423,
        body: '{"kind":"locked","value":"reboot lease unavailable, held by app-7"}',
      },
    ],
  ];
  for (const [title, answer] of held)
    it(`is held by others where ${title} says so, with its words`, async () => {
      const { code, message } = await acquire(answer);
      assert.equal(code, 'FLEET_LOCK_HELD');
      const { value } = JSON.parse(answer.body ?? '') as { value: string };
      assert.equal(message, `the fleet's lock is held by others (${value})`);
    });

  const failing: [title: string, answers: Answer[]][] = [
    ['trouble of its own', [{ status: 500, body: '{"kind":"failed_lock","value":"deadline"}' }]],
    ['status 204', [{ status: 204 }]],
    ['a page', [{ status: 404, body: '<html>' }]],
    ['no JSON', [{ status: 500, body: '{' }]],
    ['an error without words', [{ status: 409, body: '{"kind":"locked","value":""}' }]],
    ['a redirect that would become a GET', [{ status: 302, headers: { location: '/other' } }]],
    ['a loop', Array(9).fill({ status: 307, headers: { location: '/base/v1/pre-reboot' } })],
    [
      'an error of a megabyte',
      [{ status: 500, body: JSON.stringify({ ...full, more: 'x'.repeat(1e6) }) }],
    ],
  ];
  for (const [title, told] of failing)
    it(`can't be had with ${title}`, async () => {
      assert.equal((await acquire(...told)).code, 'FLEET_LOCK_FAILED');
    });

  it('is not had with a page of HTML, as a captive portal answers everything', async () => {
    for (const act of [acquireFleetLock, returnFleetLock]) {
      const headers = { 'content-type': 'Text/HTML; charset=utf-8' };
      [asked, answers] = [[], [{ status: 200, headers, body: '<html>Sign in' }]];
      await assert.rejects(
        act(WHO, AbortSignal.timeout(60_000), deps()),
        (error: Fault) => error.code === 'FLEET_LOCK_FAILED' && /page of HTML/.test(error.message),
      );
    }
    const headers = { 'content-type': 'text/plain' };
    assert.equal((await acquire({ status: 200, headers, body: 'ok' })).type, 'fleetLockAcquired');
  });

  it('is asked for at the place that the same server names, and at no other', async () => {
    const elsewhere = { status: 307, headers: { location: '/v2/pre-reboot' } };
    assert.equal((await acquire(elsewhere, { status: 200 })).type, 'fleetLockAcquired');
    assert.deepEqual(
      asked.map(({ url }) => url),
      ['/base/v1/pre-reboot', '/v2/pre-reboot'],
    );
    await assert.rejects(
      acquire({ status: 307, headers: { location: 'http://127.0.0.2:1/v1/pre-reboot' } }),
      (error: Fault) => error.code === 'FLEET_LOCK_FAILED' && /redirects/.test(error.message),
    );
  });

  it('shows the words of a server on one line, and not all of a long text', async () => {
    const value = `held by \u001b[31mred\nnews ${'x'.repeat(1000)}`;
    const { message = '' } = await acquire({
      status: 423,
      body: JSON.stringify({ kind: 'locked', value }),
    });
    assert.doesNotMatch(message, /[\u001b\n]/);
    assert.ok(message.length < 300, String(message.length));
  });

  it('is asked for only when an aborted return has been answered: neither overtakes the other', async (t) => {
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const order: string[] = [];
    const slow = http.createServer(async ({ url = '' }, response) => {
      if (url === '/probe') return void response.end();
      order.push(`${url} asked`);
      if (url.endsWith('steady-state')) {
        arrive();
        await released;
      }
      order.push(`${url} done`);
      response.end();
    });
    await once(slow.listen(0, '127.0.0.1'), 'listening');
    t.after(() => {
      slow.close();
      slow.closeAllConnections();
    });
    const address = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`;
    const parts = deps(address);
    const abort = new AbortController();
    const returned = returnFleetLock(WHO, abort.signal, parts);
    await arrived;
    abort.abort();
    const acquired = acquireFleetLock(WHO, AbortSignal.timeout(60_000), parts);
    // By then it would have come, if it were on its way.
    for (let i = 0; i < 3; i++) await fetch(`${address}/probe`);
    release();
    const [{ type: first }, { type: second }] = await Promise.all([returned, acquired]);
    assert.deepEqual([first, second], ['fleetLockReturned', 'fleetLockAcquired']);
    assert.deepEqual(order, [
      '/v1/steady-state asked',
      '/v1/steady-state done',
      '/v1/pre-reboot asked',
      '/v1/pre-reboot done',
    ]);
  });

  it('is asked for by nobody without a name', async () => {
    [asked, answers] = [[], []];
    await assert.rejects(
      acquireFleetLock({ ...WHO, id: '' }, AbortSignal.timeout(60_000), deps()),
      /no name for it: set UPDATE_FLEET_ID/,
    );
    assert.deepEqual(asked, []);
  });

  it("can't be asked for where nothing listens, without its address, and where that is none", async () => {
    for (const url of ['http://127.0.0.1:9/', null, 'airlock'])
      await assert.rejects(
        acquireFleetLock(WHO, AbortSignal.timeout(60_000), deps(url)),
        (error: unknown) => error instanceof Fault && error.code === 'FLEET_LOCK_FAILED',
      );
  });
});

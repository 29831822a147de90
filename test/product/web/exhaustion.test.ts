/**
 * One stranger who takes everything: connections, bodies, streams. Probes, the webhook and other
 * people go on.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { OPERATOR_TOKEN, READER, Served, WEBHOOK_SECRET } from '../../support/http.ts';

const STRANGER = '127.0.0.2';
const signed = (body: string) =>
  `sha256=${createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex')}`;

describe('a stranger', () => {
  let served: Served;
  const sockets: net.Socket[] = [];
  before(async () => {
    served = await Served.create();
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await served[Symbol.asyncDispose]();
  });

  /** Opens a connection from an address of the stranger's and sends the beginning of something. */
  const hold = async (beginning: string, localAddress = STRANGER): Promise<net.Socket> => {
    const socket = net.connect({ port: served.port, host: '127.0.0.1', localAddress });
    sockets.push(socket);
    socket.on('error', () => {});
    await once(socket, 'connect');
    if (beginning !== '') socket.write(beginning);
    return socket;
  };
  const holdMany = (count: number, beginning: string) =>
    Promise.all(Array.from({ length: count }, () => hold(beginning)));
  const deliver = async (extra: number) => {
    const body = JSON.stringify({
      action: 'published',
      repository: { full_name: 'acme/app' },
      extra,
    });
    const headers = {
      'content-type': 'application/json',
      'x-github-event': 'release',
      'x-hub-signature-256': signed(body),
    };
    return served.ask('/hooks/github', { method: 'POST', body, headers });
  };
  const probe = async () => {
    for (const place of ['/healthz', '/readyz', '/metrics', '/api/status'])
      assert.equal((await served.ask(place)).status, 200, place);
  };

  for (const [what, beginning] of [
    ['silent connections', ''],
    ['headers that never end', 'GET / HTTP/1.1\r\nHost: localhost\r\nX-A: '],
    [
      'connections that were used, and are kept',
      'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n',
    ],
    [
      'event streams',
      `GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${READER.authorization}\r\n\r\n`,
    ],
    [
      'bodies that never end',
      `POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nX-Hub-Signature-256: ${signed('')}\r\nContent-Length: 1000\r\n\r\n{`,
    ],
  ] as const)
    it(`with 600 ${what} keeps neither the probes nor the webhook out`, async () => {
      for (let i = 0; i < 3; i++) await holdMany(200, beginning);
      await probe();
      assert.equal((await deliver(beginning.length)).status, 202);
      // Whoever has less gets a stream, too.
      const stream = await hold(
        `GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${READER.authorization}\r\n\r\n`,
        '127.0.0.3',
      );
      const [head] = (await once(stream, 'data')) as [Buffer];
      assert.match(head.toString(), /^HTTP\/1\.1 200 /);
      for (const socket of sockets.splice(0)) socket.destroy();
    });

  it('who asks for everything at once is told to wait, and probes are answered (flood)', async () => {
    const ask = (place: string) => served.ask(place, { headers: READER });
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        ask(['/api/facts', '/api/history', '/metrics'][index % 3] ?? ''),
      ),
    );
    const refused = answers.filter(({ status }) => status === 429);
    assert.deepEqual([...new Set(answers.map(({ status }) => status))].sort(), [200, 429]);
    assert.ok(refused.every(({ headers }) => headers['retry-after'] === '1'));
    await probe();
  });
});

describe('a webhook', () => {
  let served: Served;
  before(async () => {
    served = await Served.create({ env: { UPDATE_WEBHOOK_SECRET: '', UPDATE_HTTP_TOKEN: '' } });
    for (const [name, text] of [
      ['webhook', WEBHOOK_SECRET],
      ['token', OPERATOR_TOKEN],
    ] as const)
      writeFileSync(path.join(served.product.root, name), text);
    served.product.env['UPDATE_WEBHOOK_SECRET_FILE'] = path.join(served.product.root, 'webhook');
    served.product.env['UPDATE_HTTP_TOKEN_FILE'] = path.join(served.product.root, 'token');
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
  });
  after(() => served[Symbol.asyncDispose]());
  const deliver = (body: string, signature = signed(body)) =>
    served.ask('/hooks/github', {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'x-github-event': 'release',
        'x-hub-signature-256': signature,
      },
    });

  it('that is signed and no JSON, or not what GitHub sends, is refused or passed over', async () => {
    for (const body of ['not JSON', '{', '\u0000', '{"a":', ''])
      assert.equal((await deliver(body)).status, 400, body);
    for (const body of [
      'null',
      '7',
      '"x"',
      '[]',
      '{}',
      '{"repository":null}',
      '{"__proto__":{"action":"x"}}',
    ])
      assert.equal((await deliver(body)).status, 200, body);
    const bytes = Buffer.from([0xff, 0xfe, 0x00]);
    const status = await new Promise((resolve) => {
      const signature = `sha256=${createHmac('sha256', WEBHOOK_SECRET).update(bytes).digest('hex')}`;
      const headers = { 'content-type': 'application/json', 'x-hub-signature-256': signature };
      http
        .request(
          { host: '127.0.0.1', port: served.port, path: '/hooks/github', method: 'POST', headers },
          ({ statusCode }) => resolve(statusCode),
        )
        .end(bytes);
    });
    assert.equal(status, 400);
  });

  it('that is played again, whatever was forgotten, causes no more checks than polling does', async () => {
    const outcomes: string[] = [];
    for (let extra = 0; extra < 24; extra++) {
      const { text } = await deliver(
        JSON.stringify({ action: 'published', repository: { full_name: 'acme/app' }, extra }),
      );
      outcomes.push((JSON.parse(text) as { outcome: string }).outcome);
    }
    assert.deepEqual(outcomes, [...Array(20).fill('checking'), ...Array(4).fill('limited')]);
  });

  it('is answered 503, as actions and readers are, while the file of the secret is empty, and nothing is open then', async () => {
    for (const name of ['webhook', 'token'])
      writeFileSync(path.join(served.product.root, name), '\n');
    assert.equal((await deliver('{}', signed(''))).status, 503);
    assert.equal((await served.act('pause')).status, 503);
    assert.equal(
      (await served.ask('/api/status', { headers: { authorization: 'Bearer ' } })).status,
      503,
    );
    assert.equal((await served.ask('/healthz')).status, 200);
    for (const [name, text] of [
      ['webhook', WEBHOOK_SECRET],
      ['token', OPERATOR_TOKEN],
    ] as const)
      writeFileSync(path.join(served.product.root, name), text);
    assert.equal((await deliver('{}')).status, 200);
    assert.equal((await served.ask('/api/status')).status, 200);
  });
});

describe('who may read', () => {
  it('is everybody who reaches the address, unless UPDATE_HTTP_READ is token', async () => {
    await using served = await Served.create({ env: { UPDATE_HTTP_READ: '' } });
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
    for (const place of ['/api/status', '/api/history', '/api/facts'])
      assert.equal(
        (await served.ask(place, { headers: { authorization: '' } })).status,
        200,
        place,
      );
  });

  it('is asked for the token with UPDATE_HTTP_READ=token', async () => {
    await using served = await Served.create();
    await served.publish('0.0.1');
    served.product.start();
    await served.product.fact('versionBecameHealthy');
    for (const place of [
      '/api/status',
      '/api/history',
      '/api/facts',
      '/api/replay?at=1',
      '/api/events',
      '/api/command?id=1',
    ])
      for (const authorization of ['', 'Bearer wrong']) {
        const { status, text } = await served.ask(place, { headers: { authorization } });
        assert.equal(status, 401, place);
        assert.match(text, /TOKEN_/);
      }
    for (const place of ['/', '/healthz', '/readyz', '/metrics', '/api/openapi.json'])
      assert.equal(
        (await served.ask(place, { headers: { authorization: '' } })).status,
        200,
        place,
      );
  });
});

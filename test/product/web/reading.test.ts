import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import type { Status } from '../../../src/report/status.ts';
import { listen, OPERATOR_TOKEN, READER, Served, type ServerEvent } from '../../support/http.ts';

type Told = { seq: number; type: string; state: string; text: string };
const factsOf = (events: ServerEvent[]) =>
  events
    .filter(({ event }) => event === 'message')
    .map(({ id, data }) => ({ id, ...(JSON.parse(data) as Told) }));

describe('what is told over HTTP', () => {
  let served: Served;
  before(async () => {
    served = await Served.create();
    await served.publish('0.0.2');
    served.product.start();
    await served.product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await served.product.fact('oldVersionsRemoved');
  });
  after(() => served[Symbol.asyncDispose]());

  it('is described, and every answer of these tests is held to the description', async () => {
    const { paths } = await served.describe();
    assert.deepEqual(
      Object.keys(paths).filter((path) => !path.startsWith('/api/actions/')),
      [
        '/healthz',
        '/readyz',
        '/api/command',
        '/api/status',
        '/api/history',
        '/api/facts',
        '/api/replay',
        '/api/events',
        '/metrics',
        '/hooks/github',
      ],
    );
    const commands = [
      'check',
      'update',
      'install',
      'release',
      'restart',
      'pause',
      'resume',
      'approve',
      'deny',
      'retry',
    ];
    for (const command of commands) assert.ok(paths[`/api/actions/${command}`], command);
  });

  it('says that the updater works and the app runs', async () => {
    assert.equal((await served.ask('/healthz')).status, 200);
    assert.equal((await served.ask('/readyz')).status, 200);
  });

  it('says the same status as the command line', async () => {
    const overHttp = await served.json<Status>('/api/status');
    assert.deepEqual(overHttp, await served.product.status());
    assert.equal(overHttp.version, '0.0.2');
  });

  it('tells the history, and the way that the last update took', async () => {
    const { updates, way } = await served.json<{
      updates: { to: string; outcome: string }[];
      way: string[];
    }>('/api/history');
    assert.deepEqual(
      updates.map(({ to, outcome }) => [to, outcome]),
      [['0.0.2', 'updated']],
    );
    assert.deepEqual(way.slice(0, 3), ['checking', 'downloading', 'verifying']);
    assert.equal(way.at(-1), 'running.settled');
    assert.equal((await served.ask('/api/history?limit=0')).status, 400);
  });

  it('hands out the journal in pages', async () => {
    const { events, seq } = await served.json<{ events: Told[]; seq: number }>(
      '/api/facts?limit=3',
    );
    assert.equal(events.at(-1)?.seq, seq);
    assert.equal(events.length, 3);
    const older = await served.json<{ events: Told[] }>(
      `/api/facts?limit=500&before=${events[0]?.seq}`,
    );
    assert.deepEqual([older.events[0]?.seq, older.events.at(-1)?.seq], [1, seq - 3]);
  });

  it('travels in time: every fact leads where `replay --at` leads', async () => {
    const { seq } = await served.json<{ seq: number }>('/api/facts?limit=1');
    for (let at = 1; at <= seq; at++) {
      const { stdout } = await served.product.command(['replay', '--json', '--at', String(at)]);
      assert.deepEqual(await served.json(`/api/replay?at=${at}`), JSON.parse(stdout));
    }
    assert.equal((await served.ask(`/api/replay?at=${seq + 1}`)).status, 404);
    assert.equal((await served.ask('/api/replay?at=yesterday')).status, 400);
  });

  it('streams every fact with its number, then what comes, and resumes after Last-Event-ID', async () => {
    const { seq } = await served.json<{ seq: number }>('/api/facts?limit=1');
    const all = factsOf(await listen(`${served.url}/api/events`, ({ id }) => id === String(seq)));
    assert.deepEqual(
      all.map((fact) => fact.seq),
      Array.from({ length: seq }, (_, i) => i + 1),
    );
    assert.ok(all.every(({ id, seq: number }) => id === String(number)));
    const next = listen(
      `${served.url}/api/events?after=1`,
      ({ data }) => data.includes('"type":"paused"'),
      { 'last-event-id': String(seq) },
    );
    await served.act('pause');
    assert.deepEqual(
      factsOf(await next).map((fact) => [fact.seq, fact.type]),
      [[seq + 1, 'paused']],
      'Last-Event-ID goes before `after`',
    );
    const events = await listen(
      `${served.url}/api/events?after=${seq + 1}`,
      ({ event }) => event === 'status',
    );
    assert.equal((JSON.parse(events[0]?.data ?? '{}') as Status).paused, true);
    await served.act('resume');
  });

  it('streams the same facts to everyone, whatever was asked for before', async () => {
    const { seq } = await served.json<{ seq: number }>('/api/facts?limit=1');
    for (const after of [5, 0, 8, 2, 0]) {
      const seen = factsOf(
        await listen(`${served.url}/api/events?after=${after}`, ({ id }) => id === String(seq)),
      );
      assert.deepEqual(
        seen.map((fact) => fact.seq),
        Array.from({ length: seq - after }, (_, i) => after + 1 + i),
      );
    }
  });

  it('ends the stream of a client that knows another journal, so that it loads afresh', async () => {
    assert.equal((await served.ask('/api/events?after=100000')).status, 204);
  });

  it('keeps no place for a client that only asks for the head', async () => {
    for (let i = 0; i < 120; i++)
      assert.equal((await served.ask('/api/events', { method: 'HEAD' })).status, 200);
    await listen(`${served.url}/api/events`, ({ event }) => event === 'status');
  });

  it('answers a client that speaks HTTP/1.0 and names no host: a load balancer, and no browser', async () => {
    for (const path of ['/readyz', '/api/status']) {
      const socket = net.connect(served.port, '127.0.0.1');
      socket.end(`GET ${path} HTTP/1.0\r\nAuthorization: ${READER.authorization}\r\n\r\n`);
      let text = '';
      for await (const chunk of socket) text += String(chunk);
      assert.match(text, /^HTTP\/1\.1 200 /, path);
    }
  });

  it('answers no flood of requests on one connection that nobody reads', async () => {
    const socket = net.connect(served.port, '127.0.0.1');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2000));
    await closed;
    assert.equal((await served.ask('/healthz')).status, 200);
  });

  it('answers unknown paths with 404, and says where to look', async () => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const { status, text } = await served.ask('/api/secrets', { method });
      assert.equal(status, 404);
      assert.match(text, /openapi\.json/);
    }
  });

  it('lets no page frame it, sniff it, cache it or read it from elsewhere', async () => {
    for (const path of ['/', '/api/status', '/metrics', '/nowhere']) {
      const { headers } = await served.ask(path);
      assert.match(
        String(headers['content-security-policy']),
        /default-src 'none'.*frame-ancestors 'none'/,
      );
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['cache-control'], 'no-store');
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(headers['access-control-allow-origin'], undefined);
    }
  });

  it('holds its page to a policy without a wildcard, an eval or an inline that is not its own', async () => {
    const { headers } = await served.ask('/');
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  });

  it('never says a secret', async () => {
    const texts = await Promise.all(
      ['/', '/api/status', '/api/facts?limit=500', '/metrics', '/api/openapi.json'].map((path) =>
        served.ask(path),
      ),
    );
    for (const { text } of texts)
      assert.ok(
        !text.includes(OPERATOR_TOKEN) &&
          !text.includes(served.product.env['UPDATE_GH_TOKEN'] ?? ''),
      );
  });
});

describe('the probes', { concurrency: 2 }, () => {
  it('take the app out of a load balancer once an update is about to stop it, and put it back', async () => {
    await using served = await Served.create({
      env: { UPDATE_PRE_STOP_CMD: 'until [ -e "$HOME/drained" ]; do sleep 0.05; done' },
    });
    const { product } = served;
    await served.publish('0.0.1');
    product.start();
    await product.fact('versionBecameHealthy');
    assert.equal((await served.ask('/readyz')).status, 200);
    await served.publish('0.0.2');
    product.updaters[0]?.kill('SIGHUP');
    await listen(`${served.url}/api/events`, ({ data }) =>
      data.includes('"state":"preparing.draining"'),
    );
    const draining = await served.ask('/readyz');
    assert.equal(draining.status, 503);
    assert.match(draining.text, /preparing\.draining/);
    assert.equal((await served.ask('/healthz')).status, 200, 'the updater itself is well');
    await product.command(['status']);
    const { writeFileSync } = await import('node:fs');
    writeFileSync(`${product.root}/drained`, '');
    await product.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal((await served.ask('/readyz')).status, 200);
  });

  it('say so while the journal can not be opened, and the server waits for it', async () => {
    await using served = await Served.create();
    const { product } = served;
    mkdirSync(`${product.dir}/state`, { recursive: true });
    using holder = new DatabaseSync(`${product.dir}/state/journal.db`);
    holder.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    product.start();
    await product.logged(/updates are suspended/);
    const { status, text } = await served.ask('/healthz');
    assert.equal(status, 503);
    assert.match(text, /journal is not open/);
    await product.logged(/app 0\.0\.1 listening/);
    assert.equal((await served.ask('/readyz')).status, 200, 'the app runs all the same');
    const refused = await served.ask('/api/status');
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '5']);
  });
});

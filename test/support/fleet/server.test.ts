/** The lock server of the fleet tests, held to the protocol's description, on a real etcd. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { missing } from '../tools.ts';
import { Etcd } from './etcd.ts';
import { FleetLockServer } from './server.ts';

type Reply = {
  status: number;
  body: { kind?: string; value?: string } | null;
  allow: string | null;
};
type Init = { method?: string; header?: string | null; body?: string };

const skip = missing('etcd');
const paramsOf = (id: unknown, group: unknown = 'default') =>
  JSON.stringify({ client_params: { id, group } });

async function post(
  url: string,
  action: string,
  { method = 'POST', header = 'true', body = paramsOf('a') }: Init = {},
): Promise<Reply> {
  const response = await fetch(`${url}/v1/${action}`, {
    method,
    headers: header === null ? {} : { 'fleet-lock-protocol': header },
    body: method === 'POST' ? body : null,
  });
  const text = await response.text();
  const allow = response.headers.get('allow');
  return { status: response.status, body: text === '' ? null : JSON.parse(text), allow };
}

describe('the FleetLock server of the tests', { skip }, () => {
  let etcd: Etcd;
  let server: FleetLockServer;
  const lock = (id: string, group?: string) =>
    post(server.url, 'pre-reboot', { body: paramsOf(id, group) });
  const unlock = (id: string, group?: string) =>
    post(server.url, 'steady-state', { body: paramsOf(id, group) });
  before(async () => {
    etcd = await Etcd.start();
    server = await new FleetLockServer(etcd.endpoint, {
      default: 1,
      workers: 3,
      crowd: 3,
      cut: 1,
    }).listen();
  });
  after(async () => {
    await server?.close();
    await etcd?.[Symbol.asyncDispose]();
  });

  it('gives a slot, refuses the next one with a kind and a value, and gives it once it is free', async () => {
    assert.deepEqual(await lock('a'), { status: 200, body: null, allow: null });
    const full = await lock('b');
    assert.equal(full.status, 500);
    assert.deepEqual(full.body, {
      kind: 'failed_lock_semaphore_full',
      value: 'semaphore currently full, all slots are locked already',
    });
    assert.equal((await unlock('a')).status, 200);
    assert.equal((await lock('b')).status, 200);
    assert.deepEqual(await server.holders(), ['b']);
    await unlock('b');
  });

  it('is recursive: asked twice it gives one slot, and what nobody holds can be given back', async () => {
    for (const _ of [1, 2]) assert.equal((await lock('a', 'workers')).status, 200);
    assert.deepEqual(await server.holders('workers'), ['a']);
    for (const _ of [1, 2]) assert.equal((await unlock('a', 'workers')).status, 200);
    assert.deepEqual(await server.holders('workers'), []);
  });

  it('has slots with an owner: another one does not give them back', async () => {
    await lock('a', 'workers');
    assert.equal((await unlock('b', 'workers')).status, 200);
    assert.deepEqual(await server.holders('workers'), ['a']);
    await unlock('a', 'workers');
  });

  it('tells ids apart by case, and groups from one another', async () => {
    for (const id of ['b', 'B']) await lock(id, 'workers');
    await lock('b');
    assert.deepEqual(await server.holders('workers'), ['B', 'b']);
    assert.deepEqual(await server.holders(), ['b']);
    for (const id of ['b', 'B']) await unlock(id, 'workers');
    await unlock('b');
  });

  const WRONG: [string, Init, number, string][] = [
    ['another method', { method: 'GET' }, 405, 'method_not_allowed'],
    ['another method', { method: 'PUT' }, 405, 'method_not_allowed'],
    ['no header', { header: null }, 400, 'invalid_client_identity'],
    ['another header', { header: '1' }, 400, 'invalid_client_identity'],
    ['no body', { body: '' }, 400, 'invalid_client_identity'],
    ['no JSON', { body: '{"client_params":' }, 400, 'invalid_client_identity'],
    ['null', { body: 'null' }, 400, 'invalid_client_identity'],
    ['no params', { body: '{}' }, 400, 'invalid_client_identity'],
    ['no id', { body: paramsOf(undefined) }, 400, 'invalid_client_identity'],
    ['an empty id', { body: paramsOf('') }, 400, 'invalid_client_identity'],
    ['an id that is a number', { body: paramsOf(1) }, 400, 'invalid_client_identity'],
    ['an empty group', { body: paramsOf('a', '') }, 400, 'invalid_client_identity'],
    ['a group with a slash', { body: paramsOf('a', 'a/b') }, 400, 'invalid_client_identity'],
    ['a group of its own', { body: paramsOf('a', 'else') }, 400, 'unknown_group'],
    ['a huge body', { body: paramsOf('a'.repeat(1e5)) }, 400, 'invalid_client_identity'],
  ];
  for (const [title, init, status, kind] of WRONG)
    it(`answers ${status} ${kind} to ${title}${init.method ? `: ${init.method}` : ''}`, async () => {
      for (const action of ['pre-reboot', 'steady-state']) {
        const reply = await post(server.url, action, init);
        assert.equal(reply.status, status);
        assert.equal(reply.body?.kind, kind);
        assert.ok(reply.body?.value, 'says why');
        assert.equal(reply.allow, status === 405 ? 'POST' : null);
      }
      assert.deepEqual(await server.holders(), []);
    });

  it('answers 404 elsewhere', async () => {
    assert.equal((await post(server.url, 'reboot')).status, 404);
  });

  it('gives 3 slots to 20 who ask at the same time, whichever of two servers they ask', async () => {
    await using second = await new FleetLockServer(etcd.endpoint, { crowd: 3 }).listen();
    const ids = Array.from({ length: 20 }, (_, index) => `id-${index}`);
    const all = (action: string) =>
      Promise.all(
        ids.map((id, index) =>
          post(index % 2 === 0 ? server.url : second.url, action, { body: paramsOf(id, 'crowd') }),
        ),
      );
    const replies = await all('pre-reboot');
    const winners = ids.filter((_, index) => replies[index]?.status === 200);
    assert.equal(winners.length, 3, JSON.stringify(replies));
    assert.deepEqual(await server.holders('crowd'), winners.sort());
    for (const { status, body } of replies)
      assert.ok(status === 200 || body?.kind === 'failed_lock_semaphore_full', body?.value);
    for (const { status } of await all('steady-state')) assert.equal(status, 200);
    assert.deepEqual(await server.holders('crowd'), []);
  });

  it('never has two holders of one slot while many come and go', async () => {
    let inside = 0;
    let turns = 0;
    const comeAndGo = async (id: string) => {
      for (let taken = 0; taken < 3; ) {
        if ((await lock(id, 'cut')).status !== 200) continue;
        inside += 1;
        assert.equal(inside, 1);
        assert.deepEqual(await server.holders('cut'), [id]);
        inside -= 1;
        turns += 1;
        taken += 1;
        assert.equal((await unlock(id, 'cut')).status, 200);
      }
    };
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map(comeAndGo));
    assert.equal(turns, 15);
  });

  it('answers 500 failed_lock with the reason while etcd is gone, and what was given is kept', async () => {
    await lock('a', 'cut');
    await etcd.kill();
    for (const ask of [lock, unlock]) {
      const { status, body } = await ask('a', 'cut');
      assert.equal(status, 500);
      assert.equal(body?.kind, 'failed_lock');
      assert.match(body?.value ?? '', /ECONNREFUSED|other side closed|ECONNRESET/);
    }
    await etcd.restart();
    assert.deepEqual(await server.holders('cut'), ['a']);
    assert.equal((await lock('b', 'cut')).status, 500);
    assert.equal((await unlock('a', 'cut')).status, 200);
  });

  it('runs as a program, by environment alone', async () => {
    const program = spawn(process.execPath, [path.join(import.meta.dirname, 'server.ts')], {
      env: { PORT: '0', ETCD: etcd.endpoint, SLOTS: 'default=1 program=2' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(program, 'exit');
    try {
      const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
      const said = async () => ((await lines.next()).value ?? '') as string;
      const url = `http://${/^listening on (127\.0\.0\.1:\d+)$/.exec(await said())?.[1]}`;
      for (const [id, status] of Object.entries({ a: 200, b: 200, c: 500 })) {
        const body = paramsOf(id, 'program');
        assert.equal((await post(url, 'pre-reboot', { body })).status, status);
        assert.match(await said(), new RegExp(`^pre-reboot program "${id}" ${status}`));
      }
    } finally {
      program.kill('SIGTERM');
    }
    assert.deepEqual(await exited, [0, null]);
  });
});

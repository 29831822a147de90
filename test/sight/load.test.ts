/**
 * Many who look, and one who never reads: updates go on, and memory is bounded. And nobody who
 * looks: nothing is loaded.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { execa } from 'execa';
import { listen, READER, Served } from '../support/http.ts';
import { Product } from '../support/product.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const CLIENTS = 50;
const UPDATES = 6;

/** Anonymous memory of a process, kB; proc(5), smaps_rollup. */
function anonymousKb(pid: number): number {
  return Number(
    /^Anonymous:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1],
  );
}

/** Makes updates one after the other. */
async function makeUpdates(served: Served, from: number): Promise<void> {
  for (let i = from; i < from + UPDATES; i++) {
    await served.publish(`1.0.${i}`, { padBytes: 300_000 });
    await served.act('update');
    await served.product.fact('versionBecameHealthy', ({ version }) => version === `1.0.${i}`);
  }
}

describe('with 50 dashboards open and one client that never reads', () => {
  it('updates wait for nobody, all are told everything, and memory is bounded', async (t) => {
    await using served = await Served.create();
    await served.publish('1.0.0');
    const updater = served.product.start();
    await served.product.fact('versionBecameHealthy');
    const pid = updater.pid ?? 0;
    await makeUpdates(served, 1);
    const before = anonymousKb(pid);
    const last = `"versionBecameHealthy","version":"1.0.${2 * UPDATES}"`;
    const clients = Array.from({ length: CLIENTS }, () =>
      listen(`${served.url}/api/events`, ({ data }) => data.includes(last)),
    );
    const silent = net.connect(served.port, '127.0.0.1');
    silent.on('error', () => {});
    silent.pause();
    silent.write(
      `GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: ${READER.authorization}\r\n\r\n`,
    );
    await makeUpdates(served, UPDATES + 1);
    for (const events of await Promise.all(clients)) {
      const facts = events.filter(({ event }) => event === 'message');
      assert.deepEqual(
        facts.map(({ id }) => Number(id)),
        facts.map((_, i) => i + 1),
      );
    }
    const grown = anonymousKb(pid) - before;
    t.diagnostic(`memory ${before} kB, with ${CLIENTS} clients ${grown} kB more`);
    assert.ok(grown < 60_000, `${grown} kB more`);
    silent.destroy();
  });
});

describe('the program as it is built', () => {
  before(async () => {
    await execa('npm', ['run', 'build'], { cwd: ROOT });
  });

  /** The files of the bundle that one run opens, and whether it listens. */
  async function traced(
    env: Record<string, string>,
  ): Promise<{ opened: string[]; listens: boolean }> {
    await using product = await Product.create({ env });
    const trace = path.join(product.root, 'trace');
    const program = `const { main } = await import(${JSON.stringify(path.join(ROOT, 'dist', 'self-update.js'))}); console.log(process.pid); process.exit(await main(['run'], process.env));`;
    const args = [
      '-f',
      '-qq',
      '-e',
      'trace=openat,listen',
      '-o',
      trace,
      process.execPath,
      '--input-type=module',
      '-e',
      program,
    ];
    const tracer = execa('strace', args, { env: product.env, extendEnv: false, reject: false });
    // The first line is its pid: strace itself passes no signal on.
    const [line] = (await once(tracer.stdout, 'data')) as [Buffer];
    await product.fact('versionBecameHealthy');
    process.kill(Number.parseInt(String(line), 10), 'SIGTERM');
    await tracer;
    const calls = readFileSync(trace, 'utf8').split('\n');
    // Node's own inspector and workers do not listen; nor does the supervisor of an app, whose
    // calls are traced too.
    const listens = calls.some(
      (call) => /listen\(/.test(call) && call.startsWith(`${calls[0]?.split(' ')[0]} `),
    );
    return {
      opened: calls.flatMap((call) => /dist\/([a-z-]+)[^/"]*\.js"/.exec(call)?.[1] ?? []),
      listens,
    };
  }

  it('loads nothing of the server and listens nowhere when HTTP is off', async () => {
    const { opened, listens } = await traced({});
    assert.ok(opened.includes('self-update'), 'the trace sees what is opened');
    assert.deepEqual(
      [
        opened.filter((name) => /^(?:server|notifier|deliver|temporal|attestation)/.test(name)),
        listens,
      ],
      [[], false],
    );
  });

  it('loads the server and listens when HTTP is on: the measurement can tell', async () => {
    const { opened, listens } = await traced({ UPDATE_HTTP_ADDR: '127.0.0.1:0' });
    assert.deepEqual([opened.some((name) => name.startsWith('server')), listens], [true, true]);
  });
});

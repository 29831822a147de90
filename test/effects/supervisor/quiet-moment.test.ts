/** What a copy that does not end has in its hands is waited for before it is killed. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HeldSockets, underOwnPid } from '../../../src/effects/supervisor/held-sockets.ts';
import { parseListenersOn } from '../../../src/effects/supervisor/open-sockets.ts';
import { areStopped } from '../../../src/effects/supervisor/process-table.ts';
import {
  killInQuietMoment,
  noteSockets,
  timesOf,
  waitOrKillQuietly,
  youngOf,
} from '../../../src/effects/supervisor/quiet-moment.ts';

const OPEN_SOCKETS = path.join(
  import.meta.dirname,
  '../../../src/effects/supervisor/open-sockets.ts',
);
const SERVER = `
const server = require('node:http').createServer((request, response) => {
  setTimeout(() => response.end(name, () => response.socket.destroySoon()), 20);
});
process.on('SIGCONT', () => console.log('went on'));
server.listen({ fd: 3 }, () => console.log('listens'));
`;
const DEAF = "process.on('SIGTERM', () => {});";
/** Closes its listener, and then takes as long as it is let. */
const DRAINS = `process.on('SIGTERM', () => server.close());
server.on('close', () => { console.log('drains'); setInterval(() => {}, 1000); });`;

type Copy = AsyncDisposable & {
  pid: number;
  process: ChildProcess;
  lines: string[];
  says(line: string): Promise<void>;
};

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function holder() {
  const port = await freePort();
  const sockets = [{ name: 'web', address: '127.0.0.1', port }];
  return { port, held: new HeldSockets({ sockets, isPreloaded: false }) };
}

/** A copy of the app that takes connections from the held socket, a group of its own. */
async function start(held: HeldSockets, name: string, ending: string): Promise<Copy> {
  const code = `const name = '${name}';${SERVER}${ending}`;
  const [program, ...args] = underOwnPid(process.execPath, ['-e', code]);
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit', ...held.descriptors()],
  });
  const { pid, stdout } = child;
  assert.ok(pid !== undefined && stdout);
  const lines: string[] = [];
  const reader = createInterface({ input: stdout }).on('line', (line) => lines.push(line));
  const says = async (line: string) => {
    while (!lines.includes(line)) await once(reader, 'line');
  };
  await says('listens');
  return {
    pid,
    process: child,
    lines,
    says,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Asked again and again, each time on a new connection, by several at once, until stopped. */
function ask(port: number) {
  let isOver = false;
  const answers: Record<string, number> = {};
  const one = () =>
    new Promise<string>((resolve) => {
      const request = http.get({ host: '127.0.0.1', port, agent: false }, (response) => {
        let body = '';
        response.on('data', (part) => {
          body += part;
        });
        response.on('end', () => resolve(body));
        response.on('error', (error) => resolve(error.message));
      });
      request.on('error', (error) => resolve(error.message));
    });
  const asking = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const answer = await one();
      answers[answer] = (answers[answer] ?? 0) + 1;
    }
  });
  return {
    answers,
    async stop() {
      isOver = true;
      await Promise.all(asking);
      return answers;
    },
  };
}

describe('a connection', () => {
  it('is as old as the first look that showed it, and forgotten when it is closed', () => {
    let seen = noteSockets(new Map(), new Set(['1', '2']), 100);
    seen = noteSockets(seen, new Set(['2', '3']), 700);
    assert.deepEqual(
      [...seen],
      [
        ['2', 100],
        ['3', 700],
      ],
    );
    assert.equal(youngOf(seen, 1000, 1000), 2);
    assert.equal(youngOf(seen, 1100, 1000), 1);
    assert.equal(youngOf(seen, 1700, 1000), 0);
  });

  it('can be told old by the time the copy is stopped, which is late', () => {
    assert.deepEqual(timesOf(7000), { watchAt: 4000, stopAt: 5000, youngMs: 1000 });
    assert.deepEqual(timesOf(3000), { watchAt: 500, stopAt: 1500, youngMs: 1000 });
    assert.deepEqual(timesOf(1000), { watchAt: 0, stopAt: 500, youngMs: 500 });
    assert.deepEqual(timesOf(0), { watchAt: 0, stopAt: 0, youngMs: 0 });
  });
});

it('listeners are found by port, and connections of that port are none', () => {
  const row = (port: string, state: string, inode: string) =>
    `   0: 0100007F:${port} 00000000:0000 ${state} 00000000:00000003 00:00000000 00000000  1000        0 ${inode} 1 0000 100 0 0 10 0`;
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid …',
    row('1F90', '0A', '4711'),
    row('1F91', '0A', '4712'),
    row('1F90', '01', '4713'),
  ].join('\n');
  assert.deepEqual(parseListenersOn(table, [8080, 443]), ['4711']);
});

describe('a copy beside another one on the same socket', {
  skip: process.platform !== 'linux' && 'reads /proc',
}, () => {
  const quarry = ({ pid }: Copy, port: number, waitMs: number, isServed = () => true) => ({
    group: pid,
    ports: [port],
    user: null,
    waitMs,
    isServed,
  });

  it('that ignores TERM is killed, and no request is lost', async () => {
    const { port, held } = await holder();
    await using deaf = await start(held, 'deaf', DEAF);
    const asked = ask(port);
    while (asked.answers['deaf'] === undefined) await sleep(10);
    await using next = await start(held, 'next', '');
    deaf.process.kill('SIGTERM');
    const exit = once(deaf.process, 'exit');
    // Nobody aborts it: on a busy machine it goes on for longer.
    const signal = new AbortController().signal;
    assert.equal(await killInQuietMoment(quarry(deaf, port, 3000), signal), true);
    assert.deepEqual(await exit, [null, 'SIGKILL']);
    const before = asked.answers['next'] ?? 0;
    while ((asked.answers['next'] ?? 0) < before + 20) await sleep(10);
    assert.deepEqual(Object.keys(await asked.stop()).toSorted(), ['deaf', 'next']);
    assert.equal(next.process.exitCode, null);
  });

  it('that lets go of the socket is not stopped, and has all of its time', async () => {
    const { port, held } = await holder();
    await using draining = await start(held, 'old', DRAINS);
    await using _next = await start(held, 'next', '');
    const asked = ask(port);
    while (asked.answers['old'] === undefined) await sleep(10);
    draining.process.kill('SIGTERM');
    await draining.says('drains');
    const signal = new AbortController().signal;
    assert.equal(await killInQuietMoment(quarry(draining, port, 400), signal), false);
    await asked.stop();
    assert.deepEqual(draining.lines, ['listens', 'drains']);
    assert.equal(draining.process.exitCode, null);
  });

  it('that accepts nothing is not stopped', async () => {
    const { port, held } = await holder();
    await using idle = await start(held, 'idle', DEAF);
    const wait = async () => {
      await sleep(500);
      return false;
    };
    const outcome = await waitOrKillQuietly(quarry(idle, port, 100), wait);
    assert.deepEqual(outcome, { isGone: false, killed: false });
    assert.deepEqual(idle.lines, ['listens']);
  });

  it('is not stopped while the other one is not there', async () => {
    const { port, held } = await holder();
    await using deaf = await start(held, 'deaf', DEAF);
    const asked = ask(port);
    const signal = new AbortController().signal;
    assert.equal(
      await killInQuietMoment(
        quarry(deaf, port, 100, () => false),
        signal,
      ),
      false,
    );
    await asked.stop();
    assert.deepEqual(deaf.lines, ['listens']);
  });

  it('goes on when the time is up', async () => {
    const { port, held } = await holder();
    await using deaf = await start(held, 'deaf', DEAF);
    const asked = ask(port);
    const end = new AbortController();
    const looking = killInQuietMoment(quarry(deaf, port, 100), end.signal);
    while (!areStopped([deaf.pid])) await sleep(1);
    end.abort();
    if (!(await looking)) while (areStopped([deaf.pid])) await sleep(1);
    await using _next = await start(held, 'next', '');
    await asked.stop();
  });

  it('goes on when who stopped it is killed', async () => {
    const { held } = await holder();
    await using copy = await start(held, 'copy', DEAF);
    const code = `import { OpenSockets } from ${JSON.stringify(OPEN_SOCKETS)};
const sockets = new OpenSockets(${copy.pid}, null);
if (await sockets.of([${copy.pid}]) === null) throw new Error('nobody could look');
process.kill(-${copy.pid}, 'SIGSTOP');
process.kill(process.pid, 'SIGKILL');`;
    const updater = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: 'inherit',
    });
    assert.deepEqual(await once(updater, 'exit'), [null, 'SIGKILL']);
    await copy.says('went on');
  });
});

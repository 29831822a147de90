/** Sockets that this process holds, and Node apps that take them without a change. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { after, describe, it } from 'node:test';
import {
  HeldSockets,
  hasHeldSocket,
  underOwnPid,
} from '../../../src/effects/supervisor/held-sockets.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'held-'));
after(() => rmSync(directory, { recursive: true }));

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

type App = { port: number; process: ChildProcess; says(word: string): Promise<string> };

/** Starts Node code, with `port` in it, as the app that has the held socket of that port. */
async function start(
  code: string,
  port?: number,
  isPreloaded = true,
): Promise<App & AsyncDisposable> {
  const held = port ?? (await freePort());
  const sockets = [{ name: 'web', address: '127.0.0.1', port: held }];
  const holder = new HeldSockets({ sockets, isPreloaded });
  const file = path.join(directory, `${Math.random()}.cjs`);
  writeFileSync(file, `const port = ${held};\nconst say = console.log;\n${code}`);
  const [program, ...args] = underOwnPid(process.execPath, [file]);
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'] ?? '', ...holder.environment({}) },
    stdio: ['ignore', 'pipe', 'inherit', ...holder.descriptors()],
  });
  const lines: string[] = [];
  assert.ok(child.stdout);
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  return {
    port: held,
    process: child,
    async says(word) {
      for (;;) {
        const found = lines.find((line) => line.startsWith(word));
        if (found !== undefined) return found;
        await once(reader, 'line');
      }
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

type Answer = { text: string; connection: string | undefined };

function ask(port: number, place = '/', agent: http.Agent | false = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path: place, agent }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => {
        const text = Buffer.concat(parts).toString();
        resolve({ text, connection: response.headers.connection });
      });
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

/** Answers `/slow` when the app is told to (USR2), and everything else at once. */
const SERVER = `
const slow = [];
process.on('SIGUSR2', () => slow.splice(0).forEach((answer) => answer.end('slow')));
const server = require('node:http').createServer((request, response) => {
  if (request.url !== '/slow') return response.end('quick');
  slow.push(response);
  say('slow');
});
`;

describe('a Node app without a change', () => {
  for (const call of [
    'server.listen(port, () => say("up"))',
    'server.listen(String(port), () => say("up"))',
    'server.listen(port, "127.0.0.1", () => say("up"))',
    'server.listen(port, "localhost", 10, () => say("up"))',
    'server.listen({ port, host: "0.0.0.0" }, () => say("up"))',
    'server.listen({ port: String(port), backlog: 1 }); server.on("listening", () => say("up"))',
    'import("node:net").then(() => server.listen(port).on("listening", () => say("up")))',
  ])
    it(`takes the held socket: ${call}`, async () => {
      await using app = await start(`${SERVER}${call}`);
      await app.says('up');
      assert.equal((await ask(app.port)).text, 'quick');
    });

  it('is waited for, between one that ended and the next', async () => {
    const first = await start(`${SERVER}server.listen(port, () => say('up'))`);
    await first.says('up');
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
    const answer = ask(first.port);
    await using next = await start(`${SERVER}server.listen(port)`, first.port);
    assert.equal((await answer).text, 'quick');
    assert.equal(next.port, first.port);
  });

  it('listens at other ports, and at paths, as it says', async () => {
    await using app = await start(`
      const other = require('node:net').createServer().listen(0, () => {
        const there = other.address().port;
        require('node:net').createServer().listen('/${directory.slice(1)}/socket', () =>
          say('up ' + (there !== port)));
      });`);
    assert.equal(await app.says('up'), 'up true');
  });

  it('takes it again after its server was closed, as often as it likes', async () => {
    await using app = await start(`
      const net = require('node:net');
      let times = 0;
      const probe = () => {
        const server = net.createServer().on('error', ({ code }) => say('up ' + code));
        server.listen(port, () => server.close((times += 1) < 5 ? probe : serve));
      };
      const serve = () => require('node:http').createServer((request, response) =>
        response.end('served')).on('error', ({ code }) => say('up ' + code))
        .listen({ port }, () => say('up'));
      probe();
    `);
    assert.equal(await app.says('up'), 'up');
    assert.equal((await ask(app.port)).text, 'served');
  });

  it('takes it again for a worker that replaces the only one of a cluster', async () => {
    await using app = await start(`
      const cluster = require('node:cluster');
      if (cluster.isPrimary) {
        cluster.fork();
        let count = 0;
        cluster.on('listening', () => say('up' + (count += 1)));
        cluster.on('exit', () => setTimeout(() => cluster.fork(), 100));
      } else require('node:http').createServer((request, response) => {
        if (request.url === '/crash') process.exit(5);
        response.end('w');
      }).listen(port);`);
    for (const n of [1, 2, 3]) {
      await app.says(`up${n}`);
      assert.equal((await ask(app.port)).text, 'w');
      await assert.rejects(ask(app.port, '/crash'));
    }
  });

  it('has children that take nothing of it', async () => {
    await using app = await start(`
      if (process.argv[2] === 'child') {
        const { createServer } = require('node:net');
        createServer().on('error', ({ code }) => process.send(code)).listen(port, '127.0.0.1');
      } else {
        const child = require('node:child_process').fork(__filename, ['child']);
        child.on('message', (code) => { say('child ' + code); child.kill(); });
      }`);
    assert.equal(await app.says('child'), 'child EADDRINUSE');
  });
});

describe('a Node app without a change, at TERM', () => {
  it('finishes what it was asked, says "close" in kept connections, and ends by TERM', async () => {
    await using app = await start(`${SERVER}server.listen(port, () => say('up'))`);
    await app.says('up');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await ask(app.port, '/', agent)).connection, 'keep-alive');
    const slow = ask(app.port, '/slow');
    await app.says('slow');
    app.process.kill('SIGTERM');
    // The kept connection is asked until it says so: the signal may come a little later.
    while ((await ask(app.port, '/', agent)).connection !== 'close');
    app.process.kill('SIGUSR2');
    assert.deepEqual(await slow, { text: 'slow', connection: 'close' });
    assert.deepEqual(await once(app.process, 'exit'), [null, 'SIGTERM']);
  });

  it('ends while a client keeps a connection without asking anything', async () => {
    await using app = await start(`${SERVER}server.listen(port, () => say('up'))`);
    await app.says('up');
    const silent = net.connect(app.port, '127.0.0.1');
    await once(silent, 'connect');
    silent.on('error', () => {});
    await ask(app.port);
    app.process.kill('SIGTERM');
    assert.deepEqual(await once(app.process, 'exit'), [null, 'SIGTERM']);
    silent.destroy();
  });

  it('waits for connections that are no requests', async () => {
    await using app = await start(`
      const net = require('node:net');
      net.createServer((socket) => { say('here'); socket.resume(); }).listen(port, () => say('up'));
      process.on('SIGUSR2', () => say(process._getActiveHandles().length > 0));
    `);
    await app.says('up');
    const socket = net.connect(app.port, '127.0.0.1');
    await app.says('here');
    app.process.kill('SIGTERM');
    app.process.kill('SIGUSR2');
    await app.says('true');
    socket.end();
    assert.deepEqual(await once(app.process, 'exit'), [null, 'SIGTERM']);
  });

  it('does what its own handler says', async () => {
    await using app = await start(
      `${SERVER}server.listen(port, () => say('up'));
      process.once('SIGTERM', () => process.exit(7));`,
    );
    await app.says('up');
    app.process.kill('SIGTERM');
    assert.deepEqual(await once(app.process, 'exit'), [7, null]);
  });

  it('is not counted by handlers that end the process where they are alone', async () => {
    await using app = await start(`${SERVER}server.listen(port, () => say('up'));
      process.once('SIGTERM', () => {
        if (process.listenerCount('SIGTERM') === 0) process.exit(9);
      });`);
    await app.says('up');
    app.process.kill('SIGTERM');
    assert.deepEqual(await once(app.process, 'exit'), [9, null]);
  });

  it('drains where a handler takes itself away and sends TERM again, as signal-exit', async () => {
    await using app = await start(`${SERVER}server.listen(port, () => say('up'));
      const onTerm = () => {
        if (process.listeners('SIGTERM').length !== 1) return;
        process.removeListener('SIGTERM', onTerm);
        say('again');
        process.kill(process.pid, 'SIGTERM');
      };
      process.on('SIGTERM', onTerm);`);
    await app.says('up');
    const slow = ask(app.port, '/slow');
    await app.says('slow');
    app.process.kill('SIGTERM');
    await app.says('again');
    app.process.kill('SIGUSR2');
    assert.equal((await slow).text, 'slow');
    assert.deepEqual(await once(app.process, 'exit'), [null, 'SIGTERM']);
  });

  it('ends at once where nothing listens', async () => {
    await using app = await start(`setInterval(() => {}, 1000); say('up')`);
    await app.says('up');
    app.process.kill('SIGTERM');
    assert.deepEqual(await once(app.process, 'exit'), [null, 'SIGTERM']);
  });

  it('drains its cluster', async () => {
    await using app = await start(`
      const cluster = require('node:cluster');
      if (cluster.isPrimary) {
        cluster.setupPrimary({ silent: true });
        for (let n = 0; n < 2; n += 1) cluster.fork();
        cluster.on('listening', () => say('up'));
        cluster.on('message', (worker, { pid }) => {
          process.once('SIGUSR2', () => process.kill(pid, 'SIGUSR2'));
          say('slow');
        });
        // Replaces what ends, as most do.
        cluster.on('exit', () => cluster.fork());
      } else {
        ${SERVER.replace("say('slow')", 'process.send({ pid: process.pid })')}
        server.listen(port);
      }`);
    await app.says('up');
    assert.equal((await ask(app.port)).text, 'quick');
    const slow = ask(app.port, '/slow');
    await app.says('slow');
    app.process.kill('SIGTERM');
    app.process.kill('SIGUSR2');
    assert.equal((await slow).text, 'slow');
    assert.deepEqual(await once(app.process, 'exit'), [null, 'SIGTERM']);
  });
});

describe('a held socket that an app shut down (shutdown(2))', {
  skip: !existsSync('/usr/bin/perl'),
}, () => {
  for (const waits of [0, 1])
    it(`listens again at the next start, accept ${waits ? 'waits' : 'never waits'} as before`, async () => {
      const port = await freePort();
      const said: string[] = [];
      const sockets = [{ name: 'web', address: '127.0.0.1', port }];
      const holder = new HeldSockets({ sockets, isPreloaded: false }, (line) => said.push(line));
      const [fd = -1] = holder.descriptors();
      const script = `use IO::Handle; open my $s, '+<&=', 3; $s->blocking(${waits}); shutdown $s, 2`;
      execFileSync('perl', ['-e', script], { stdio: ['ignore', 'inherit', 'inherit', fd] });
      const refused = net.connect(port, '127.0.0.1');
      await assert.rejects(once(refused, 'connect'), { code: 'ECONNREFUSED' });
      assert.deepEqual(holder.descriptors(), [fd]);
      assert.match(said.join('\n'), /^UPDATE_LISTEN: .* port \d+ was shut down .*listening again$/);
      const client = net.connect(port, '127.0.0.1');
      await once(client, 'connect');
      client.destroy();
      const [, flags = ''] =
        /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
      const isWaiting = (Number.parseInt(flags, 8) & constants.O_NONBLOCK) === 0;
      assert.equal(isWaiting, waits === 1);
      assert.deepEqual(holder.descriptors(), [fd]);
      assert.equal(said.length, 1);
    });
});

it('the sample app takes the held socket, and answers at TERM what it accepted', async () => {
  const sample = path.resolve(import.meta.dirname, '../../../examples/app/app');
  await using app = await start(
    `process.env.PORT = port; require(${JSON.stringify(sample)})`,
    undefined,
    false,
  );
  await app.says('sample app');
  const socket = net.connect(app.port, '127.0.0.1');
  await once(socket, 'connect');
  // Accepted, in turn, before this one is answered.
  assert.match((await ask(app.port)).text, /^\d/);
  app.process.kill('SIGTERM');
  await assert.rejects(async () => {
    for (;;) await once(app.process, 'exit', { signal: AbortSignal.timeout(100) });
  });
  socket.end('GET / HTTP/1.1\r\nhost: sample\r\n\r\n');
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 200 .*connection: close/is);
  assert.deepEqual(await once(app.process, 'exit'), [0, null]);
});

describe('an app that alone has the held sockets', () => {
  it('is known by them, also where it has a duplicate and closed what it was given', async () => {
    const port = await freePort();
    const holder = new HeldSockets({
      sockets: [{ name: 'web', address: '127.0.0.1', port }],
      isPreloaded: false,
    });
    const [fd = -1] = holder.descriptors();
    const takes = 'exec 7<&3 3<&-; echo taken; exec sleep 4000';
    const app = spawn('sh', ['-c', takes], { detached: true, stdio: ['pipe', 'pipe', 'pipe', fd] });
    try {
      await once(app.stdout as Readable, 'data');
      assert.equal(hasHeldSocket(app.pid ?? 0, [port]), true);
      assert.equal(hasHeldSocket(app.pid ?? 0, [await freePort()]), false);
    } finally {
      app.kill('SIGKILL');
    }
  });
});

describe('a socket that can’t be held', () => {
  const descriptors = (address: string, port: number) => () =>
    new HeldSockets({
      sockets: [{ name: 'web', address, port }],
      isPreloaded: false,
    }).descriptors();

  it('is told where another program has it', async () => {
    const other = net.createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as net.AddressInfo;
    assert.throws(descriptors('127.0.0.1', port), {
      code: 'LISTEN_FAILED',
      message: `UPDATE_LISTEN: 127.0.0.1:${port} can't be listened on: another program has it: end that, or take another port`,
    });
    other.close();
  });

  it('is told where the address is none of this machine’s', () => {
    assert.throws(descriptors('203.0.113.9', 8080), {
      code: 'LISTEN_FAILED',
      message: /203\.0\.113\.9:8080 can't be listened on: the address is none of this machine's/,
    });
  });
});

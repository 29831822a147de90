/** UPDATE_LISTEN: the container holds the listening sockets, and the app borrows them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Container, HARDENED, PROFILES } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';
import { freePort } from '../support/product.ts';
import { Requests, request } from '../support/requests.ts';

const IMAGE = 'self-update-test:held';
const MEMORY = ['--tmpfs', '/run/self-update', '--tmpfs', '/tmp'];

/** Takes what it is given (sd_listen_fds(3)), and needs a moment to start. */
const taking = (version: string) => `#!/usr/bin/env node
const { LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES, SELF_UPDATE_LISTEN_PORTS, NODE_OPTIONS } = process.env;
if (Number(LISTEN_PID) !== process.pid) throw new Error('not for this process');
const { createServer } = require('node:http');
const answer = (fd) => ({ url }, response) => {
  response.setHeader('connection', 'close');
  if (url === '/own') {
    const { readdirSync, readlinkSync } = require('node:fs');
    const links = readdirSync('/proc/self/fd').filter((fd) => Number(fd) < 3);
    const own = [process.argv.slice(2), process.umask(), links, readlinkSync('/proc/self/fd/0')];
    return response.end(JSON.stringify(own));
  }
  if (url === '/hangs') return;
  if (url === '/given')
    return response.end(JSON.stringify(
      [fd, LISTEN_FDS, LISTEN_FDNAMES, SELF_UPDATE_LISTEN_PORTS ?? '', NODE_OPTIONS ?? '']));
  response.end('${version}');
};
setTimeout(() => {
  for (let fd = 3; fd < 3 + Number(LISTEN_FDS); fd += 1) createServer(answer(fd)).listen({ fd });
}, 200);
process.on('SIGTERM', () => process.exit(0));
`;
/** Listens by itself, and does nothing at TERM. */
const unchanged = (version: string) => `#!/usr/bin/env node
const { PORT } = process.env;
require('node:http').createServer((q, r) => setTimeout(() => r.end('${version}'), 20)).listen(PORT);
`;

const SILENT = '#!/bin/sh\nexit 1\n';

/** Drains as the protocol wants it: the listener first, then what was accepted. */
const draining = (version: string) =>
  taking(version).replace(
    "process.on('SIGTERM', () => process.exit(0));",
    `const servers = [];
const { listen } = require('node:net').Server.prototype;
require('node:net').Server.prototype.listen = function (...args) {
  servers.push(this);
  return listen.apply(this, args);
};
process.on('SIGTERM', () => {
  let open = servers.length;
  for (const server of servers) server.close(() => (open -= 1) || process.exit(0));
});`,
  );

const isApp = (command: string): boolean => /\/(?:releases|baked)\//.test(command);
const app = (content: string) => ({ files: { app: { content, mode: 0o755 } } });

/** The names of the processes that have one of the listeners of these ports, once each. */
async function holders(container: Container, ports: readonly number[]): Promise<string[]> {
  const wanted = ports.map((port) => port.toString(16).toUpperCase().padStart(4, '0'));
  const inodes = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local = '', , state]) => state === '0A' && wanted.includes(local.split(':')[1] ?? ''),
    )
    .map((fields) => `socket:[${fields[9]}]`);
  assert.equal(inodes.length, ports.length);
  const names = (await container.processes()).flatMap(({ pid, command }) =>
    descriptors(pid).some((target) => inodes.includes(target)) ? [command] : [],
  );
  return [...new Set(names)].sort();
}

function descriptors(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    // It ended meanwhile.
    return [];
  }
}

/** Three streams (a hook's are sockets), and the directory itself: no more. */
const WITHOUT = '[ "$(ls /proc/self/fd | wc -l)" -le 4 ]';
/** A service has the container's input too. */
const NO_SOCKET = '[ "$(ls -l /proc/self/fd | grep -c socket:)" = 0 ]';

before(async () => {
  await derive(IMAGES.app, IMAGE, 'COPY . /etc/service/\nRUN rm /etc/service/Dockerfile', {
    'extra/run': '#!/bin/sh\necho "run as $0"\nexec sleep 1000\n',
    'extra/log/run': '#!/bin/sh\nexec cat\n',
    'extra/finish': `#!/bin/sh\n${NO_SOCKET} && touch /data/finished\n`,
    'extra/control/h': `#!/bin/sh\n${NO_SOCKET} && touch /data/controlled\n`,
  });
});
after(async () => {
  await docker(['rmi', '--force', IMAGE], { reject: false });
});

for (const [profile, options] of Object.entries(PROFILES)) {
  for (const hardened of [[], [...HARDENED, ...MEMORY]]) {
    describe(`held sockets, ${profile}${hardened.length > 0 ? ', hardened' : ''}`, () => {
      it('lose no request through an update, and are the app’s alone', async () => {
        const [port, admin] = [await freePort(), await freePort()];
        await using container = await Container.prepare({
          image: IMAGE,
          port,
          env: {
            UPDATE_LISTEN: `web=127.0.0.1:${port} 127.0.0.1:${admin}`,
            // Both fail where they have a socket.
            UPDATE_HEALTH_CMD: WITHOUT,
            UPDATE_PRE_STOP_CMD: WITHOUT,
          },
          run: [...options, ...hardened],
        });
        await container.publish('0.0.2', app(draining('0.0.2')));
        await container.create();
        await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
        const given = JSON.parse(await request(port, '/given')) as string[];
        assert.deepEqual(given, [3, '2', `web:${admin}`, '', '']);
        assert.equal((JSON.parse(await request(admin, '/given')) as number[])[0], 4);
        const requests = new Requests(port);
        await container.publish('0.0.3', app(draining('0.0.3')));
        await container.signal('HUP');
        await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
        assert.equal(await request(port), '0.0.3');
        await requests.stop();
        assert.deepEqual(requests.failures, []);
        assert.deepEqual(requests.answers, ['0.0.2', '0.0.3']);

        const found = await holders(container, [port, admin]);
        assert.deepEqual(
          found.map((command) => command.replace(/(?<=releases\/0\.0\.3)-\w+/, '')),
          [
            '/usr/lib/self-update/bin/dash /usr/lib/self-update/init',
            '/usr/lib/self-update/bin/runsvdir -P /run/self-update/private/service',
            'node /data/self-update/releases/0.0.3/app',
            'runsv app',
            'runsv extra',
            'runsv update',
          ],
        );
        const user = profile.startsWith('one') ? '4321' : '0';
        const inside = await container.exec(['sh', '-c', WITHOUT], ['--user', user]);
        assert.equal(inside.exitCode, 0, 'docker exec');
      });

      it('are not the other services’: not of what runs, finishes, steers or logs', async () => {
        await using container = await Container.run({
          image: IMAGE,
          env: { UPDATE_LISTEN: String(await freePort()) },
          run: [...options, ...hardened],
        });
        await container.until('it runs', async () =>
          (await container.processes()).some(({ command }) => /sleep 1000/.test(command)),
        );
        const service = '/run/self-update/private/service/extra';
        const word = `printf h > ${service}/supervise/control`;
        await container.until('its runsv takes a word', async () => {
          const { exitCode } = await container.exec(['sh', '-c', word]);
          return exitCode === 0;
        });
        process.kill(await container.processOf(/sleep 1000/), 'SIGTERM');
        await container.until('finish and control/h had none', async () => {
          const { stdout } = await container.exec(['ls', '/data']);
          return /controlled/.test(stdout) && /finished/.test(stdout);
        });
      });
    });
  }
}

describe('a Node app without a change', () => {
  for (const profile of ['root', 'one unprivileged user'] as const)
    it(`loses no request through an update (${profile})`, async () => {
      const port = await freePort();
      await using container = await Container.prepare({
        port,
        env: { UPDATE_LISTEN: `[::]:${port}`, UPDATE_LISTEN_NODE: 'On' },
        run: [...PROFILES[profile], ...HARDENED],
      });
      await container.publish('0.0.2', app(unchanged('0.0.2')));
      await container.create();
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      const requests = new Requests(port);
      await container.publish('0.0.3', app(unchanged('0.0.3')));
      await container.signal('HUP');
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.3');
      assert.equal(await request(port), '0.0.3');
      await requests.stop();
      assert.deepEqual(requests.failures, []);
      assert.deepEqual(requests.answers, ['0.0.2', '0.0.3']);
    });
});

describe('five held sockets', () => {
  it('are where they belong, and leave the app its input, its arguments and its umask', async () => {
    const ports = await Promise.all([1, 2, 3, 4, 5].map(() => freePort()));
    const [fifth = 0, ...others] = ports;
    const places = others.map((port) => `127.0.0.1:${port}`);
    const begin =
      'umask 027; exec /usr/lib/self-update/bin/tini -s -- /usr/lib/self-update/init one "two words"';
    await using container = await Container.prepare({
      env: { UPDATE_LISTEN: `${places.join(',')}, five=[::1]:${fifth}` },
      run: ['--interactive', '--entrypoint', '/bin/sh'],
      args: ['-c', begin],
    });
    await container.publish('0.0.2', app(taking('0.0.2')));
    await container.create();
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    for (const [index, port] of others.entries())
      assert.equal((JSON.parse(await request(port, '/given')) as number[])[0], 3 + index);
    const given = JSON.parse(await request(fifth, '/given', '::1')) as string[];
    assert.deepEqual(given.slice(0, 3), [7, '5', [...others, 'five'].join(':')]);
    const own = JSON.parse(await request(fifth, '/own', '::1')) as string[];
    assert.deepEqual(own.slice(0, 3), [['one', 'two words'], 0o027, ['0', '1', '2']]);
    assert.match(own[3] ?? '', /^pipe:/);
  });
});

describe('without UPDATE_LISTEN', () => {
  for (const value of [undefined, '', ' , '])
    it(`nothing is there that was not before: ${JSON.stringify(value)}`, async () => {
      await using container = await Container.run({
        image: IMAGE,
        env: value === undefined ? {} : { UPDATE_LISTEN: value, UPDATE_LISTEN_NODE: 'on' },
      });
      await container.fact('versionBecameHealthy');
      const { stdout } = await container.exec([
        ...['find', '/run/self-update/private', '-name', 'sockets', '-o', '-name', 'app.output*'],
        ...['-o', '-name', '.held.*'],
      ]);
      assert.equal(stdout, '');
      for (const { pid, command } of await container.processes()) {
        assert.doesNotMatch(command, /spawn-fcgi|without-sockets/);
        assert.deepEqual(
          descriptors(pid).filter((target) => target.startsWith('socket:') && !isApp(command)),
          [],
          command,
        );
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        assert.doesNotMatch(
          environment,
          /LISTEN_(?:FDS|PID|FDNAMES|PORTS)|NODE_OPTIONS|UPDATE_HELD/,
        );
      }
    });
});

describe('a socket that can’t be held', () => {
  const start = (env: Record<string, string>, run: readonly string[] = []) =>
    Container.prepare({ env, run });

  for (const [what, listen, status, line] of [
    [
      'no address',
      'localhost:80',
      78,
      /^init: UPDATE_LISTEN: has "localhost:80", which is not .*\[CONFIGURATION\]$/,
    ],
    [
      'a pattern of files',
      '*',
      78,
      /^init: UPDATE_LISTEN: has "\*", which is not .*\[CONFIGURATION\]$/,
    ],
    [
      'six of them',
      '1 2 3 4 5 6',
      78,
      /^init: UPDATE_LISTEN: names more than 5 sockets\..*\[CONFIGURATION\]$/,
    ],
    [
      'a name twice',
      'a=1 a=2',
      78,
      /^init: UPDATE_LISTEN: has the name "a" twice\..*\[CONFIGURATION\]$/,
    ],
    [
      'of another machine',
      '203.0.113.9:8080',
      73,
      /^init: UPDATE_LISTEN: 203\.0\.113\.9:8080 can't be listened on: the address is none of this container's.*\[LISTEN_FAILED\]$/,
    ],
  ] as const)
    it(`ends the container with one line: ${what}`, async () => {
      await using container = await start({ UPDATE_LISTEN: listen });
      await container.create();
      assert.equal(await container.ended(), status);
      assert.match((await container.logs()).trim(), line);
    });

  it('ends the container with one line: a port that another program has', async () => {
    const other = net.createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as net.AddressInfo;
    // The first is fine, and not left behind.
    const text = `127.0.0.1:${await freePort()} 127.0.0.1:${port}`;
    await using container = await start({ UPDATE_LISTEN: text });
    await container.create();
    assert.equal(await container.ended(), 73);
    other.close();
    assert.match(
      (await container.logs()).trim(),
      /^init: UPDATE_LISTEN: 127\.0\.0\.1:\d+ can't be listened on: another program has it: .*\[LISTEN_FAILED\]$/,
    );
  });
});

describe('a port below 1024', () => {
  const FOUR = PROFILES['root with four capabilities'];
  for (const [profile, run, isAllowed] of [
    ['root', PROFILES.root, true],
    ['root with four capabilities', FOUR, false],
    ['root with a fifth', [...FOUR, '--cap-add', 'NET_BIND_SERVICE'], true],
    ['one unprivileged user', PROFILES['one unprivileged user'], false],
  ] as const)
    it(`is ${isAllowed ? 'held' : 'refused with what it needs'} (${profile})`, async () => {
      const port = 1017;
      await using container = await Container.prepare({
        env: { UPDATE_LISTEN: `127.0.0.1:${port}` },
        run,
      });
      await container.publish('0.0.2', app(taking('0.0.2')));
      await container.create();
      if (!isAllowed) {
        assert.equal(await container.ended(), 73);
        assert.match(await container.logs(), /--cap-add NET_BIND_SERVICE.*\[LISTEN_FAILED\]/);
        return;
      }
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      assert.equal(await request(port), '0.0.2');
      const pid = await container.processOf(/^node .*\/0\.0\.2\S*\/app/);
      assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^CapEff:\t0+$/m);
    });
});

describe('a version that binds a held address itself', () => {
  for (const profile of ['root', 'one unprivileged user'] as const)
    it(`gives way, is denied by nobody, and runs once it may (${profile})`, async () => {
      const port = await freePort();
      await using container = await Container.prepare({
        port,
        // Longer than a start of Node.
        env: { UPDATE_LISTEN: `127.0.0.1:${port}`, UPDATE_PROBATION: '3' },
        run: [...PROFILES[profile], ...HARDENED],
      });
      await container.publish('0.0.2', app(taking('0.0.2')));
      await container.create();
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      await container.publish('0.0.3', app(unchanged('0.0.3')));
      await container.signal('HUP');
      const { code, message } = await container.fact('probationFailed');
      assert.equal(code, 'ADDRESS_HELD', message);
      assert.match(message, new RegExp(`port ${port} is in use: UPDATE_LISTEN holds it`));
      await container.until('0.0.2 is back', async () => (await request(port)) === '0.0.2');
      await container.until('it rests', async () => {
        const { denied, waitingFor } = await container.status();
        assert.deepEqual(denied, []);
        return waitingFor?.reason === 'address';
      });
      const { stdout } = await container.exec(['ls', '/run/self-update/private']);
      assert.doesNotMatch(stdout, /app\.output/);
    });

  for (const [what, content, expected] of [
    ['by its code', unchanged('0.0.2'), ['ADDRESS_HELD', /^version 0\.0\.2 ended because port/]],
    [
      'as a guess',
      SILENT,
      ['CRASH_LOOP', /If that says that its address is in use: UPDATE_LISTEN/],
    ],
  ] as const)
    it(`is told, and unhealthy, where nothing else can run: ${what}`, async () => {
      const port = await freePort();
      await using container = await Container.prepare({
        image: IMAGES.empty,
        port,
        env: {
          UPDATE_LISTEN: `127.0.0.1:${port}`,
          UPDATE_PROBATION: '0',
          UPDATE_HEALTH_TIMEOUT: '1',
        },
      });
      await container.publish('0.0.2', app(content));
      await container.create();
      const { code, message } = await container.fact('appCrashLooped');
      assert.equal(code, expected[0]);
      assert.match(message, expected[1]);
      assert.deepEqual((await container.status()).denied, []);
      const url = `UPDATE_HEALTH_URL=http://127.0.0.1:${port}/`;
      const check = ['/usr/lib/self-update/healthcheck'];
      // In each of its states: it pauses, longer and longer; it runs for a moment.
      for (const exits of [8, 9]) {
        await container.until(`it ended ${exits} times`, async () => {
          const { stdout } = await container.exec(['cat', '/run/self-update/private/app.exits']);
          return stdout.split('\n').length >= exits;
        });
        assert.equal((await container.exec(check, ['--env', url])).exitCode, 1);
      }
    });
});

describe('a held socket of an app that does not answer', () => {
  it('makes clients wait, and the health check fail in time', async () => {
    const port = await freePort();
    await using container = await Container.prepare({
      port,
      env: {
        UPDATE_LISTEN: `127.0.0.1:${port}`,
        UPDATE_HEALTH_URL: `http://127.0.0.1:${port}/`,
        UPDATE_HEALTH_TIMEOUT: '1',
      },
    });
    await container.publish('0.0.2', app(taking('0.0.2')));
    await container.create();
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    const check = () => container.exec(['/usr/lib/self-update/healthcheck']);
    assert.equal((await check()).exitCode, 0);
    const pid = await container.processOf(/^node .*\/0\.0\.2\S*\/app/);
    process.kill(pid, 'SIGSTOP');
    const answer = request(port);
    const { exitCode, stdout } = await check();
    assert.deepEqual([exitCode, stdout], [1, 'the health check took longer than 1 s\n0.0.2']);
    process.kill(pid, 'SIGCONT');
    assert.equal(await answer, '0.0.2');
  });
});

describe('an updater that was killed while it read an app’s last words', () => {
  it('has the app started anew, so that its output is seen, and no file of it grows', async () => {
    const port = await freePort();
    await using container = await Container.run({
      port,
      env: { UPDATE_LISTEN: `127.0.0.1:${port}`, HELD: '1' },
    });
    await container.fact('versionBecameHealthy');
    const state = '/run/self-update/private';
    const leader = async () => (await container.exec(['cat', `${state}/app.started`])).stdout;
    const before = await leader();
    await container.exec(['touch', `${state}/app.output.taken`]);
    await container.signal('HUP');
    await container.until('another one runs', async () => {
      const now = await leader();
      return now !== '' && now !== before;
    });
    await container.answers('0.0.1');
    const left = await container.exec(['find', state, '-name', '*.output*']);
    assert.equal(left.stdout, '');
  });
});

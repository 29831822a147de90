/**
 * The app steers what runs as its user: it stops processes of ours, or has them do its work by a
 * debugger, to hide from an update or to keep one from its end.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, HARDENED, PROFILES } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

const IMAGE = 'self-update-test:steered';
const APP = ['--user', '1000:1000'];
/** Stops whatever runs as its user in other sessions, again and again, and says of what it was. */
const STOPPER = `#!/usr/bin/env node
const { readFileSync, readdirSync } = require('node:fs');
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.on(signal, () => {});
const sessionOf = (pid) => readFileSync('/proc/' + pid + '/stat', 'latin1').split(') ').pop().split(' ')[3];
const own = sessionOf(process.pid);
const told = new Set();
setImmediate(function look() {
  for (const pid of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    try {
      if (sessionOf(pid) === own) continue;
      process.kill(Number(pid), 'SIGSTOP');
      const command = readFileSync('/proc/' + pid + '/cmdline', 'latin1').replaceAll('\\0', ' ');
      if (!told.has(command)) console.log('stopped: ' + command);
      told.add(command);
    } catch {}
  }
  setImmediate(look);
});
`;
/**
 * Waits for the process that seeds the app's data, has it open its debugger, and start something
 * there. A directory to be removed first keeps it busy.
 */
const DEBUGGER = `#!/usr/bin/env node
const fs = require('node:fs');
const http = require('node:http');
fs.mkdirSync('/data/app/world.seed.tmp', { recursive: true });
for (let i = 0; i < 15000; i++) fs.writeFileSync('/data/app/world.seed.tmp/' + i, '');
console.log('armed');
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const find = () => fs.readdirSync('/proc').find((pid) => {
  try { return /^[0-9]+$/.test(pid) && /linked-child[.]js/.test(fs.readFileSync('/proc/' + pid + '/cmdline', 'latin1')); } catch { return false; }
});
const address = () => new Promise((resolve) => http.get('http://127.0.0.1:9229/json', (answer) => {
  let body = '';
  answer.on('data', (chunk) => { body += chunk; }).on('end', () => { try { resolve(JSON.parse(body)[0].webSocketDebuggerUrl); } catch { resolve(null); } });
}).on('error', () => resolve(null)));
(async () => {
  let pid;
  while ((pid = find()) === undefined) await pause(1);
  // The signal ends a Node that has just begun, and has not set it up.
  try { while (!(parseInt(/SigCgt:\\s*(\\w+)/.exec(fs.readFileSync('/proc/' + pid + '/status', 'latin1'))[1].slice(-4), 16) & 0x4000)) await pause(1); } catch {}
  for (;;) {
    try { process.kill(Number(pid), 'SIGUSR1'); } catch { console.log('it ended'); break; }
    const url = await address();
    if (url === null) { await pause(5); continue; }
    const socket = new WebSocket(url);
    await new Promise((resolve) => { socket.onopen = resolve; });
    const expression = "process.getBuiltinModule('node:child_process').spawn('sleep', ['7009'], { stdio: 'ignore' }).pid";
    socket.onmessage = ({ data }) => { console.log('steered: ' + data); process.exit(); };
    socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }));
    await pause(3000);
    break;
  }
})();
`;
/** A shell that lives on: each of its children is looked at by a process that is the app's user. */
const CROWD = `#!/bin/sh\ntrap : TERM\n/opt/stopper &\nwhile :; do ${Array.from({ length: 60 }, () => 'sleep 999').join(' | ')}; done\n`;
/** Without a library: the image has another one. */
const PROGRAMS = ['tracer', 'long-arguments'];
const TRACED_CROWD = CROWD.replace('/opt/stopper &', '/opt/tracer');
const stopped = /stopped: /;
const traced = /traced: /;
const running = async (container: Container, what: RegExp) =>
  (await container.processes()).filter(({ command }) => what.test(command));

describe('an app that steers what runs as its user', { concurrency: 2 }, () => {
  before(async () => {
    const place = mkdtempSync(path.join(os.tmpdir(), 'tracer-'));
    for (const name of PROGRAMS)
      await execa('g++', [
        '-O2',
        '-Wall',
        '-static',
        '-o',
        path.join(place, name),
        path.join(import.meta.dirname, `../support/docker/${name}.cpp`),
      ]);
    const programs = Object.fromEntries(
      PROGRAMS.map((name) => [`opt/${name}`, readFileSync(path.join(place, name))]),
    );
    const scripts = {
      'opt/stopper': STOPPER,
      'opt/debugger': DEBUGGER,
      'opt/crowd': CROWD,
      'opt/traced-crowd': TRACED_CROWD,
    };
    await derive(IMAGES.app, IMAGE, 'COPY opt /opt', { ...scripts, ...programs });
    rmSync(place, { recursive: true });
  });
  after(async () => {
    await docker(['rmi', '--force', IMAGE], { reject: false });
  });
  const withStopper = `sh -c '/opt/stopper & exec "$0/app"' "$PWD"`;

  it('gets no code into the process that seeds its data, by SIGUSR1 and a debugger', async () => {
    // No other check than the one that is asked for takes the release.
    const env = { UPDATE_LINKED: 'world', SLEEP: '3600' };
    await using container = await Container.run({ image: IMAGE, env });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2', { files: { 'world/level.dat': { content: 'fresh' } } });
    const attack = container.exec(['/opt/debugger'], APP);
    await container.until(
      'it is armed',
      async () =>
        (await container.exec(['test', '-e', '/data/app/world.seed.tmp/14999'])).exitCode === 0,
    );
    await container.signal('HUP');
    assert.match((await attack).stdout, /^armed\nit ended$/);
    await container.answers('0.0.2');
    assert.deepEqual(await running(container, /^sleep 7009/), []);
    assert.equal((await container.exec(['cat', '/data/app/world/level.dat'])).stdout, 'fresh');
  });

  for (const profile of ['root', 'root with four capabilities'] as const)
    it(`hides nothing as an orphan in a session of root's: it ends with its version (${profile})`, async () => {
      await using container = await Container.run({
        image: IMAGE,
        run: [...PROFILES[profile], ...HARDENED],
      });
      await container.fact('versionBecameHealthy');
      const orphan = `/usr/lib/self-update/bin/chpst -u :1000:1000 sh -c 'sleep 7010 & :'`;
      await docker(['exec', '--detach', container.name, 'sh', '-c', `${orphan}; sleep 7011; :`]);
      await container.until(
        'it hides',
        async () => (await running(container, /^sleep 701[01]/)).length === 2,
      );
      await container.publish('0.0.2');
      assert.equal((await container.command('update')).exitCode, 0);
      await container.answers('0.0.2');
      assert.deepEqual(
        (await running(container, /^sleep 701[01]/)).map(({ command }) => command),
        ['sleep 7011'],
      );
    });

  it('stops every process of its user while an update runs: the update ends in its bounds, its version is not denied, and installed when the app lets go', async () => {
    await using container = await Container.run({
      image: IMAGE,
      env: { UPDATE_LINKED: 'world', UPDATE_APP_COMMAND: withStopper, SVWAIT: '5' },
    });
    await container.answers('0.0.1');
    await container.publish('0.0.2', { files: { 'world/level.dat': { content: 'fresh' } } });
    const { exitCode, stderr } = await container.command('update');
    assert.notEqual(exitCode, 0);
    assert.match(stderr, /the process for that was ended/);
    assert.match(await container.logs(), stopped);
    assert.deepEqual((await container.status()).denied, []);
    assert.equal(await container.ask(), '0.0.1');
    assert.deepEqual(await running(container, /linked-child/), []);
    for (const { pid } of await running(container, /opt\/stopper/)) process.kill(pid, 'SIGKILL');
    assert.equal((await container.command('update')).exitCode, 0);
    await container.answers('0.0.2');
  });

  it('stops every process of its user while it is stopped for an update: the newer version is installed', async () => {
    await using container = await Container.run({
      image: IMAGE,
      env: { UPDATE_APP_COMMAND: withStopper, SVWAIT: '3' },
    });
    await container.answers('0.0.1');
    await container.publish('0.0.2');
    assert.equal((await container.command('update')).exitCode, 0);
    await container.answers('0.0.2');
  });

  it('stops every process of its user, and is a crowd: an update takes no longer for it than SVWAIT and its kill', async () => {
    await using container = await Container.run({
      image: IMAGE,
      env: { UPDATE_APP_COMMAND: '/opt/crowd', SVWAIT: '5' },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    assert.equal((await container.command('update')).exitCode, 0);
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal((await container.status()).denied.length, 0);
  });

  it('stops every process of its user, and is a crowd: docker stop ends in order, within SVWAIT and its kill', async () => {
    await using container = await Container.run({
      image: IMAGE,
      env: { UPDATE_APP_COMMAND: '/opt/crowd', SVWAIT: '5' },
    });
    await container.fact('versionBecameHealthy');
    // Docker's own kill would give 137.
    assert.equal((await container.stop(15)).status, 143);
    assert.match(await container.logs(), /still running after [5-8] s; killing it/);
  });

  for (const profile of ['root', 'root with four capabilities'] as const)
    it(`traces every process of its user, and never looks at its end: docker stop ends in order, within SVWAIT and its kill (${profile})`, async () => {
      const run = [...PROFILES[profile], ...HARDENED];
      await using container = await Container.run({
        image: IMAGE,
        run,
        env: { UPDATE_APP_COMMAND: '/opt/traced-crowd', SVWAIT: '5' },
      });
      await container.until('it is armed', async () => /tracer armed/.test(await container.logs()));
      assert.equal((await container.stop(15)).status, 143);
      assert.match(await container.logs(), traced);
    });

  it('has a third of the memory as its arguments, and init none for that: docker stop ends in order', async () => {
    const run = [
      ...PROFILES['root with four capabilities'],
      ...HARDENED,
      '--memory',
      '256m',
      '--memory-swap',
      '256m',
    ];
    await using container = await Container.run({
      image: IMAGE,
      run,
      env: { UPDATE_APP_COMMAND: '/opt/long-arguments 90' },
    });
    await container.until('it is armed', async () => /^armed/m.test(await container.logs()));
    assert.equal((await container.stop(15)).status, 143);
    assert.equal(await container.inspect('.State.OOMKilled'), false);
  });
});

/**
 * How an app of several processes is told to stop: each of them once, the leader first, and all are
 * waited for.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Container, HARDENED, PROFILES, type Profile } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

const IMAGE = 'self-update-test:stopping';
/**
 * Saves for SAVE_MS when it is told to stop; being told once more means "abort now", as to redis or
 * to many Go programs.
 */
const SERVER = `#!/usr/bin/env node
const say = (text) => require('node:fs').writeSync(1, \`server: \${text}\\n\`);
let told = 0;
for (const signal of ['SIGTERM', 'SIGUSR2'])
  process.on(signal, () => {
    told += 1;
    say(signal);
    if (told > 1) { say('aborted'); process.exit(1); }
    setTimeout(() => { say('saved'); process.exit(0); }, Number(process.env.SAVE_MS));
  });
say('up');
setInterval(() => {}, 1000);
`;
const FORWARDING = `#!/usr/bin/env node
const child = require('node:child_process').spawn('/opt/server', { stdio: 'inherit' });
for (const signal of ['SIGTERM', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => process.exit(code));
`;
/** As people write a start.sh. */
const STARTS: Record<string, string> = {
  'a script without exec': '#!/bin/sh\ncd /tmp\n/opt/server\necho never\n',
  'a script that calls a script': '#!/bin/sh\nsh -c "/opt/server; echo never"\necho never\n',
  'a script with a trap, its server in the foreground':
    '#!/bin/sh\ntrap "echo script: told" TERM USR2\n/opt/server\necho script: ends\n',
  'a script that passes the signal on':
    '#!/bin/sh\n/opt/server &\npid=$!\ntrap "kill -TERM $pid" TERM\ntrap "kill -USR2 $pid" USR2\nwait $pid\nwait $pid\n',
  'a program that passes the signal on': FORWARDING,
  'a script that calls a program that passes it on': '#!/bin/sh\n/opt/forwarding\necho never\n',
  'a script whose server leaves the group': '#!/bin/sh\nsetsid /opt/server\necho never\n',
  'the server itself': '#!/bin/sh\nexec /opt/server\n',
};
const names = Object.keys(STARTS);
const fileOf = (title: string) => `/opt/start${names.indexOf(title)}.sh`;

describe('the stop of an app', { concurrency: 2 }, () => {
  before(async () => {
    const starts = Object.fromEntries(
      names.map((title) => [fileOf(title).slice(1), STARTS[title] ?? '']),
    );
    await derive(IMAGES.app, IMAGE, 'COPY opt /opt', {
      'opt/server': SERVER,
      'opt/forwarding': FORWARDING,
      ...starts,
    });
  });
  after(async () => {
    await docker(['rmi', '--force', IMAGE], { reject: false });
  });

  const said = async (container: Container) =>
    (await container.logs()).split('\n').filter((line) => line.startsWith('server: '));
  const run = (title: string, env: Record<string, string> = {}, options: readonly string[] = []) =>
    Container.run({
      image: IMAGE,
      run: options,
      env: { UPDATE_APP_COMMAND: fileOf(title), SAVE_MS: '1500', SVWAIT: '20', ...env },
    });
  const isUp = (container: Container, times = 1) =>
    container.until(
      'the server is up',
      async () => (await said(container)).filter((line) => line === 'server: up').length === times,
    );

  for (const title of names) {
    it(`by docker stop tells it once, and waits for it: ${title}`, async () => {
      await using container = await run(title);
      await isUp(container);
      const { status } = await container.stop(40);
      assert.equal(status, 143);
      assert.deepEqual(await said(container), ['server: up', 'server: SIGTERM', 'server: saved']);
      assert.doesNotMatch(await container.logs(), /is killed/);
    });

    it(`for an update tells it once, and waits for it: ${title}`, async () => {
      await using container = await run(title);
      await container.fact('versionBecameHealthy');
      await isUp(container);
      await container.publish('0.0.2');
      await container.signal('HUP');
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      await isUp(container, 2);
      assert.deepEqual(await said(container), [
        'server: up',
        'server: SIGTERM',
        'server: saved',
        'server: up',
      ]);
    });
  }

  it('uses UPDATE_STOP_SIGNAL for all of them', async () => {
    await using container = await run('a script without exec', { UPDATE_STOP_SIGNAL: 'USR2' });
    await isUp(container);
    assert.equal((await container.stop(40)).status, 143);
    assert.deepEqual(await said(container), ['server: up', 'server: SIGUSR2', 'server: saved']);
  });

  it('kills what is not done within SVWAIT, child or not', async () => {
    await using container = await run('a script without exec', { SAVE_MS: '600000', SVWAIT: '2' });
    await isUp(container);
    assert.equal((await container.stop(40)).status, 143);
    assert.deepEqual(await said(container), ['server: up', 'server: SIGTERM']);
    assert.match(await container.logs(), /still running after (?:[2-9]|\d{2,}) s; killing it/);
  });

  for (const profile of Object.keys(PROFILES) as Profile[])
    it(`is the same as ${profile}, read-only, no new privileges`, async () => {
      await using container = await run('a script with a trap, its server in the foreground', {}, [
        ...PROFILES[profile],
        ...HARDENED,
      ]);
      await isUp(container);
      assert.equal((await container.stop(40)).status, 143);
      assert.deepEqual(await said(container), ['server: up', 'server: SIGTERM', 'server: saved']);
    });

  it('that a killed runsv left behind is told as well, before the next copy starts', async () => {
    await using container = await run('a script without exec');
    await isUp(container);
    process.kill(await container.processOf(/^runsv app/), 'SIGKILL');
    await isUp(container, 2);
    assert.deepEqual(await said(container), [
      'server: up',
      'server: SIGTERM',
      'server: saved',
      'server: up',
    ]);
  });
});

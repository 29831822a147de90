/** Further services beside the app, and the signals that PID 1 takes. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { Container } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

const IMAGE = 'self-update-test:services';
const USR2_AMID = 'self-update-test:services-usr2-amid';
/**
 * A script that notes when it stops; a binary; one with a log service and a finish script; one that
 * ignores TERM.
 */
const FILES = {
  'script/run':
    '#!/bin/sh\necho "script started"\ntrap "echo script got USR1" USR1\ntrap : USR2\ntrap "echo script stopped; exit 0" TERM\nwhile :; do sleep 0.1; done\n',
  'logged/run': '#!/bin/sh\necho "a line for the log"\nexec sleep 1000\n',
  'logged/log/run': '#!/bin/sh\nmkdir -p /data/logged\nexec svlogd -tt /data/logged\n',
  'logged/finish': '#!/bin/sh\necho "logged finished" >> /data/finished\n',
  'stubborn/run': '#!/bin/sh\ntrap "" TERM\nexec sleep 5000\n',
};

describe('further services', () => {
  before(async () => {
    const binary = path.join(mkdtempSync(path.join(os.tmpdir(), 'service-')), 'run');
    await execa('g++', ['-x', 'c++', '-o', binary, '-'], {
      input: '#include <unistd.h>\nint main() { for (;;) pause(); }\n',
    });
    await derive(IMAGES.app, IMAGE, 'COPY . /etc/service/\nRUN rm /etc/service/Dockerfile', {
      ...FILES,
      'binary/run': readFileSync(binary),
    });
  });
  after(async () => {
    await docker(['rmi', '--force', USR2_AMID, IMAGE], { reject: false });
  });

  it('run beside the app, are restarted, and are not disturbed by an update; logs and finish scripts work', async () => {
    await using container = await Container.run({ image: IMAGE, env: { UPDATE_PROBATION: '0.3' } });
    await container.fact('versionBecameHealthy');
    const script = await container.processOf(/^\/bin\/sh \.\/run$/);
    const logged = await container.processOf(/sleep 1000/);
    const binary = await container.processOf(/^\.\/run$/);
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.answers('0.0.2');
    assert.equal(await container.processOf(/^\/bin\/sh \.\/run$/), script);
    assert.equal(await container.processOf(/sleep 1000/), logged);
    assert.equal(await container.processOf(/^\.\/run$/), binary);
    process.kill(logged, 'SIGKILL');
    await container.until('it is restarted', async () =>
      (await container.processes()).some(
        ({ pid, command }) => /sleep 1000/.test(command) && pid !== logged,
      ),
    );
    const { stdout } = await container.exec(['cat', '/data/finished', '/data/logged/current']);
    assert.match(stdout, /logged finished/);
    assert.match(stdout, /a line for the log/);
  });

  it('are stopped after the app, and inside the total budget', async () => {
    await using container = await Container.run({
      image: IMAGE,
      env: { STOP_MS: '500', SVWAIT: '7' },
    });
    await container.answers('0.0.1');
    // One of them never ends by itself, and docker stop's own patience is for all of them.
    assert.equal((await container.stop(10)).status, 143);
    const log = await container.logs();
    assert.match(log, /^app 0\.0\.1 saved\n(?:.*\n)*?script stopped$/m);
    assert.doesNotMatch(log, /app was still running/);
  });

  it('get USR1 and USR2 like the app; the updater does not, and lives', async () => {
    await using container = await Container.run({ image: IMAGE, env: { UPDATE_PROBATION: '3' } });
    await container.fact('appStarted');
    await container.answers('0.0.1');
    const updater = await container.processOf(/run locked/);
    await container.signal('USR1');
    await container.signal('USR2');
    await container.until('the app has both', async () =>
      / usr1=1 usr2=1 /.test((await container.ask('/process')) ?? ''),
    );
    await container.until('the script has USR1', async () =>
      /script got USR1/.test(await container.logs()),
    );
    assert.equal(await container.processOf(/run locked/), updater);
    await container.fact('versionBecameHealthy');
  });

  it('get one signal each, also where USR2 comes while USR1 is passed on', async () => {
    // At this moment: init has begun with the list of whom it tells.
    const moment = '/^extras() {/a ! mkdir "$ours/told" 2> /dev/null || kill -USR2 "$$"';
    await derive(IMAGE, USR2_AMID, `RUN sed -i '${moment}' /usr/lib/self-update/ending.sh`);
    await using container = await Container.run({ image: USR2_AMID });
    await container.fact('versionBecameHealthy');
    await container.answers('0.0.1');
    await container.signal('USR1');
    await container.until('the app has each of them once', async () =>
      / usr1=1 usr2=1 /.test((await container.ask('/process')) ?? ''),
    );
    await container.until('the script has USR1', async () =>
      /script got USR1/.test(await container.logs()),
    );
  });
});

describe('signals to PID 1', { concurrency: 2 }, () => {
  it('HUP checks now, though the next check is far away', async () => {
    await using container = await Container.run({ env: { SLEEP: '3600' } });
    await container.fact('versionBecameHealthy');
    const asked = container.github.nextRequest(/releases/);
    await container.signal('HUP');
    await asked;
    assert.match((await container.ask('/process')) ?? '', / hup=0 /, 'the app is not bothered');
  });

  it('leave the services with INT and QUIT as they should be', async () => {
    await using container = await Container.run();
    await container.answers('0.0.1');
    assert.match((await container.ask('/process')) ?? '', / ignores= /);
  });
});

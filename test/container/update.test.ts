/** A live update under somebody who asks every 5 ms, with the apps that people bring. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { appSource, archive } from '../support/app.ts';
import { Container, createVolume, nativeArchive } from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';

describe('a live update', { concurrency: 2 }, () => {
  for (const strategy of ['download-then-kill', 'kill-then-download']) {
    it(`by ${strategy} goes from one version to the next, with one gap and one copy`, async () => {
      await using container = await Container.run({
        env: { UPDATE_STRATEGY: strategy, STOP_MS: '300' },
      });
      await container.fact('versionBecameHealthy');
      const prober = container.probe();
      await prober.answers('0.0.1');
      await container.publish('0.0.2', { padBytes: 5_000_000 });
      await container.signal('HUP');
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      await prober.stop();
      assert.deepEqual(
        prober.versions.map(({ version }) => version),
        ['0.0.1', '0.0.2'],
      );
      // What is made behind the stop is downtime. How long it is, the benchmark says.
      const made = (await container.events())
        .map(({ type }) => type)
        .filter((type) => ['appStopped', 'downloaded', 'installed', 'switched'].includes(type));
      const stopFirst = ['appStopped', 'downloaded', 'installed', 'switched'];
      const stopLast = ['downloaded', 'installed', 'appStopped', 'switched'];
      assert.deepEqual(made.slice(-4), strategy === 'kill-then-download' ? stopFirst : stopLast);
      assert.equal((await container.apps()).length, 1);
      assert.equal((await container.exec(['cat', '/version'])).stdout, 'v0.0.2');
      assert.equal((await container.command('verify')).exitCode, 0);
    });
  }

  it('is followed by the next, and the one after, while the updater is gone in between', async () => {
    await using container = await Container.run();
    await container.answers('0.0.1');
    for (const version of ['0.0.2', '0.0.3', '0.0.4']) {
      await container.publish(version);
      await container.signal('HUP');
      await container.fact('versionBecameHealthy', (fact) => fact.version === version);
      assert.equal(await container.ask(), version);
      await container.until(
        'the updater is gone',
        async () =>
          !(await container.processes()).some(({ command }) => command.includes('run --once')),
      );
    }
    const { stdout } = await container.exec(['ls', '/data/self-update/releases']);
    assert.equal(stdout.split('\n').length, 2, stdout);
  });

  it('is the operator\'s "docker exec … self-update update", which wakes the sleeping updater and waits', async () => {
    await using container = await Container.run({ env: { SLEEP: '3600' } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    const { exitCode, stdout, stderr } = await container.command('update');
    assert.equal(exitCode, 0, stdout + stderr);
    assert.equal(await container.ask(), '0.0.2');
    assert.match(await container.logs(), /found v0\.0\.2/, 'the container’s own updater did it');
    assert.equal((await container.command('install', '0.0.1')).exitCode, 0);
    assert.equal(await container.ask(), '0.0.1');
    assert.equal((await container.command('restart')).exitCode, 0);
    assert.equal((await container.command('run', '--once')).exitCode, 75, 'a second updater');
  });

  it('whose new version does not stay up is taken back', async () => {
    await using container = await Container.run({ env: { UPDATE_PROBATION: '2' } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2', {
      files: { app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } },
    });
    await container.signal('HUP');
    const failed = await container.fact('probationFailed');
    assert.match(failed.message, /status 3/);
    await container.answers('0.0.1');
    const { denied, version } = await container.status();
    assert.deepEqual(
      [version, denied[0]?.version, denied[0]?.code],
      ['0.0.1', '0.0.2', 'APP_EXITED'],
    );
  });
});

describe('a version that was trusted and crash-loops later', { concurrency: 2 }, () => {
  const crash = async (container: Container, version: string, times: number) => {
    for (let n = 0; n < times; n++) {
      await container.until(
        `${version} answers, or has given way`,
        async () => (await container.ask()) !== null,
      );
      if ((await container.ask()) !== version) return;
      await container.ask('/exit/7');
      await container.until('it is gone', async () => (await container.ask()) === null);
    }
  };

  it('gives way to the one before, is denied, and is followed by a newer one', async () => {
    await using container = await Container.run();
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await crash(container, '0.0.2', 5);
    await container.answers('0.0.1');
    const { denied, version } = await container.status();
    assert.deepEqual(
      [version, denied[0]?.version, denied[0]?.code],
      ['0.0.1', '0.0.2', 'CRASH_LOOP'],
    );
    await container.publish('0.0.3');
    await container.signal('HUP');
    await container.answers('0.0.3');
  });

  it('is kept, ever more slowly restarted, when there is no other', async () => {
    await using container = await Container.prepare();
    await container.publish('0.0.1');
    await container.create();
    await container.fact('versionBecameHealthy');
    await crash(container, '0.0.1', 5);
    await container.fact('appCrashLooped');
    await container.answers('0.0.1');
    assert.equal((await container.status()).lastError?.code, 'CRASH_LOOP');
    assert.equal((await container.apps()).length, 1);
  });
});

describe('the apps people bring', { concurrency: 2 }, () => {
  it('a Go-like service: one dynamically linked binary beside LICENSE and README, nothing in the image but what is in the image', async () => {
    await using container = await Container.run({ image: IMAGES.empty });
    await container.publish('1.0.0', { files: { 'README.md': { content: '# app\n' } } });
    await container.answers('1.0.0');
    await container.publish('1.1.0');
    await container.signal('HUP');
    await container.answers('1.1.0');
  });

  it('a Node app with node_modules, started by "node server.js"', async () => {
    await using container = await Container.prepare({
      image: IMAGES.empty,
      env: { UPDATE_APP_COMMAND: 'node server.js' },
      args: ['--flag'],
    });
    const app = (version: string) =>
      archive({
        'server.js': {
          content: `const version = require('thing');\n${appSource({ version: 'VERSION' }).replace('"VERSION"', 'version + process.argv[2]').split('\n').slice(1).join('\n')}`,
        },
        'node_modules/thing/index.js': {
          content: `module.exports = ${JSON.stringify(version)};\n`,
        },
        'package.json': { content: '{}' },
      });
    for (const version of ['1.0.0', '1.0.1']) {
      container.github.publish(`v${version}`, { 'app.tar.gz': await app(version) });
      if (version === '1.0.0') await container.create();
      else await container.signal('HUP');
      await container.answers(`${version}--flag`);
    }
  });

  it('a game server whose world lives on through updates, a rollback by hand and a new container', async () => {
    await using volume = await createVolume();
    const env = { UPDATE_LINKED: 'world server.properties', UPDATE_APP_COMMAND: 'sh start' };
    const game = (version: string) =>
      nativeArchive(version, {
        files: {
          start: {
            content: `echo ${version} >> world/log; echo "by ${version}" >> server.properties; exec ./app\n`,
          },
          'server.properties': { content: 'motd=hello\n' },
          'world/level.dat': { content: `made by ${version}\n` },
        },
      });
    await using first = await Container.prepare({ image: IMAGES.empty, volume: volume.name, env });
    first.github.publish('v1.0.0', { 'game.tar.gz': await game('1.0.0') });
    await first.create();
    await first.answers('1.0.0');
    first.github.publish('v2.0.0', { 'game.tar.gz': await game('2.0.0') });
    await first.fact('versionBecameHealthy');
    await first.signal('HUP');
    await first.fact('versionBecameHealthy', ({ version }) => version === '2.0.0');
    assert.equal((await first.command('install', '1.0.0')).exitCode, 0);
    await first.remove();
    await using second = await Container.run({
      image: IMAGES.empty,
      volume: volume.name,
      env,
      github: first.github,
      port: first.port,
    });
    await second.answers('1.0.0');
    const { stdout } = await second.exec([
      'cat',
      '/data/app/world/log',
      '/data/app/world/level.dat',
      '/data/app/server.properties',
    ]);
    assert.deepEqual(stdout.split('\n'), [
      '1.0.0',
      '2.0.0',
      '1.0.0',
      '1.0.0',
      'made by 1.0.0',
      'motd=hello',
      'by 1.0.0',
      'by 2.0.0',
      'by 1.0.0',
      'by 1.0.0',
    ]);
  });
});

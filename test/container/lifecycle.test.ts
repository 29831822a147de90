/**
 * One life over several containers and images: restarts, recreations, newer images, older volumes.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container, createVolume } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';

const downloads = (container: Container): number =>
  container.github.requests.filter(({ path }) => path.startsWith('/storage/')).length;

describe('a container', { concurrency: 3 }, () => {
  it('that is restarted runs the same version and downloads nothing again, and believes no stale supervise file', async () => {
    await using container = await Container.prepare();
    await container.publish('0.0.2');
    await container.create();
    await container.fact('versionBecameHealthy');
    const before = downloads(container);
    for (let round = 0; round < 3; round++) {
      await docker(['restart', container.name]);
      await container.answers('0.0.2');
      await container.signal('KILL');
      await container.ended();
      await container.start();
      await container.answers('0.0.2');
      assert.equal((await container.apps()).length, 1);
    }
    assert.equal(downloads(container), before);
    assert.equal((await container.exec(['cat', '/version'])).stdout, 'v0.0.2');
  });

  it('that is made anew from the old image keeps its version with the volume, also when GitHub is gone, and begins anew without', async () => {
    await using volume = await createVolume();
    await using first = await Container.prepare({ volume: volume.name });
    await first.publish('0.0.2');
    await first.create();
    await first.fact('versionBecameHealthy');
    await first.remove();
    first.github.misbehave = { api: { status: 500 } };
    const { github, port } = first;
    await using second = await Container.run({ volume: volume.name, github, port });
    await second.answers('0.0.2');
    assert.equal(downloads(second), 1);
    await second.remove();
    await using third = await Container.run({ github, port });
    await third.answers('0.0.1');
  });

  it('of a newer image over an older volume runs the baked version, since it is newer; a held version does not change', async () => {
    await using volume = await createVolume();
    await using first = await Container.run({ volume: volume.name });
    await first.fact('versionBecameHealthy');
    await first.remove();
    const { github, port } = first;
    await using second = await Container.run({
      image: IMAGES.newerApp,
      volume: volume.name,
      github,
      port,
    });
    await second.answers('0.0.2');
    await second.publish('0.0.1');
    assert.equal((await second.command('install', 'v0.0.1')).exitCode, 0);
    await second.remove();
    await using third = await Container.run({
      image: IMAGES.newerApp,
      volume: volume.name,
      github,
      port,
    });
    await third.answers('0.0.1');
    assert.equal((await third.status()).hold?.version, '0.0.1');
    assert.equal((await third.command('release')).exitCode, 0);
    await docker(['restart', third.name]);
    await third.answers('0.0.2');
  });

  it('of a newer image wins also when GitHub hangs at the first start', async () => {
    await using volume = await createVolume();
    await using first = await Container.run({ volume: volume.name });
    await first.fact('versionBecameHealthy');
    await first.remove();
    const { github, port } = first;
    github.misbehave = { api: 'hang' };
    await using second = await Container.run({
      image: IMAGES.newerApp,
      volume: volume.name,
      github,
      port,
      env: { UPDATE_FIRST_CHECK_TIMEOUT: '2' },
    });
    await second.answers('0.0.2');
  });

  it('beside another on the same volume is refused, asleep or not, says so, and its app runs all the same', async () => {
    await using volume = await createVolume();
    await using first = await Container.run({ volume: volume.name, env: { SLEEP: '3600' } });
    await first.fact('versionBecameHealthy');
    await using second = await Container.run({ volume: volume.name });
    await second.until('it says so', async () =>
      /another updater runs.*\[LOCKED\]/.test(await second.logs()),
    );
    await second.answers('0.0.1');
    await using third = await Container.run({
      volume: volume.name,
      args: ['self-update', 'update'],
    });
    assert.equal(await third.ended(), 75);
    await first.remove();
    await second.publish('0.0.2');
    await second.answers('0.0.2');
  });

  it('of the previous image updates the app to a release that is newer than both', async () => {
    await using container = await Container.run({
      image: IMAGES.product,
      env: { UPDATE_ASSET: 'app_*' },
    });
    await container.answers('0.0.1\n');
    await container.publish('0.0.9');
    await container.signal('HUP');
    await container.answers('0.0.9');
  });

  it('whose versions all end at once stops what it rolled back to at its word: no words queue up before it', async () => {
    const app = 'sh -c "echo >> /data/app/attempts; test ! -e /data/app/fails && exec ./app"';
    await using container = await Container.run({
      env: { UPDATE_APP_COMMAND: app, UPDATE_PROBATION: '2' },
    });
    await container.fact('versionBecameHealthy');
    await container.exec(['touch', '/data/app/fails']);
    await container.publish('0.0.2');
    await container.signal('HUP');
    const log = async () => (await container.logs()).split('\n');
    const stopped = 'update: [rollingBack → waiting]';
    await container.until('nothing runs', async () =>
      (await log()).some((line) => line.startsWith(stopped)),
    );
    // The first of either version, and runsv's next. One more may be under way when it is told.
    const attempts = (await container.exec(['cat', '/data/app/attempts'])).stdout.split(
      '\n',
    ).length;
    assert.ok(attempts <= 6, `${attempts} attempts`);
  });

  it('whose trees are gone when its app ends wakes the updater, which fetches one', async () => {
    await using container = await Container.prepare({
      image: IMAGES.empty,
      env: { SLEEP: '3600', UPDATE_FIRST_CHECK_TIMEOUT: '1' },
    });
    await container.publish('0.0.2');
    await container.create();
    await container.fact('versionBecameHealthy');
    await container.exec(['sh', '-c', 'rm -rf /data/self-update/releases/*']);
    for (const pid of await container.apps()) process.kill(pid, 'SIGKILL');
    await container.until('another copy is fetched', async () => downloads(container) === 2);
    await container.answers('0.0.2');
  });
});

/** `docker stop` and `docker kill` at random moments of an update, then `docker start`. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { cases } from '../support/chaos/cases.ts';
import { Container, createVolume } from '../support/docker/container.ts';
import { freePort } from '../support/product.ts';

/** From the wake-up to the trust in the new version, on a machine that is not busy. */
const UPDATE_MS = 1500;

const endings = (['stop', 'kill'] as const).flatMap((how) =>
  (['kill-then-download', 'download-then-kill', 'hand-over'] as const).flatMap((strategy) =>
    Array.from({ length: 13 }, (_, index) => ({
      how,
      strategy,
      title: `docker ${how} at a random moment, ${strategy}, ${index + 1}`,
    })),
  ),
);

cases(
  'docker-moments',
  endings,
  { sample: 8, group: ({ how, strategy }) => `docker ${how}, ${strategy}` },
  async ({ how, strategy }, random) => {
    await using volume = await createVolume();
    const port = await freePort();
    const held = { UPDATE_LISTEN: `127.0.0.1:${port}`, HELD: '1' };
    await using container = await Container.run({
      volume: volume.name,
      port,
      env: {
        UPDATE_STRATEGY: strategy,
        STOP_MS: '100',
        SVWAIT: '3',
        ...(strategy === 'hand-over' ? held : {}),
      },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2', { padBytes: 2_000_000 });
    await container.signal('HUP');
    await sleep(random() * UPDATE_MS);
    if (how === 'kill') await container.signal('KILL');
    else await container.stop();
    await container.ended();
    await container.start();
    const first = { version: '' };
    await container.until('a version answers', async () => {
      first.version = (await container.ask()) ?? '';
      return ['0.0.1', '0.0.2'].includes(first.version);
    });
    await container.until('one copy', async () => (await container.apps()).length === 1);
    await container.until('the update ends well', async () => {
      await container.command('update');
      return (await container.ask()) === '0.0.2';
    });
    assert.equal((await container.apps()).length, 1);
    await container.until('no zombie', async () => (await container.zombies()) === 0);
    for (const command of ['verify', 'replay'])
      assert.equal((await container.command(command)).exitCode, 0, command);
    return `${first.version} answered first after the start`;
  },
);

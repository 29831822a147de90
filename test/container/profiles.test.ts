/** The three ways to run it, each also hardened: the same list for each. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  Container,
  createVolume,
  HARDENED,
  PROFILES,
  type Profile,
} from '../support/docker/container.ts';
import { TOKEN } from '../support/product.ts';

for (const profile of Object.keys(PROFILES) as Profile[]) {
  for (const hardening of [[], HARDENED]) {
    const separates = profile !== 'one unprivileged user';
    const run = [...PROFILES[profile], ...hardening];

    describe(`as ${profile}${hardening.length > 0 ? ', read-only, no new privileges' : ''}`, {
      concurrency: 3,
    }, () => {
      for (const strategy of ['download-then-kill', 'kill-then-download']) {
        it(`updates by ${strategy}`, async () => {
          await using container = await Container.run({ run, env: { UPDATE_STRATEGY: strategy } });
          await container.fact('versionBecameHealthy');
          await container.publish('0.0.2');
          await container.signal('HUP');
          await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
          assert.equal(await container.ask(), '0.0.2');
          assert.equal((await container.apps()).length, 1);
          assert.equal((await container.command('verify')).exitCode, 0);
          assert.equal((await container.exec(['/usr/lib/self-update/healthcheck'])).exitCode, 0);
        });
      }

      it('rolls back, restarts what was killed, and obeys an operator', async () => {
        await using container = await Container.run({ run });
        await container.fact('versionBecameHealthy');
        await container.publish('0.0.2', {
          files: { app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } },
        });
        await container.signal('HUP');
        await container.fact('probationFailed');
        await container.answers('0.0.1');
        const [app = 0] = await container.apps();
        process.kill(app, 'SIGKILL');
        await container.until(
          'another process answers',
          async () => (await container.ask()) === '0.0.1' && (await container.apps())[0] !== app,
        );
        assert.equal((await container.command('restart')).exitCode, 0);
        assert.equal((await container.apps()).length, 1);
      });

      it('stops in order, and goes on after a restart with its volume', async () => {
        await using volume = await createVolume();
        await using container = await Container.run({
          run,
          volume: volume.name,
          env: { STOP_MS: '500', SVWAIT: '20' },
        });
        await container.answers('0.0.1');
        await container.publish('0.0.2');
        await container.answers('0.0.2');
        assert.equal((await container.stop()).status, 143);
        assert.match(await container.logs(), /^app 0\.0\.2 saved$/m);
        assert.doesNotMatch(await container.logs(), /is killed/);
        await container.start();
        await container.answers('0.0.2');
        assert.equal(
          container.github.requests.filter(({ path }) => path.startsWith('/storage/')).length,
          1,
        );
      });

      it('ends an app that ignores TERM, and its daemons', async () => {
        const command = `sh -c 'setsid sleep 4000 & exec "$0/app"' "$PWD"`;
        await using container = await Container.run({
          run,
          env: { IGNORE_TERM: '1', SVWAIT: '1', UPDATE_APP_COMMAND: command },
        });
        await container.fact('versionBecameHealthy');
        await container.publish('0.0.2');
        await container.signal('HUP');
        await container.answers('0.0.2');
        await container.until(
          'one daemon',
          async () =>
            (await container.processes()).filter(({ command }) => /sleep 4000/.test(command))
              .length === 1,
        );
        assert.equal((await container.apps()).length, 1);
      });

      it('gives the app its data directory', async () => {
        const command = 'sh -c "echo hello > world/save && exec ./app"';
        await using container = await Container.prepare({
          run,
          env: { UPDATE_LINKED: 'world', UPDATE_APP_COMMAND: command },
        });
        await container.publish('0.0.2');
        await container.create();
        await container.answers('0.0.2');
        assert.equal((await container.exec(['cat', '/data/app/world/save'])).stdout, 'hello');
      });

      if (separates)
        it("keeps token, journal and the updater's environment from the app", async () => {
          await using container = await Container.run({ run });
          await container.fact('versionBecameHealthy');
          assert.match((await container.ask('/process')) ?? '', /^uid=1000 gid=1000 /);
          assert.deepEqual(await secretsSeenByApp(container), []);
        });
      else
        it('can not keep them from it, since they share a user (negative control)', async () => {
          await using container = await Container.run({ run });
          await container.fact('versionBecameHealthy');
          assert.match((await container.ask('/process')) ?? '', /^uid=4321 gid=4321 /);
          assert.notDeepEqual(await secretsSeenByApp(container), []);
        });
    });
  }
}

/** Asks the app to read what it should not be able to. */
async function secretsSeenByApp(container: Container): Promise<string[]> {
  const { stdout } = await container.exec(['ls', '/proc']);
  const environments = stdout
    .split('\n')
    .flatMap((name) => (/^\d+$/.test(name) ? [`/proc/${name}/environ`] : []));
  const files = [
    ...environments,
    '/data/self-update/state/journal.db',
    '/data/self-update/state/journal.db-wal',
    '/run/self-update/private/arguments',
  ];
  const seen: string[] = [];
  for (const file of files) {
    const content = (await container.ask(`/read/${file}`)) ?? '';
    if (content.includes(TOKEN) || (file.includes('/state/') && content !== '')) seen.push(file);
  }
  return seen;
}

describe('root without any capability', () => {
  it('says why the app can not be started, and what helps; each of it does', async () => {
    await using container = await Container.run({ run: ['--cap-drop', 'ALL'] });
    const line =
      /^init: the app can't be started as user 1000:1000 \(.*\): .*Add (.*), or run the container as (.*) \[NO_CAPABILITIES\]$/m;
    await container.until('it says so', async () => line.test(await container.logs()));
    for (const advice of line.exec(await container.logs())?.slice(1) ?? []) {
      await using advised = await Container.run({
        run: ['--cap-drop', 'ALL', ...advice.split(' ')],
      });
      await advised.answers('0.0.1');
      assert.doesNotMatch(await advised.logs(), /NO_CAPABILITIES/);
    }
  });
});

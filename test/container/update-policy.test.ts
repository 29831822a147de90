/**
 * In the container: a game with players on, a migration that goes wrong in every way, and a restart
 * that bypasses nothing.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { archive } from '../support/app.ts';
import { Container, createVolume } from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';
import { closedWindow, comingWindow } from '../support/window.ts';

/**
 * Players are a file in its world; while there are any, it is busy. It writes down its life, and
 * saves at its end.
 */
const GAME = `#!/bin/sh
version=$(cat VERSION)
trap 'echo "$version saved" >> world/level; exit 0' TERM
echo "$version up" >> world/level
while :; do
  if [ -e world/players ]; then touch /run/self-update/busy; else rm -f /run/self-update/busy; fi
  sleep 0.1 &
  wait $!
done
`;
const game = (version: string) =>
  archive({
    game: { content: GAME, mode: 0o755 },
    VERSION: { content: version },
    'world/seed': { content: 'seed' },
  });
const publishGame = async (container: Container, version: string) =>
  container.github.publish(`v${version}`, { 'game.tar.gz': await game(version) });
const level = async (container: Container) =>
  (await container.exec(['cat', '/data/app/world/level'])).stdout.split('\n');

describe('a game server with players', { concurrency: 2 }, () => {
  for (const profile of ['root', 'one unprivileged user'] as const) {
    it(`is updated in the window after they leave, its world intact (${profile})`, async () => {
      const { text, opensAt } = comingWindow(25_000);
      const user = profile === 'root' ? [] : ['--cap-drop', 'ALL', '--user', '4321:4321'];
      await using container = await Container.prepare({
        image: IMAGES.empty,
        run: user,
        env: {
          UPDATE_WINDOW: text,
          UPDATE_LINKED: 'world',
          UPDATE_APP_COMMAND: './game',
          SLEEP: '3600',
        },
      });
      await publishGame(container, '1.0.0');
      await container.create();
      await container.fact('versionBecameHealthy');
      await container.exec([
        'sh',
        '-c',
        'touch /data/app/world/players; until [ -e /run/self-update/busy ]; do sleep 0.1; done',
      ]);
      await publishGame(container, '2.0.0');
      await container.signal('HUP');
      await container.fact(
        'conditionsObserved',
        ({ window, busy, seq }) => seq > 8 && window?.isOpen === false && busy !== null,
      );
      const { waitingFor } = await container.status();
      assert.match(
        waitingFor?.message ?? '',
        /2\.0\.0 waits for the window .*; for the app, which is busy/,
      );
      await container.until('the window is open', async () => Date.now() > opensAt + 2000, 90_000);
      assert.equal((await container.command('update')).exitCode, 0, 'asked inside the window');
      assert.equal((await container.status()).waitingFor?.reason, 'busy');
      assert.deepEqual(await level(container), ['1.0.0 up']);
      await container.exec(['rm', '/data/app/world/players']);
      await container.fact('versionBecameHealthy', ({ version }) => version === '2.0.0');
      assert.deepEqual(await level(container), ['1.0.0 up', '1.0.0 saved', '2.0.0 up']);
      assert.equal((await container.exec(['cat', '/data/app/world/seed'])).stdout, 'seed');
      // The loop saw the file go: the updater was not in memory meanwhile.
      assert.ok((await container.events()).length < 60);
    });
  }
});

describe('a restart of the container', { concurrency: 2 }, () => {
  it('outside the window makes no update, and `update --force` is the operator’s way', async () => {
    await using volume = await createVolume();
    await using container = await Container.run({
      volume: volume.name,
      env: { UPDATE_WINDOW: closedWindow(), SLEEP: '3600' },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.fact('conditionsObserved');
    for (let i = 0; i < 2; i++) {
      await container.stop();
      await container.start();
      await container.answers('0.0.1');
      await container.until(
        'it waits',
        async () => (await container.status()).waitingFor?.reason === 'window',
      );
    }
    assert.equal(await container.ask(), '0.0.1');
    assert.equal((await container.command('update', '--force')).exitCode, 0);
    assert.equal(await container.ask(), '0.0.2');
  });
});

const HOOK = (update: string, rollback = 'echo restored >> /data/app/db') => `
case $UPDATE_REASON in
  boot) echo "schema 1" > /data/app/db ;;
  update) echo "schema 2" > /data/app/db; ${update} ;;
  rollback) echo "schema 1" > /data/app/db; ${rollback} ;;
esac`;
const db = async (container: Container) => (await container.exec(['cat', '/data/app/db'])).stdout;

describe('a migration', { concurrency: 2 }, () => {
  const begun = async (env: Record<string, string>) => {
    const container = await Container.run({ env: { SLEEP: '3600', ...env } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    return container;
  };

  it('that succeeds runs with the app down, before the new version', async () => {
    await using container = await begun({
      UPDATE_PRE_START_CMD: HOOK('nc -w 3 127.0.0.1 "$PORT" -e true && exit 1; exit 0'),
    });
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal(await db(container), 'schema 2');
  });

  for (const [how, command, pattern] of [
    ['fails', 'exit 3', /exited with status 3/],
    ['hangs', 'sleep 1000', /took longer than 2 s/],
    ['is killed in the middle', 'kill -KILL $$', /was killed/],
  ] as const)
    it(`that ${how} is restored by its hook, and the old version runs`, async () => {
      await using container = await begun({
        UPDATE_PRE_START_CMD: HOOK(command),
        UPDATE_HOOK_TIMEOUT: '2',
      });
      const failed = await container.fact('hookFailed');
      assert.match(failed.message, pattern);
      await container.fact(
        'appStarted',
        ({ version, seq }) => version === '0.0.1' && seq > failed.seq,
      );
      assert.equal(await db(container), 'schema 1\nrestored');
      assert.equal(await container.ask(), '0.0.1');
      assert.equal((await container.apps()).length, 1);
      assert.equal((await container.status()).denied[0]?.code, 'PRE_START_HOOK_FAILED');
      assert.ok(
        !(await container.processes()).some(({ command: line }) => line.includes('sleep 1000')),
      );
    });

  it('whose updater is killed in the middle is run again, and the app waits for it', async () => {
    await using container = await begun({
      UPDATE_PRE_START_CMD: HOOK('[ -e /data/app/go ] || sleep 1000'),
    });
    await container.until('the hook runs', async () =>
      (await container.processes()).some(({ command }) => command.includes('sleep 1000')),
    );
    const updater = await container.processOf(/self-update\.js run --once|run --once/);
    await container.exec(['touch', '/data/app/go']);
    process.kill(updater, 'SIGKILL');
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    assert.equal(await db(container), 'schema 2');
    assert.equal((await container.apps()).length, 1);
  });

  it('in which the whole container dies is run again at the next boot, and the gate stays shut for it', async () => {
    await using container = await begun({
      UPDATE_PRE_START_CMD: HOOK('[ -e /data/app/go ] && sleep 8 || sleep 1000'),
      UPDATE_FIRST_CHECK_TIMEOUT: '5',
    });
    await container.until('the hook runs', async () =>
      (await container.processes()).some(({ command }) => command.includes('sleep 1000')),
    );
    await container.exec(['touch', '/data/app/go']);
    await container.signal('KILL');
    await container.ended();
    const prober = container.probe();
    await container.start();
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await prober.stop();
    assert.deepEqual(
      prober.versions.map(({ version }) => version),
      ['0.0.2'],
      'the old version must not start on migrated data',
    );
  });

  it('that went well is restored when the new version does not prove itself', async () => {
    await using container = await Container.run({
      env: { SLEEP: '3600', UPDATE_PROBATION: '3', UPDATE_PRE_START_CMD: HOOK('exit 0') },
    });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2', {
      files: { app: { content: '#!/bin/sh\nexit 3\n', mode: 0o755 } },
    });
    await container.signal('HUP');
    const failed = await container.fact('probationFailed');
    await container.fact(
      'appStarted',
      ({ version, seq }) => version === '0.0.1' && seq > failed.seq,
    );
    assert.equal(await db(container), 'schema 1\nrestored');
    await container.answers('0.0.1');
  });
});

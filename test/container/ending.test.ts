/** `docker stop`, exit statuses, and what happens when a part of PID 1's family dies. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';

/** Whoever is killed sooner is told a smaller number; a busy machine makes it larger. */
const KILLED_AFTER_2_S = /still running after (?:[2-9]|\d{2,}) s; killing it/;
/** What docker stop waits for by itself, in seconds; after that it kills, and the status is 137. */
const USUAL_PATIENCE_SECONDS = 10;

describe('docker stop', () => {
  it('is over when the app is, however much more time it has', async () => {
    await using container = await Container.run({ env: { STOP_MS: '1', SVWAIT: '3600' } });
    await container.fact('versionBecameHealthy');
    assert.equal((await container.stop(60)).status, 143);
    assert.match(await container.logs(), /^app 0\.0\.1 saved$/m);
    assert.doesNotMatch(await container.logs(), /is killed/);
  });

  it('waits for an app that needs a while, and ends with 143', async () => {
    await using container = await Container.run({ env: { STOP_MS: '3000', SVWAIT: '30' } });
    await container.answers('0.0.1');
    assert.equal((await container.stop(60)).status, 143);
    assert.match(await container.logs(), /^app 0\.0\.1 saved$/m);
    assert.doesNotMatch(await container.logs(), /is killed/);
  });

  it('of an app that ignores TERM kills it inside the total budget', async () => {
    await using container = await Container.run({ env: { IGNORE_TERM: '1', SVWAIT: '2' } });
    await container.answers('0.0.1');
    assert.equal((await container.stop(USUAL_PATIENCE_SECONDS)).status, 143);
    assert.match(await container.logs(), KILLED_AFTER_2_S);
  });

  it('uses UPDATE_STOP_SIGNAL', async () => {
    for (const signal of ['INT', 'SIGQUIT']) {
      await using container = await Container.run({
        env: { IGNORE_TERM: '1', STOP_MS: '1', SVWAIT: '30', UPDATE_STOP_SIGNAL: signal },
      });
      await container.answers('0.0.1');
      assert.equal((await container.stop(60)).status, 143);
      assert.match(await container.logs(), /^app 0\.0\.1 saved$/m, signal);
      assert.doesNotMatch(await container.logs(), /is killed/, signal);
    }
  });

  it('in the middle of a download does not wait for it, and the next start goes on from there', async () => {
    await using container = await Container.run({ env: { SVWAIT: '3600' } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2', { padBytes: 4_000_000 });
    // The rest of it never comes.
    container.github.misbehave = { stallAfterBytes: 2_000_000 };
    await container.signal('HUP');
    await container.github.nextRequest(/storage/);
    await container.until(
      'bytes have come',
      async () =>
        Number(
          (await container.exec(['sh', '-c', 'cat /data/self-update/tmp/*.part | wc -c'])).stdout,
        ) > 1_000_000,
    );
    assert.equal((await container.stop()).status, 143);
    container.github.misbehave = {};
    await container.start();
    await container.answers('0.0.2');
    assert.ok(
      container.github.requests.some(({ headers }) => headers.range !== undefined),
      'it began anew',
    );
  });

  it('by INT ends with 130', async () => {
    await using container = await Container.run();
    await container.answers('0.0.1');
    await container.signal('INT');
    assert.equal(await container.ended(), 130);
  });
});

describe('the end of the app', () => {
  it('is survived whatever its exit code: all 256', async () => {
    // runsv pauses a second after each early end, and after eight the pauses grow: thirty-two
    // containers with eight codes each.
    for (let batch = 0; batch < 256; batch += 128) {
      await using containers = new AsyncDisposableStack();
      const starting = Array.from({ length: 16 }, async (_, n) => ({
        from: batch + n * 8,
        container: containers.use(await exits(batch + n * 8)),
      }));
      for (const { container, from } of await Promise.all(starting)) {
        await container.until(
          'it has ended 8 times',
          async () =>
            Number((await container.exec(['sh', '-c', 'wc -l < /tmp/codes'])).stdout) >= 8,
        );
        const recorded = async () => {
          const { stdout } = await container.exec(['cat', '/run/self-update/private/app.exits']);
          return stdout.split('\n').map((line) => Number(line.split(' ')[1]));
        };
        await container.until('the last one is on record', async () =>
          (await recorded()).includes(from + 7),
        );
        for (let code = from; code < from + 8; code++)
          assert.ok((await recorded()).includes(code), `${code} is not on record`);
        assert.equal(await container.inspect('.State.Running'), true);
      }
    }
  });

  function exits(from: number): Promise<Container> {
    const command = `sh -c 'n=$(cat /tmp/codes 2> /dev/null | wc -l); [ $n -lt 8 ] || exec sleep 1000; echo >> /tmp/codes; exit $((${from} + n))'`;
    return Container.run({ env: { UPDATE_APP_COMMAND: command, SLEEP: '3600' } });
  }

  for (const code of [0, 7, 255]) {
    it(`with UPDATE_ON_APP_EXIT=exit is the container's end, with status ${code}`, async () => {
      await using container = await Container.run({ env: { UPDATE_ON_APP_EXIT: 'exit' } });
      await container.fact('versionBecameHealthy');
      await container.ask(`/exit/${code}`);
      assert.equal(await container.ended(), code);
    });
  }

  it('by a signal is status 128 and the signal', async () => {
    await using container = await Container.run({ env: { UPDATE_ON_APP_EXIT: 'exit' } });
    await container.fact('versionBecameHealthy');
    const [pid] = await container.apps();
    process.kill(pid ?? 0, 'SIGSEGV');
    assert.equal(await container.ended(), 128 + 11);
  });

  it('for an update is not the end of the container', async () => {
    await using container = await Container.run({ env: { UPDATE_ON_APP_EXIT: 'exit' } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.answers('0.0.2');
    assert.equal(await container.inspect('.State.Running'), true);
  });
});

describe('the end of runsvdir', () => {
  it('is the end of the container, not zero, and the app is stopped in order', async () => {
    await using container = await Container.run({ env: { STOP_MS: '500' } });
    await container.answers('0.0.1');
    process.kill(await container.processOf(/runsvdir/), 'SIGKILL');
    assert.equal(await container.ended(), 111);
    assert.match(await container.logs(), /runsvdir died/);
    assert.match(await container.logs(), /^app 0\.0\.1 saved$/m);
  });
});

describe('orphans', () => {
  const orphans = ['sh', '-c', 'for i in $(seq 150); do (sleep 0.05 &) ; done'];

  it('leave no zombie: 150 of them', async () => {
    await using container = await Container.run();
    await container.answers('0.0.1');
    await container.exec(orphans);
    await container.until(
      'they have ended',
      async () => !(await container.processes()).some(({ command }) => /sleep 0.05/.test(command)),
    );
    assert.equal(await container.zombies(), 0);
  });

  it('would leave zombies under a PID 1 that does not reap (negative control)', async () => {
    await using container = await Container.run({
      image: IMAGES.app,
      run: ['--entrypoint', '/usr/lib/self-update/bin/node'],
      args: ['-e', 'setInterval(() => {}, 1000)'],
    });
    await docker(['exec', container.name, ...orphans]);
    await container.until('zombies are there', async () => (await container.zombies()) > 100);
  });
});

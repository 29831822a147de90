/** From `docker run` to a running app, whatever GitHub does meanwhile. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Container } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';

const PAUSED = 'self-update-test:boot-paused';

/** A command waits for init. One that did not had an app of its own by then. */
const waits = (container: Container): Promise<void> =>
  container.until('it waits, or has started an app', async () =>
    (await container.processes()).some(({ command }) =>
      /^\/usr\/lib\/self-update\/bin\/sleep 0\.05$|\/app$/.test(command),
    ),
  );
/** A command is the updater meanwhile, and needs runit next. */
const begins = (container: Container): Promise<unknown> => container.fact('initialized');

describe('a container that starts', { concurrency: 3 }, () => {
  it('never runs the old version if a newer one can be had in time', async () => {
    await using container = await Container.prepare();
    await container.publish('0.0.2', { padBytes: 3_000_000 });
    container.github.misbehave = { throttle: 3_000_000 };
    const prober = container.probe();
    await container.create();
    await prober.answers('0.0.2');
    await prober.stop();
    assert.deepEqual(
      prober.versions.map(({ version }) => version),
      ['0.0.2'],
    );
  });

  it('runs the old version when the newer one takes too long, and the newer one once it is there', async () => {
    await using container = await Container.prepare({ env: { UPDATE_FIRST_CHECK_TIMEOUT: '2' } });
    await container.publish('0.0.2', { padBytes: 4_000_000 });
    container.github.misbehave = { throttle: 1_000_000 };
    const prober = container.probe();
    await container.create();
    await prober.answers('0.0.1');
    await prober.answers('0.0.2');
    await prober.stop();
    assert.equal((await container.status()).version, '0.0.2');
    assert.equal((await container.apps()).length, 1);
  });

  it('takes a command that is given in the moment in which its loop has just got the lock', async () => {
    const moment = '/update.group"$/i until [ -e /tmp/go ]; do sleep 0.05; done';
    await derive(IMAGES.app, PAUSED, `RUN sed -i '${moment}' /etc/service/update/run`);
    {
      await using container = await Container.prepare({ image: PAUSED });
      await container.publish('0.0.2');
      await container.create();
      await container.until('its loop has the lock', async () =>
        (await container.processes()).some(({ command }) => /\.\/run locked$/.test(command)),
      );
      const given = container.command('update');
      const isInInbox = container.until('the command is in the inbox', async () =>
        /json/.test((await container.exec(['ls', '/data/self-update/inbox'])).stdout),
      );
      await Promise.race([given, isInInbox]);
      await container.exec(['touch', '/tmp/go']);
      const { exitCode, stderr } = await given;
      assert.equal(exitCode, 0, stderr);
      await container.answers('0.0.2');
    }
    await docker(['rmi', '--force', PAUSED], { reject: false });
  });

  it('tells who can wait no longer for init that it has not laid out its services', async () => {
    const image = `${PAUSED}-for-long`;
    const held = '/^never_wait$/i until [ -e /tmp/go ]; do sleep 0.05; done';
    await derive(IMAGES.app, image, `RUN sed -i '${held}' /usr/lib/self-update/init`);
    {
      await using container = await Container.run({ image });
      const health = await container.exec(['/usr/lib/self-update/healthcheck']);
      assert.deepEqual(
        [health.exitCode, health.stdout, health.stderr],
        [1, 'the container has not started its services yet', ''],
      );
      const { exitCode, stderr } = await container.command('update');
      assert.equal(exitCode, 75);
      assert.match(stderr, /^self-update: .* try again \[NOT_STARTED\]$/);
      await container.exec(['touch', '/tmp/go']);
      // The advice.
      const again = await container.command('status');
      assert.equal(again.exitCode, 0, again.stderr);
    }
    await docker(['rmi', '--force', image], { reject: false });
  });

  for (const [title, line, goesAsFarAsItCan] of [
    ['before init knows its place', '/^never_wait$/', waits],
    ['before init has laid out all services', '/^touch -d @0/', waits],
    ['before runit starts them', '/^umask "$given_umask"$/', begins],
  ] as const)
    it(`takes a command that is given ${title}, and has one app, also when it is started again`, async () => {
      const image = `${PAUSED}-${title.replaceAll(' ', '-')}`;
      const sedLine = line.replace('$given', '\\$given');
      const held = `${sedLine}i until [ -e /tmp/go ]; do sleep 0.05; done`;
      await derive(IMAGES.app, image, `RUN sed -i '${held}' /usr/lib/self-update/init`);
      {
        await using container = await Container.prepare({ image });
        await container.publish('0.0.2');
        await container.create();
        for (const version of ['0.0.2', '0.0.3']) {
          await container.until('init is held', async () =>
            (await container.processes()).some(({ command }) => /^sleep 0\.05$/.test(command)),
          );
          const given = container.command('update');
          await goesAsFarAsItCan(container);
          await container.exec(['touch', '/tmp/go']);
          const { exitCode, stderr } = await given;
          assert.equal(exitCode, 0, stderr);
          await container.answers(version);
          await container.fact('versionBecameHealthy', (fact) => fact.version === version);
          assert.equal((await container.apps()).length, 1);
          assert.doesNotMatch(await container.logs(), /crash|already in use|port is taken/i);
          // The same once more, with all files that the first boot left.
          await container.publish('0.0.3');
          await container.exec(['rm', '/tmp/go']);
          await container.stop();
          await container.start();
        }
      }
      await docker(['rmi', '--force', image], { reject: false });
    });

  for (const [title, api, log] of [
    ['refuses the connection', null, /NETWORK_FAILED/],
    ['resets', 'reset', /NETWORK_FAILED/],
    ['fails', { status: 500 }, /SERVER_FAILED/],
    ['is at its limit', { status: 403, headers: { 'retry-after': '600' } }, /RATE_LIMITED/],
    ['talks nonsense', { status: 200, body: '<html>' }, /ANSWER_MALFORMED/],
  ] as const) {
    it(`runs the app at once when GitHub ${title}, and says why`, async () => {
      // Longer than this test: whoever waits for it never answers.
      await using container = await Container.prepare({
        env: { UPDATE_FIRST_CHECK_TIMEOUT: '3600' },
      });
      if (api === null) await container.github.close();
      else container.github.misbehave = { api };
      await container.create();
      await container.answers('0.0.1');
      assert.match(await container.logs(), log);
    });
  }

  it('runs the app after UPDATE_FIRST_CHECK_TIMEOUT when GitHub hangs, and not before', async () => {
    await using container = await Container.prepare({ env: { UPDATE_FIRST_CHECK_TIMEOUT: '3' } });
    container.github.misbehave = { api: 'hang' };
    await container.create();
    await container.answers('0.0.1');
    // The marks of the boot and of the gate's opening, by the container's own clock, which counts
    // whole seconds.
    const { stdout } = await container.exec([
      'sh',
      '-c',
      'cd /run/self-update/private && stat -c %Y booted gate',
    ]);
    const [bootedAt = 0, openedAt = 0] = stdout.split('\n').map(Number);
    assert.ok(openedAt - bootedAt >= 2, stdout);
  });

  it('does not run the old version while the first check still has time', async () => {
    await using container = await Container.prepare({
      env: { UPDATE_FIRST_CHECK_TIMEOUT: '3600' },
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    container.github.misbehave = { apiAfter: promise };
    const prober = container.probe();
    const asked = container.github.nextRequest(/releases/);
    await container.create();
    await asked;
    await container.publish('0.0.2');
    resolve();
    await prober.answers('0.0.2');
    await prober.stop();
    assert.deepEqual(
      prober.versions.map(({ version }) => version),
      ['0.0.2'],
    );
  });

  it('runs the app at once when the configuration is wrong, says everything once, and sleeps', async () => {
    await using container = await Container.run({ env: { SLEEP: 'soon', UPDATE_RANGE: 'new' } });
    await container.answers('0.0.1');
    await container.until(
      'the updater sleeps',
      async () =>
        !(await container.processes()).some(({ command }) => command.includes('run --once')),
    );
    const logs = await container.logs();
    for (const name of ['SLEEP', 'UPDATE_RANGE'])
      assert.equal(logs.match(new RegExp(`^update: ${name}: `, 'gm'))?.length, 1, logs);
    assert.equal((await container.command('status')).exitCode, 78);
  });

  it('with nothing baked and nothing reachable says so, and tries again', async () => {
    await using container = await Container.prepare({
      image: IMAGES.empty,
      env: { UPDATE_FIRST_CHECK_TIMEOUT: '1' },
    });
    container.github.misbehave = { api: { status: 500 } };
    await container.create();
    await container.until('it says so', async () =>
      /there is no version to run yet/.test(await container.logs()),
    );
    // It tries again within seconds: a second look may find it at that.
    await container.until('the updater waits for a first version', async () => {
      const { state, version, waitingFor } = await container.status();
      return state === 'waiting' && version === null && waitingFor?.reason === 'firstVersion';
    });
    // Not before the time for a first check is over.
    await container.until(
      'it is unhealthy',
      async () => (await container.exec(['/usr/lib/self-update/healthcheck'])).exitCode === 1,
    );
    container.github.misbehave = {};
    await container.publish('0.0.1');
    await container.answers('0.0.1');
  });

  it('of another repository than the image was made for runs nothing of the image', async () => {
    const { derive } = await import('../support/docker/setup.ts');
    await derive(
      IMAGES.app,
      'self-update-test:bound',
      'RUN echo somebody/else > /usr/share/self-update/baked/.repository',
    );
    await using container = await Container.run({
      image: 'self-update-test:bound',
      env: { UPDATE_FIRST_CHECK_TIMEOUT: '1' },
    });
    await container.until('it says so', async () =>
      /there is no version to run yet/.test(await container.logs()),
    );
    assert.equal(await container.ask(), null);
  });

  it('waits for a first check of 999999 days without a restart of its own', async () => {
    await using container = await Container.run({ env: { UPDATE_FIRST_CHECK_TIMEOUT: '999999d' } });
    await container.answers('0.0.1');
    assert.doesNotMatch(await container.logs(), /timeout/);
  });

  it('is not led anywhere by links that an app left in place of its data or of what is ours', async () => {
    await using container = await Container.run({ env: { UPDATE_LINKED_DIR: '/tmp/app-data' } });
    await container.fact('versionBecameHealthy');
    const owner = async (file: string) =>
      (await container.exec(['stat', '-c', '%u:%a', file])).stdout;
    const before = await owner('/etc');
    // The app's own, so it may remove it, in a directory where it may put something else.
    assert.match(await owner('/tmp/app-data'), /^1000:/);
    const asApp = ['--user', '1000:1000'];
    assert.equal(
      (await container.exec(['sh', '-c', 'rm -r /tmp/app-data && ln -s /etc /tmp/app-data'], asApp))
        .exitCode,
      0,
    );
    assert.equal(
      (
        await container.exec([
          'sh',
          '-c',
          'mv /run/self-update/private /run/self-update/old && ln -s /nowhere /run/self-update/private',
        ])
      ).exitCode,
      0,
    );
    await container.signal('KILL');
    await container.ended();
    await container.start();
    await container.answers('0.0.1');
    assert.equal(await owner('/etc'), before);
  });

  it('hands its arguments to the app, word for word, and the environment but ours', async () => {
    const words = ['--port', '80 80', "it's", '', '*', '$HOME', 'new\nline'];
    await using container = await Container.run({
      args: words,
      env: {
        PLAIN: 'a b',
        'spring.datasource.url': 'jdbc:x',
        timeout: 'mine',
        tree: 'oak',
        'two.lines': 'a\nb',
        UPDATE_KEEP: '3',
      },
    });
    await container.answers('0.0.1');
    assert.equal(await container.ask('/arguments'), `${words.join('\n')}\n`);
    const environment = (await container.ask('/environment')) ?? '';
    for (const line of [
      'PLAIN=a b',
      'spring.datasource.url=jdbc:x',
      'timeout=mine',
      'tree=oak',
      'two.lines=a',
      'b',
      'GH_REPO=app',
      'HOME=/data/app',
    ])
      assert.ok(environment.split('\n').includes(line), `${line} is missing in ${environment}`);
    assert.doesNotMatch(environment, /^UPDATE_/m);
    assert.match(
      environment,
      /^PATH=\/usr\/local\/sbin:\/usr\/local\/bin:\/usr\/sbin:\/usr\/bin:\/sbin:\/bin$/m,
    );
  });

  it('takes numbers with leading zeros for what they are', async () => {
    await using container = await Container.run({
      env: { UPDATE_FIRST_CHECK_TIMEOUT: '09', SVWAIT: '08', IGNORE_TERM: '' },
    });
    await container.answers('0.0.1');
    assert.equal((await container.stop()).status, 143);
  });

  it('runs a command line instead, when its arguments begin with self-update', async () => {
    await using container = await Container.run({ args: ['self-update', 'frobnicate'] });
    assert.equal(await container.ended(), 2);
    assert.match(await container.logs(), /unknown command "frobnicate"/);
  });
});

describe('a hundred containers started one after another', () => {
  it('are a hundred running apps', async () => {
    await using first = await Container.prepare();
    const { github } = first;
    await first.publish('0.0.1');
    let running = 0;
    for (let round = 0; round < 20; round++) {
      const five = await Promise.all(Array.from({ length: 5 }, () => Container.run({ github })));
      for (const container of five) {
        await container.answers('0.0.1');
        running += (await container.apps()).length;
      }
      await Promise.all(five.map((container) => container.remove()));
    }
    assert.equal(running, 100);
  });
});

describe('an app whose tree was removed', () => {
  it('is replaced by what the image brings, and the updater learns of it at once: status tells no other version', async () => {
    await using container = await Container.run({ env: { SLEEP: '3600' } });
    await container.fact('versionBecameHealthy');
    await container.publish('0.0.2');
    assert.equal((await container.command('update')).exitCode, 0);
    await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
    await container.exec(['rm', '-rf', '/data/self-update/releases']);
    const [app = 0] = await container.apps();
    process.kill(app, 'SIGKILL');
    await container.answers('0.0.1');
    await container.until(
      'status says so',
      async () => (await container.status()).version === '0.0.1',
    );
  });
});

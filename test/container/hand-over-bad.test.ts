/** UPDATE_STRATEGY=hand-over: what bad versions do to the requests of a loaded app. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { sendSignal } from '../../src/effects/supervisor/process-table.ts';
import { Container, HARDENED, nativeArchive, PROFILES } from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';
import { Load } from '../support/load/load.ts';
import { programOf } from '../support/load/updates.ts';
import { freePort } from '../support/product.ts';

const RATE = 200;

let program: Buffer;
before(async () => {
  program = await programOf('go');
});

/** 0.1.0 runs and is trusted, and is asked all the time. */
async function loaded(given: Record<string, string> = {}, run: readonly string[] = []) {
  const port = await freePort();
  const env = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, value.replace('$PORT', `${port}`)]),
  );
  const container = await Container.prepare({
    port,
    image: IMAGES.empty,
    run,
    env: {
      UPDATE_STRATEGY: 'hand-over',
      UPDATE_LISTEN: `127.0.0.1:${port}`,
      UPDATE_PROBATION: '3',
      SLEEP: '3600',
      SVWAIT: '3',
      PORT: `${port}`,
      ...env,
    },
  });
  const publish = async (version: string, fault = '') => {
    const files = {
      app: { content: program, mode: 0o755 },
      ...(fault === '' ? {} : { FAULT: { content: fault } }),
    };
    container.github.publish(`v${version}`, {
      [`app_${version}_linux_amd64.tar.gz`]: await nativeArchive(version, { files }),
    });
    await container.signal('HUP');
  };
  const isHealthy = (version: string) =>
    container.fact('versionBecameHealthy', (fact) => fact.version === version);
  container.github.publish('v0.1.0', {
    'app_0.1.0_linux_amd64.tar.gz': await nativeArchive('0.1.0', {
      files: { app: { content: program, mode: 0o755 } },
    }),
  });
  await container.create();
  await isHealthy('0.1.0');
  await container.answers('0.1.0');
  const load = new Load(
    (['new', 'kept'] as const).map((connections) => ({
      port,
      rate: RATE / 2,
      connections,
      path: '/?ms=5',
    })),
  );
  await load.answers('0.1.0');
  return {
    container,
    load,
    publish,
    isHealthy,
    [Symbol.asyncDispose]: async () => {
      await load[Symbol.asyncDispose]();
      await container[Symbol.asyncDispose]();
    },
  };
}

async function denials(container: Container): Promise<[string, string][]> {
  const { denied } = await container.status();
  return denied.map(({ version, code }) => [version, code]);
}

describe('under load, a version that', { concurrency: 2 }, () => {
  for (const [fault, code] of [
    ['exits at once', 'APP_EXITED'],
    ['exits after a second', 'APP_EXITED'],
    ['is never ready', 'NOT_READY'],
  ] as const)
    it(`${fault} is denied, and nobody noticed`, async () => {
      await using app = await loaded();
      await app.publish('0.1.1', fault);
      await app.container.fact('otherCopyStopped');
      const reports = await app.load.stop();
      for (const { reasons, bodies } of reports) {
        assert.deepEqual(reasons, {});
        assert.deepEqual(Object.keys(bodies), ['0.1.0']);
      }
      assert.deepEqual(await denials(app.container), [['0.1.1', code]]);
    });

  it('is killed by somebody before it is ready is tried again, and not denied', async () => {
    await using app = await loaded({ UPDATE_PROBATION: '20' });
    await app.publish('0.1.1', 'is never ready');
    await app.container.fact('startedBeside');
    const candidate = (await app.container.processes()).find(({ command }) =>
      command.includes('/releases/0.1.1'),
    );
    assert.ok(candidate && sendSignal(candidate.pid, 'SIGKILL'));
    await app.container.fact('otherCopyStopped');
    for (const { reasons } of await app.load.stop()) assert.deepEqual(reasons, {});
    const { denied, lastError } = await app.container.status();
    assert.deepEqual(denied, []);
    assert.equal(lastError?.code, 'APP_KILLED');
  });

  it('binds itself waits, is not denied, and nobody noticed', async () => {
    await using app = await loaded();
    await app.publish('0.1.1', 'binds itself');
    await app.container.fact('otherCopyStopped');
    for (const { reasons, bodies } of await app.load.stop()) {
      assert.deepEqual(reasons, {});
      assert.deepEqual(Object.keys(bodies), ['0.1.0']);
    }
    const { denied, lastError } = await app.container.status();
    assert.deepEqual(denied, []);
    assert.equal(lastError?.code, 'ADDRESS_HELD');
  });

  for (const fault of ['ignores TERM', 'does not let go of the socket'])
    it(`${fault} gives way to the next one, and nobody noticed`, async (t) => {
      await using app = await loaded();
      await app.publish('0.1.1', fault);
      await app.isHealthy('0.1.1');
      await app.publish('0.1.2');
      await app.isHealthy('0.1.2');
      const stopped = await app.container.fact('otherCopyStopped', ({ killed }) => killed);
      const reports = await app.load.stop();
      t.diagnostic(JSON.stringify([stopped, ...reports]));
      for (const { reasons } of reports) assert.deepEqual(reasons, {});
    });

  it('is unhealthy after the switch serves until the one before it is back, and nobody noticed', async () => {
    await using app = await loaded({
      UPDATE_HEALTH_URL: 'http://127.0.0.1:$PORT/health',
      UPDATE_HEALTH_INTERVAL: '1',
      UPDATE_HEALTH_RETRIES: '2',
    });
    await app.publish('0.1.1', 'is unhealthy');
    await app.container.fact('probationFailed');
    await app.container.until(
      '0.1.0 is back',
      async () => (await app.container.status()).version === '0.1.0',
    );
    await app.container.until('one copy', async () => (await app.container.apps()).length === 1);
    for (const { reasons, bodies } of await app.load.stop()) {
      assert.deepEqual(reasons, {});
      assert.deepEqual(Object.keys(bodies), ['0.1.0', '0.1.1']);
    }
    assert.deepEqual(await denials(app.container), [['0.1.1', 'UNHEALTHY']]);
    const { stdout } = await app.container.command('events', '--json');
    assert.doesNotMatch(stdout.split('startedBeside').slice(1).join(), /"appStopped"/);
  });

  it('lies about being ready costs what it had accepted, and no more', async (t) => {
    await using app = await loaded();
    await app.publish('0.1.1', 'is ready, and then crashes');
    await app.container.fact('probationFailed');
    await app.container.until(
      '0.1.0 is back',
      async () => (await app.container.status()).version === '0.1.0',
    );
    const reports = await app.load.stop();
    t.diagnostic(JSON.stringify(reports));
    const failed = reports.reduce((sum, report) => sum + report.failed, 0);
    // Twice it ends, each time with what it was answering.
    assert.ok(failed < RATE / 2, `${failed}`);
    assert.deepEqual(await denials(app.container), [['0.1.1', 'APP_EXITED']]);
  });
});

for (const [profile, options] of Object.entries(PROFILES))
  describe(`a hand-over, ${profile}, hardened`, () => {
    it('loses no request, and ends with one copy', async () => {
      await using app = await loaded({}, [
        ...options,
        ...HARDENED,
        ...['--tmpfs', '/run/self-update', '--tmpfs', '/tmp'],
      ]);
      await app.publish('0.1.1');
      await app.isHealthy('0.1.1');
      await app.load.answers('0.1.1');
      await app.publish('0.1.2');
      await app.isHealthy('0.1.2');
      await app.load.answers('0.1.2');
      for (const { reasons } of await app.load.stop()) assert.deepEqual(reasons, {});
      await app.container.until('one copy', async () => (await app.container.apps()).length === 1);
    });
  });

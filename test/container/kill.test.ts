/**
 * `kill -9` of every part, in every state: the app comes back, the updater comes back, and there
 * are never two copies.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendSignal } from '../../src/effects/supervisor/process-table.ts';
import { Container } from '../support/docker/container.ts';

/**
 * Fails if a second copy of the app was ever there. Its port would tell too: a second copy ends
 * with "the port is taken".
 */
class Census {
  readonly #container: Container;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  most = 0;

  constructor(container: Container) {
    this.#container = container;
    this.#done = this.#count();
  }

  async #count(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.most = Math.max(this.most, (await this.#container.apps().catch(() => [])).length);
      await sleep(10, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async end(): Promise<number> {
    this.#stop.abort();
    await this.#done;
    return this.most;
  }
}

const VICTIMS = {
  'the app': /\/(releases|baked)\/\S+\/app/,
  'the updater': /self-update run --once/,
  'the loop around the updater': /dash \.\/run locked/,
  "the app's runsv": /^runsv app$/,
  "the updater's runsv": /^runsv update$/,
} as const;

async function kill(container: Container, victim: RegExp): Promise<boolean> {
  const found = (await container.processes()).find(({ command }) => victim.test(command));
  return found !== undefined && sendSignal(found.pid, 'SIGKILL');
}

/** After it the newest version runs alone, and the updater is alive enough to bring the next. */
async function converges(
  container: Container,
  census: Census,
  versions: readonly string[],
  next: string,
): Promise<void> {
  await container.until(`${versions} answers`, async () =>
    versions.includes((await container.ask()) ?? ''),
  );
  await container.until('one copy', async () => (await container.apps()).length === 1);
  await container.publish(next);
  // An updater that was just killed may still be on its way back.
  await container.until('the next release is taken', async () => {
    await container.signal('HUP');
    await sleep(300);
    return (await container.ask()) === next;
  });
  assert.ok((await census.end()) <= 1, 'two copies');
  assert.doesNotMatch(await container.logs(), /the port is taken/);
  const { exitCode, stdout, stderr } = await container.command('replay');
  assert.equal(exitCode, 0, stdout + stderr);
}

/**
 * Whether somebody would notice its end: a copy that a killed runsv left behind answers too, and
 * nobody watches it.
 */
async function isSupervised(container: Container): Promise<boolean> {
  const [app] = await container.apps();
  const runsv = (await container.processes()).find(({ command }) => command === 'runsv app');
  if (app === undefined || runsv === undefined) return false;
  return readFileSync(`/proc/${app}/status`, 'utf8').includes(`PPid:\t${runsv.pid}\n`);
}

describe('kill -9 at rest', { concurrency: 3 }, () => {
  for (const [name, victim] of Object.entries(VICTIMS)) {
    it(`of ${name}`, async () => {
      await using container = await Container.run({
        env: name === 'the updater' ? { UPDATE_PROBATION: '3' } : {},
      });
      await container.answers('0.0.1');
      if (name !== 'the updater') await container.fact('versionBecameHealthy');
      const census = new Census(container);
      await container.until(`${name} is there`, () => kill(container, victim));
      await container.until('the app runs supervised', () =>
        isSupervised(container).catch(() => false),
      );
      await converges(container, census, ['0.0.1'], '0.0.2');
    });
  }

  it('of everything but PID 1 ends the container, not zero, and the next start brings everything back', async () => {
    await using container = await Container.run();
    await container.fact('versionBecameHealthy');
    for (const { pid, command } of await container.processes())
      if (!/tini/.test(command)) sendSignal(pid, 'SIGKILL');
    assert.notEqual(await container.ended(), 0);
    await container.start();
    await converges(container, new Census(container), ['0.0.1'], '0.0.2');
  });

  it('of everything at once is a crash of the container: the next start runs the same version and downloads nothing', async () => {
    await using container = await Container.prepare();
    await container.publish('0.0.2');
    await container.create();
    await container.fact('versionBecameHealthy');
    await container.signal('KILL');
    await container.ended();
    const before = container.github.requests.filter(({ path }) =>
      path.startsWith('/storage/'),
    ).length;
    await container.start();
    await container.answers('0.0.2');
    assert.equal(
      container.github.requests.filter(({ path }) => path.startsWith('/storage/')).length,
      before,
    );
  });
});

describe('kill -9 in the middle of an update', { concurrency: 3 }, () => {
  for (const [name, victim] of Object.entries(VICTIMS)) {
    for (const fact of [
      'releaseFound',
      'verified',
      'switchStarted',
      'switched',
      'appStarted',
    ] as const) {
      it(`of ${name}, right after ${fact}`, async () => {
        await using container = await Container.run({
          env: { STOP_MS: '200', UPDATE_PROBATION: '1' },
        });
        await container.fact('versionBecameHealthy');
        const before = (await container.events()).length;
        await container.publish('0.0.2', { padBytes: 2_000_000 });
        container.github.misbehave = { throttle: 4_000_000 };
        const census = new Census(container);
        await container.signal('HUP');
        await container.fact(fact, ({ seq }) => seq > before);
        await kill(container, victim);
        // A version that ends on probation is not trusted, whoever killed it; which of the two was
        // hit is chance.
        const isGamble = name === 'the app';
        await converges(container, census, isGamble ? ['0.0.1', '0.0.2'] : ['0.0.2'], '0.0.3');
      });
    }
  }
});

describe('an app that leaves processes behind', { concurrency: 2 }, () => {
  const daemon = (how: string) => `sh -c '${how} sleep 4000 & exec "$0/app"' "$PWD"`;
  for (const [title, command] of [
    ['in its group', daemon('')],
    ['in a session of their own', daemon('setsid')],
    ['in a session of their own, with a cleared environment', daemon('setsid env -i')],
  ] as const) {
    it(`${title}: an update ends them`, async () => {
      await using container = await Container.run({
        env: { UPDATE_APP_COMMAND: command, SVWAIT: '1' },
      });
      await container.fact('versionBecameHealthy');
      const sleepers = async () =>
        (await container.processes())
          .filter(({ command }) => /sleep 4000/.test(command))
          .map(({ pid }) => pid);
      const before = await sleepers();
      assert.equal(before.length, 1);
      await container.publish('0.0.2');
      await container.signal('HUP');
      await container.answers('0.0.2');
      const after = await sleepers();
      assert.equal(after.length, 1);
      assert.notDeepEqual(after, before);
    });
  }
});

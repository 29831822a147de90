/** A container in the middle of a hand-over from 0.0.1 to 0.0.2, and what has to become of it. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Container, type ContainerOptions } from './docker/container.ts';
import { freePort } from './product.ts';

/** 0.0.1 is trusted, and 0.0.2 was just published. */
export async function handingOver(options: ContainerOptions = {}): Promise<Container> {
  const port = await freePort();
  const container = await Container.run({
    ...options,
    port,
    env: {
      UPDATE_STRATEGY: 'hand-over',
      UPDATE_LISTEN: `127.0.0.1:${port}`,
      UPDATE_PROBATION: '1',
      SVWAIT: '3',
      HELD: '1',
      STOP_MS: '300',
      ...options.env,
    },
  });
  await container.fact('versionBecameHealthy');
  await container.publish('0.0.2');
  await container.signal('HUP');
  return container;
}

/** One of these versions answers, alone; it is the linked one, and the journal replays. */
export async function settles(container: Container, versions: readonly string[]): Promise<void> {
  await container.until(`${versions} alone`, async () => {
    const apps = (await container.processes().catch(() => [])).filter(
      ({ command, state }) =>
        /^\S*\/(?:releases|baked)\/\S+\/app\b/.test(command) && !state.startsWith('Z'),
    );
    const answer = await container.ask();
    if (apps.length !== 1 || answer === null || !versions.includes(answer)) return false;
    if (!apps[0]?.command.includes(`/${answer}`)) return false;
    const { version, state } = await container.status();
    return version === answer && state !== 'handingOver';
  });
  const { exitCode, stdout, stderr } = await container.command('replay');
  assert.equal(exitCode, 0, stdout + stderr);
}

/** Counts how many copies of the app there are at most. */
export class MostCopies implements AsyncDisposable {
  readonly #container: Container;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #most = 0;

  constructor(container: Container) {
    this.#container = container;
    this.#done = this.#count();
  }

  async #count(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const apps = await this.#container.apps().catch(() => []);
      this.#most = Math.max(this.#most, apps.length);
      await sleep(10, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async end(): Promise<number> {
    this.#stop.abort();
    await this.#done;
    return this.#most;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

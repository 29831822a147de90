/** The fleet's lock server at its worst: the app runs on, and the reason is told. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FactType } from '../../src/machines/facts.ts';
import { submit } from '../../src/runtime/inbox.ts';
import { appArchive } from '../support/app.ts';
import {
  refusal,
  type WrongAnswer,
  WrongServer,
  wrongAnswers,
  yes,
} from '../support/fleet/wrong-answers.ts';
import { Product, TOKEN } from '../support/product.ts';

const all = wrongAnswers(TOKEN);
const LOOK_EVERY_MS = 20;
/** Beyond the updater's own time limit for an answer. */
const PATIENCE_MS = 40_000;

class Asking implements AsyncDisposable {
  readonly product: Product;
  readonly server: WrongServer;
  #version = 1;

  private constructor(product: Product, server: WrongServer) {
    this.product = product;
    this.server = server;
  }

  /** v0.0.1 runs. */
  static async start(overrides: Record<string, string> = {}): Promise<Asking> {
    const server = await new WrongServer().listen();
    const env = {
      UPDATE_FLEET_LOCK_URL: `${server.url}/`,
      UPDATE_STRATEGY: 'download-then-kill',
      UPDATE_ASSET: '*.tar.gz',
      SLEEP: '3600',
      ...overrides,
    };
    const asking = new Asking(await Product.create({ env }), server);
    asking.product.start();
    await asking.product.logged(/0\.0\.1 passed probation/);
    return asking;
  }

  /** A newer version is out, and others have the lock. */
  async publish(): Promise<string> {
    this.server.send = (socket) => socket.end(refusal('failed_lock_semaphore_full', 'full'));
    this.#version += 1;
    const version = `0.0.${this.#version}`;
    const { github, port } = this.product;
    github.publish(`v${version}`, { 'app.tar.gz': await appArchive({ version, port }) });
    return version;
  }

  get seq(): number {
    return this.product.records().at(-1)?.seq ?? 0;
  }

  ask(): void {
    submit(path.join(this.product.dir, 'inbox'), { type: 'updateRequested' });
  }

  async fact(type: FactType, after: number): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const types = this.product
        .records()
        .flatMap((record) => (record.seq > after ? [record.fact.type] : []));
      if (types.includes(type)) return;
      const isOver = performance.now() > deadline || types.includes('switchStarted');
      assert.ok(!isOver, `${types.join()}:\n${this.product.log.join('\n')}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** The lock is asked for, and this is what comes back. */
  async refused({ send, says, title }: WrongAnswer): Promise<void> {
    const { product, server } = this;
    const before = this.seq;
    const apps = product.apps();
    assert.equal(apps.length, 1);
    server.send = send;
    const asked = server.asked.length;
    this.ask();
    await this.fact('fleetLockRefused', before);
    assert.ok(server.asked.slice(asked).includes('pre-reboot'), title);
    assert.deepEqual(product.apps(), apps, 'the app runs on');
    const { waitingFor, version } = await product.status();
    assert.equal(version, '0.0.1');
    assert.equal(waitingFor?.reason, 'fleet');
    const { message } = waitingFor;
    assert.match(message, says);
    assert.ok(message.length < 600, `${message.length} characters`);
    assert.doesNotMatch(message, /[\x00-\x1f\x7f-\x9f\u202e]/);
    assert.ok(!message.includes(TOKEN), message);
  }

  async updates(version: string): Promise<void> {
    this.server.send = yes;
    this.ask();
    await this.product.logged(new RegExp(`${version} passed probation`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.product.dispose();
    await this.server[Symbol.asyncDispose]();
  }
}

describe('a lock server that answers', { concurrency: 3 }, () => {
  describe('a request for the lock with', { concurrency: 1 }, () => {
    let asking: Asking;
    before(async () => {
      asking = await Asking.start();
      await asking.publish();
    });
    after(() => asking?.[Symbol.asyncDispose]());
    for (const one of all.filter(({ isSlow }) => !isSlow))
      it(`${one.title}: the app runs on, and status says so`, () => asking.refused(one));
    it('yes, after all that: the update is made', () => asking.updates('0.0.2'));
  });

  describe('nothing that ends, namely', { concurrency: 5 }, () => {
    for (const one of all.filter(({ isSlow }) => isSlow))
      it(`${one.title}: the app runs on, and is updated once the server is well`, async () => {
        await using asking = await Asking.start();
        const version = await asking.publish();
        await asking.refused(one);
        await asking.updates(version);
      });
  });

  it('yes, and then does not take the lock back: nothing is held up, and it is tried again', async () => {
    await using asking = await Asking.start({ SLEEP: '5' });
    const { product, server } = asking;
    const version = await asking.publish();
    server.send = (socket, asked) =>
      asked.action === 'pre-reboot'
        ? yes(socket, asked)
        : socket.end(refusal('failed_lock', 'etcd is away'));
    asking.ask();
    await product.logged(new RegExp(`${version} passed probation`));
    await product.logged(/did not take the fleet's lock back \(etcd is away\)/);
    const { fleet, version: running } = await product.status();
    assert.equal(running, version);
    assert.equal(fleet?.lock, 'held');
    assert.match(fleet?.lastError?.message ?? '', /etcd is away/);
    const next = await asking.publish();
    await asking.updates(next);
    await product.logged(/the fleet's lock is given back/);
    assert.equal((await product.status()).fleet?.lock, 'none');
  });
});

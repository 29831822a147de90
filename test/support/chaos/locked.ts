/** Updates under a fleet's lock: a lock server on a real etcd, with a group for each scenario. */
import assert from 'node:assert/strict';
import { Etcd } from '../fleet/etcd.ts';
import { FleetLockServer } from '../fleet/server.ts';
import { HANDING_OVER, type Kind, Scenario } from './scenario.ts';

const ID = 'one-of-many';

const STORIES = ['update', 'rollback'] as const;
/** In pairs, of an update and a rollback. */
export const LOCKED: readonly (readonly Kind[])[] = [
  ...(['download-then-kill', 'kill-then-download'] as const).map((strategy) =>
    STORIES.map((story) => ({ strategy, story, mode: 'once' as const })),
  ),
  HANDING_OVER,
].map((pair) => pair.map((kind) => ({ ...kind, isLocked: true as const })));

export class LockedScenarios implements AsyncDisposable {
  readonly #etcd: Etcd;
  readonly #server: FleetLockServer;
  #count = 0;

  private constructor(etcd: Etcd, server: FleetLockServer) {
    this.#etcd = etcd;
    this.#server = server;
  }

  static async start(): Promise<LockedScenarios> {
    const etcd = await Etcd.start();
    return new LockedScenarios(etcd, await new FleetLockServer(etcd.endpoint, {}).listen());
  }

  /** v0.0.1 runs; a group with one slot is there for it alone. */
  async prepare(kind: Kind, entry: string): Promise<{ scenario: Scenario; group: string }> {
    this.#count += 1;
    const group = `group-${this.#count}`;
    this.#server.groups.set(group, 1);
    const env = {
      UPDATE_FLEET_LOCK_URL: this.#server.url,
      UPDATE_FLEET_GROUP: group,
      UPDATE_FLEET_ID: ID,
    };
    return { scenario: await Scenario.prepare(kind, { entry, env }), group };
  }

  /**
   * Neither lost nor held for ever: no switch to v0.0.2 was made without the slot, and at the end
   * it is free, or after a rollback kept and said so.
   */
  async check(scenario: Scenario, group: string): Promise<void> {
    const isKept = scenario.kind.story === 'rollback';
    assert.deepEqual(await this.#server.holders(group), isKept ? [ID] : []);
    const { fleet } = await scenario.product.status();
    assert.equal(fleet?.lock, isKept ? 'kept' : 'none');
    for (const { at, fact } of scenario.records())
      if (fact.type === 'switchStarted' && fact.to === '0.0.2')
        assert.ok(this.#isHeldAt(group, at), `switched at ${at} without the slot`);
  }

  #isHeldAt(group: string, at: number): boolean {
    const before = this.#server.handled.filter((one) => one.group === group && one.at <= at);
    const last = before.findLast(({ status }) => status === 200);
    return last?.action === 'pre-reboot';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close();
    await this.#etcd[Symbol.asyncDispose]();
  }
}

/**
 * Slots of a group, kept in etcd as airlock keeps them: one key for each group, whose value is
 * `{"total_slots": 1, "holders": ["a"]}` with sorted holders. It is replaced by a transaction that
 * demands the revision that was read, over etcd's JSON gateway (keys and values are base64, 64-bit
 * numbers are strings): https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
 */
import { setTimeout as sleep } from 'node:timers/promises';

type Semaphore = { total_slots: number; holders: string[] };
type Pair = { value: string; mod_revision: string };
type Answer = {
  header: { revision: string };
  succeeded?: boolean;
  responses?: { response_range?: { kvs?: Pair[] } }[];
};

/** Of one request to etcd: less than clients wait, and enough for a busy machine. */
const REQUEST_MS = 10_000;
/** Tries against others who write at the same time. */
const MAX_TRIES = 100;
const MAX_PAUSE_MS = 20;

export class SlotsFull extends Error {}

export class EtcdSlots {
  readonly #endpoint: string;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /** Throws SlotsFull when others have all; fine for whoever has one. */
  async lock(group: string, total: number, id: string): Promise<void> {
    await this.#change(group, total, ({ total_slots, holders }) => {
      if (holders.includes(id)) return null;
      if (holders.length >= total_slots) throw new SlotsFull();
      return [...holders, id].sort();
    });
  }

  /** Fine for whoever has none. */
  async unlock(group: string, total: number, id: string): Promise<void> {
    await this.#change(group, total, ({ holders }) =>
      holders.includes(id) ? holders.filter((holder) => holder !== id) : null,
    );
  }

  async holders(group: string, total: number): Promise<string[]> {
    return (await this.#read(group, total)).semaphore.holders;
  }

  /** Asks for the new holders, or null for no change, until nobody wrote in between. */
  async #change(
    group: string,
    total: number,
    next: (semaphore: Semaphore) => string[] | null,
  ): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { semaphore, revision } = await this.#read(group, total);
      const holders = next(semaphore);
      if (holders === null) return;
      const key = keyOf(group);
      const { succeeded } = await this.#transact({
        compare: [{ key, target: 'MOD', result: 'EQUAL', mod_revision: revision }],
        success: [put(key, { ...semaphore, holders })],
      });
      if (succeeded) return;
      await sleep(Math.random() * MAX_PAUSE_MS);
    }
    throw new Error('conflict on semaphore detected, aborting');
  }

  /** Made where it is not there yet. */
  async #read(group: string, total: number): Promise<{ semaphore: Semaphore; revision: string }> {
    const key = keyOf(group);
    const fresh: Semaphore = { total_slots: total, holders: [] };
    const { succeeded, header, responses } = await this.#transact({
      compare: [{ key, target: 'VERSION', result: 'EQUAL', version: '0' }],
      success: [put(key, fresh)],
      failure: [{ request_range: { key } }],
    });
    if (succeeded) return { semaphore: fresh, revision: header.revision };
    const pair = responses?.[0]?.response_range?.kvs?.[0];
    if (pair === undefined) throw new Error('empty semaphore value');
    const text = Buffer.from(pair.value, 'base64').toString();
    return { semaphore: JSON.parse(text) as Semaphore, revision: pair.mod_revision };
  }

  async #transact(transaction: object): Promise<Answer> {
    const response = await fetch(`${this.#endpoint}/v3/kv/txn`, {
      method: 'POST',
      body: JSON.stringify(transaction),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd answered ${response.status}: ${text.slice(0, 200)}`);
    return JSON.parse(text) as Answer;
  }
}

const base64 = (text: string) => Buffer.from(text).toString('base64');
const keyOf = (group: string) =>
  base64(`com.coreos.airlock/groups/${encodeURIComponent(group)}/v1/semaphore`);
const put = (key: string, semaphore: Semaphore) => ({
  request_put: { key, value: base64(JSON.stringify(semaphore)) },
});

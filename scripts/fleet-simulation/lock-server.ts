/**
 * A server of the FleetLock protocol, by its words: a slot belongs to an id, who has one gets it
 * again, and giving back what one does not have is fine.
 * https://coreos.github.io/zincati/development/fleetlock/protocol
 */

/** 200, or 500 with what airlock says when all slots are taken; null: no answer at all. */
export type LockAnswer = { status: 200 } | { status: 500; kind: string; value: string } | null;

type Options = {
  /** Of each group. */
  slots: number;
  now: () => number;
  /** Requests are counted from here on. */
  sinceMs: number;
  /** Without an answer from `from` until `to`. */
  down: { from: number; to: number } | null;
};

export class LockServer {
  /** Requests that came since then, also those without an answer, by second. */
  readonly seconds = new Map<number, number>();
  readonly #options: Options;
  readonly #holders = new Map<string, Set<string>>();

  constructor(options: Options) {
    this.#options = options;
  }

  preReboot({ id, group }: { id: string; group: string }): LockAnswer {
    if (!this.#answers()) return null;
    const holders = this.holdersOf(group);
    if (!holders.has(id) && holders.size >= this.#options.slots)
      return {
        status: 500,
        kind: 'failed_lock_semaphore_full',
        value: 'semaphore currently full, all slots are locked already',
      };
    holders.add(id);
    return { status: 200 };
  }

  steadyState({ id, group }: { id: string; group: string }): LockAnswer {
    if (!this.#answers()) return null;
    this.holdersOf(group).delete(id);
    return { status: 200 };
  }

  holdersOf(group: string): Set<string> {
    const holders = this.#holders.get(group) ?? new Set<string>();
    this.#holders.set(group, holders);
    return holders;
  }

  #answers(): boolean {
    const { now, sinceMs, down } = this.#options;
    const second = Math.floor((now() - sinceMs) / 1000);
    if (second >= 0) this.seconds.set(second, (this.seconds.get(second) ?? 0) + 1);
    return down === null || now() < down.from || now() >= down.to;
  }
}

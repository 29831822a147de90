/**
 * One at a time, by turns among addresses: reading the journal takes the time of the whole process,
 * and the probes are answered between two turns, however many are asked for.
 */
/** Probes wait for nobody; listeners and GitHub have places of their own. */
const WITHOUT = new Set(['/healthz', '/readyz', '/api/events', '/hooks/github']);

/** Whether a request waits for its turn. */
export function takesTurns(method: string, path: string): boolean {
  return method.toUpperCase() !== 'POST' && !WITHOUT.has(path);
}

export class Turns {
  readonly #maxWaiting: number;
  readonly #maxTurnMs: number;
  /** The waiting requests, in the order of their turns. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #isTaken = false;

  /**
   * `maxWaiting`: of one owner. A turn that takes longer than `maxTurnMs` keeps nobody waiting any
   * more.
   */
  constructor({ maxWaiting, maxTurnMs }: { maxWaiting: number; maxTurnMs: number }) {
    this.#maxWaiting = maxWaiting;
    this.#maxTurnMs = maxTurnMs;
  }

  /**
   * Waits for a turn, and gives what ends it; null at once where the owner waits for as many
   * already.
   */
  async take(owner: string): Promise<(() => void) | null> {
    if (!this.#isTaken) {
      this.#isTaken = true;
      return this.#turn();
    }
    const waiting = this.#waiting.get(owner) ?? [];
    if (waiting.length >= this.#maxWaiting) return null;
    this.#waiting.set(owner, waiting);
    await new Promise<void>((resolve) => waiting.push(resolve));
    return this.#turn();
  }

  #turn(): () => void {
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      clearTimeout(late);
      // Not at once: what came meanwhile, a probe above all, is answered between two turns.
      setImmediate(() => this.#pass());
    };
    const late = setTimeout(end, this.#maxTurnMs).unref();
    return end;
  }

  #pass(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#isTaken = false;
      return;
    }
    const [owner, waiting] = first;
    const next = waiting.shift();
    this.#waiting.delete(owner);
    if (waiting.length > 0) this.#waiting.set(owner, waiting);
    next?.();
  }
}

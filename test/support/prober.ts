/**
 * Asks an app for its version again and again, and remembers who answered when, and for how long
 * none did.
 */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export type Gap = { fromMs: number; durationMs: number };

export class Prober {
  readonly #port: number;
  readonly #intervalMs: number;
  readonly #waiters = new Set<{ version: string; resolve: () => void }>();
  readonly #rounds: (() => void)[] = [];
  readonly #stop = new AbortController();
  #lastAnswerAt: number | null = null;
  #version: string | null = null;
  #done: Promise<void> | null = null;
  readonly gaps: Gap[] = [];
  /** Requests that nobody answered with 200. */
  failures = 0;
  readonly versions: { version: string; atMs: number }[] = [];

  constructor(port: number, intervalMs = 5) {
    this.#port = port;
    this.#intervalMs = intervalMs;
  }

  get version(): string | null {
    return this.#version;
  }

  start(): this {
    this.#done = this.#loop();
    return this;
  }

  /** Resolves once this version answers. */
  async answers(version: string): Promise<void> {
    if (this.#version === version) return;
    await new Promise<void>((resolve) => this.#waiters.add({ version, resolve }));
  }

  /** Resolves once nobody answers. */
  async gone(): Promise<void> {
    while (this.#version !== null) await new Promise<void>((resolve) => this.#rounds.push(resolve));
  }

  /** The longest time without an answer since `sinceMs`, in ms. */
  longestGapMs(sinceMs = 0): number {
    return Math.max(
      0,
      ...this.gaps.filter(({ fromMs }) => fromMs >= sinceMs).map(({ durationMs }) => durationMs),
    );
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #loop(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const version = await ask(this.#port);
      if (version !== null) this.#answered(version);
      else {
        this.#version = null;
        this.failures += 1;
      }
      for (const resolve of this.#rounds.splice(0)) resolve();
      await sleep(this.#intervalMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  #answered(version: string): void {
    const now = performance.now();
    // Two missed rounds are a gap; one is the scheduler.
    if (this.#lastAnswerAt !== null && now - this.#lastAnswerAt > 3 * this.#intervalMs)
      this.gaps.push({
        fromMs: this.#lastAnswerAt,
        durationMs: Math.round(now - this.#lastAnswerAt),
      });
    this.#lastAnswerAt = now;
    if (version !== this.versions.at(-1)?.version) this.versions.push({ version, atMs: now });
    this.#version = version;
    for (const waiter of this.#waiters) {
      if (waiter.version !== version) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}

/** One request; null when nobody answers 200. */
export function ask(port: number, path = '/'): Promise<string | null> {
  return new Promise((resolve) => {
    const request = http.get(
      { port, path, host: '127.0.0.1', agent: false, timeout: 1000 },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () => resolve(response.statusCode === 200 ? body : null));
        response.on('error', () => resolve(null));
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}

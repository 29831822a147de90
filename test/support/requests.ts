/**
 * New requests at a steady pace, whether or not those before are answered; none has a time limit. So
 * what waits in a held socket's queue counts as long as it waits, and what is refused has failed.
 */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export class Requests {
  readonly #port: number;
  readonly #intervalMs: number;
  readonly #stop = new AbortController();
  readonly #sent: Promise<void>;
  readonly #open = new Set<Promise<void>>();
  /** The different answers, in the order in which they first came. */
  readonly answers: string[] = [];
  readonly failures: string[] = [];

  constructor(port: number, intervalMs = 5) {
    this.#port = port;
    this.#intervalMs = intervalMs;
    this.#sent = this.#send();
  }

  /** Resolves when all are answered, or have failed. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#sent;
    await Promise.all(this.#open);
  }

  async #send(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const asked: Promise<void> = request(this.#port).then(
        (text) => {
          if (!this.answers.includes(text)) this.answers.push(text);
          this.#open.delete(asked);
        },
        (error: Error) => {
          this.failures.push(error.message);
          this.#open.delete(asked);
        },
      );
      this.#open.add(asked);
      await sleep(this.#intervalMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }
}

/** One request by a connection of its own. Rejects when it is refused or cut. */
export function request(port: number, path = '/', host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = http.get({ host, port, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    asked.on('error', reject);
  });
}

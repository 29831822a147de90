/** Requests at a steady pace, over new connections and over kept ones; what came of each. */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 10;
const KEPT = 4;
/** Far above what a busy machine needs. */
const PATIENCE_MS = 100_000;

export class Load {
  readonly #port: number;
  readonly #stop = new AbortController();
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: KEPT });
  readonly #running: Promise<unknown>[];
  /** Of either kind of connection: the bodies of 200s, in the order of their arrival. */
  readonly answers = { new: [] as string[], kept: [] as string[] };
  readonly failures = { new: [] as string[], kept: [] as string[] };
  longestMs = 0;

  constructor(port: number, { isKept = true } = {}) {
    this.#port = port;
    this.#running = [
      this.#afresh(),
      ...(isKept ? Array.from({ length: KEPT }, () => this.#kept()) : []),
    ];
  }

  /** Resolves once this version answers over a new connection. */
  async answersAs(version: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.answers.new.at(-1) !== version) {
      if (performance.now() > deadline)
        throw new Error(
          `${version} did not answer within ${PATIENCE_MS} ms; the last answer is ${this.answers.new.at(-1)}, the last failure ${this.failures.new.at(-1)}`,
        );
      await sleep(EVERY_MS);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #afresh(): Promise<void> {
    const open: Promise<void>[] = [];
    while (!this.#stop.signal.aborted) {
      open.push(this.#one('new', false));
      await sleep(EVERY_MS);
    }
    await Promise.all(open);
  }

  async #kept(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#one('kept', this.#agent);
      await sleep(EVERY_MS);
    }
  }

  async #one(kind: 'new' | 'kept', agent: http.Agent | false): Promise<void> {
    const began = performance.now();
    const answer = await ask(this.#port, agent);
    this.longestMs = Math.max(this.longestMs, Math.round(performance.now() - began));
    if (answer instanceof Error) this.failures[kind].push(answer.message);
    else this.answers[kind].push(answer);
  }
}

function ask(port: number, agent: http.Agent | false): Promise<string | Error> {
  return new Promise((resolve) => {
    const request = http.get({ host: '127.0.0.1', port, agent }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        body += part;
      });
      response.on('error', resolve);
      response.on('end', () =>
        resolve(response.statusCode === 200 ? body : new Error(`${response.statusCode} ${body}`)),
      );
    });
    request.on('error', resolve);
  });
}

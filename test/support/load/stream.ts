/**
 * Requests by a schedule (an *open loop*): each is due at its own time, whatever became of those
 * before it. A loop that waits for an answer before it asks again measures a hang as one slow
 * request; this one sends the hundreds that people would have sent meanwhile, and counts them all.
 * Times run from when a request was due, so that what is sent late counts as late.
 */
import http from 'node:http';
import type { Socket } from 'node:net';

/** `new`: a connection for each request. `kept`: taken from a pool, and given back. */
export type Connections = 'new' | 'kept';
export type StreamOptions = {
  port: number;
  /** Requests a second. */
  rate: number;
  connections: Connections;
  path?: string;
  /** A request that is not answered within this has failed. */
  patienceMs?: number;
};
export type StreamReport = {
  /** Those that have come to an end: `answered` + `failed`. */
  asked: number;
  answered: number;
  failed: number;
  /** How often, by reason. */
  reasons: Record<string, number>;
  /** Answered at the second try: see `mayBeRepeated`. Part of `answered`. */
  retried: number;
  /** How many answers had this body. */
  bodies: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  longestMs: number;
  /** How late the generator itself sent one at worst: a busy machine's part of `longestMs`. */
  longestLagMs: number;
};

const PATIENCE_MS = 30_000;
/** The finest step of timers; what came due meanwhile is sent at once. */
const TICK_MS = 1;

type Failure = { reason: string; mayBeRepeated: boolean };

export class Stream {
  readonly #options: Required<StreamOptions>;
  readonly #agent: http.Agent | false;
  readonly #began: number;
  readonly #timer: NodeJS.Timeout;
  readonly #open = new Set<Promise<void>>();
  readonly #latencies: number[] = [];
  readonly #reasons: Record<string, number> = {};
  readonly #bodies: Record<string, number> = {};
  #sent = 0;
  #failed = 0;
  #retried = 0;
  #longestLagMs = 0;
  /** Told the first time that a body is answered. */
  onNewBody: (body: string) => void = () => {};

  constructor(options: StreamOptions) {
    this.#options = { path: '/', patienceMs: PATIENCE_MS, ...options };
    this.#agent =
      options.connections === 'kept'
        ? new http.Agent({ keepAlive: true, maxFreeSockets: Number.POSITIVE_INFINITY })
        : false;
    this.#began = performance.now();
    this.#timer = setInterval(() => this.#sendDue(), TICK_MS);
  }

  /** Sends no more, and resolves once all that were sent have come to their end. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    if (this.#agent !== false) this.#agent.destroy();
  }

  report(): StreamReport {
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))] ?? 0;
    return {
      asked: sorted.length + this.#failed,
      answered: sorted.length,
      failed: this.#failed,
      reasons: this.#reasons,
      retried: this.#retried,
      bodies: this.#bodies,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      longestMs: at(1),
      longestLagMs: this.#longestLagMs,
    };
  }

  #sendDue(): void {
    const now = performance.now();
    for (;;) {
      const dueAt = this.#began + (this.#sent * 1000) / this.#options.rate;
      if (dueAt > now) return;
      this.#sent += 1;
      this.#longestLagMs = Math.max(this.#longestLagMs, now - dueAt);
      const asked = this.#ask(dueAt).finally(() => this.#open.delete(asked));
      this.#open.add(asked);
    }
  }

  async #ask(dueAt: number): Promise<void> {
    let outcome = await this.#try(this.#agent);
    const isSecond = typeof outcome !== 'string' && outcome.mayBeRepeated;
    // On a connection of its own: another one of the pool may be as old.
    if (isSecond) outcome = await this.#try(false);
    if (typeof outcome !== 'string') {
      this.#failed += 1;
      const reason = isSecond ? `${outcome.reason}, at the second try` : outcome.reason;
      this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1;
      return;
    }
    if (isSecond) this.#retried += 1;
    this.#latencies.push(performance.now() - dueAt);
    if (this.#bodies[outcome] === undefined) this.onNewBody(outcome);
    this.#bodies[outcome] = (this.#bodies[outcome] ?? 0) + 1;
  }

  /** The body of a 200, or why there is none. */
  #try(agent: http.Agent | false): Promise<string | Failure> {
    const { port, path, patienceMs } = this.#options;
    return new Promise((resolve) => {
      let socket: Socket | null = null;
      let readBefore = 0;
      let isAnswering = false;
      const request = http.get({ host: '127.0.0.1', port, path, agent }, (response) => {
        isAnswering = true;
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          body += part;
        });
        response.on('end', () =>
          resolve(
            response.statusCode === 200
              ? body
              : { reason: `status ${response.statusCode}`, mayBeRepeated: false },
          ),
        );
        response.on('error', (error) => resolve(failure(error)));
        response.on('close', () => clearTimeout(patience));
      });
      const patience = setTimeout(
        () => request.destroy(new Error(`no answer within ${patienceMs} ms`)),
        patienceMs,
      );
      const failure = (error: NodeJS.ErrnoException): Failure => {
        clearTimeout(patience);
        const reason = `${error.code ?? error.message}${isAnswering ? ' in the answer' : ''}`;
        return { reason, mayBeRepeated: mayBeRepeated(error) };
      };
      /**
       * RFC 9112, section 9.3.1: a connection may be closed at any time, so a client may send an
       * idempotent request once more, by itself, when a connection that was kept open is closed
       * before the answer. Narrower here than there: only if it has carried an answer before, and
       * not a byte came for this request. On a new connection nothing may be lost.
       */
      const mayBeRepeated = ({ code }: NodeJS.ErrnoException) =>
        request.reusedSocket &&
        (code === 'ECONNRESET' || code === 'EPIPE') &&
        socket !== null &&
        socket.bytesRead === readBefore;
      request.on('socket', (its) => {
        socket = its;
        readBefore = its.bytesRead;
      });
      request.on('error', (error) => resolve(failure(error)));
    });
  }
}

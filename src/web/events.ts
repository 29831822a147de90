/**
 * Server-sent events: the journal as it grows, the status and the progress of a download as they change. Each client reads
 * at its own pace from the journal, so one that never reads costs one page and no queue. See "Server-sent events", HTML standard.
 */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import { sightOf, type WebContext } from './context.ts';
import { failure } from './failure.ts';
import { told } from './reading.ts';
import { failureSchema } from './schemas.ts';

const PAGE = 100;
const MOST_CLIENTS = 100;
/** Proxies close what is silent for a minute. */
const SIGN_OF_LIFE_MS = 15_000;
/** Slow read: who takes nothing for so long is let go, and may resume. */
const STALLED_MS = 30_000;
const RECONNECT_MS = 1000;

export function addEvents(app: OpenAPIHono, context: WebContext): void {
  let clients = 0;
  const route = createRoute({
    method: 'get',
    path: '/api/events',
    summary: 'The journal as it grows (server-sent events), resumed by Last-Event-ID',
    description: 'Messages carry a fact each, with its number as id. `status` and `progress` events carry the status and the bytes of a download.',
    request: {
      query: z.object({ after: z.coerce.number().int().min(0).optional().describe('facts after this one; all of them without it') }),
      headers: z.object({ 'last-event-id': z.string().optional().describe('goes before `after`') }),
    },
    responses: {
      200: { description: 'a stream without end', content: { 'text/event-stream': { schema: z.string() } } },
      400: { description: 'not a number', content: { 'application/json': { schema: failureSchema } } },
      503: { description: 'not there yet, or too many clients', content: { 'application/json': { schema: failureSchema } } },
    },
  });
  app.openapi(route, (c) => {
    sightOf(context);
    if (clients >= MOST_CLIENTS) return failure(c, 503, 'TOO_MANY_CLIENTS', `${MOST_CLIENTS} clients listen already`) as never;
    const last = c.req.header('last-event-id');
    const after = last !== undefined && /^\d{1,15}$/.test(last) ? Number(last) : (c.req.valid('query').after ?? 0);
    c.header('cache-control', 'no-store');
    // For nginx, which would gather them.
    c.header('x-accel-buffering', 'no');
    clients += 1;
    return streamSSE(c, async (stream) => {
      const ended = new AbortController();
      const end = () => ended.abort();
      stream.onAbort(end);
      context.ending.addEventListener('abort', end, { once: true });
      try {
        await new Client(stream, context, ended.signal).follow(after);
      } finally {
        clients -= 1;
        context.ending.removeEventListener('abort', end);
      }
    });
  });
}

class Client {
  readonly #stream: SSEStreamingApi;
  readonly #context: WebContext;
  readonly #signal: AbortSignal;
  #status = '';
  #progress = 'null';

  constructor(stream: SSEStreamingApi, context: WebContext, signal: AbortSignal) {
    this.#stream = stream;
    this.#context = context;
    this.#signal = signal;
  }

  async follow(after: number): Promise<void> {
    const { changes } = this.#context;
    await this.#write(`retry: ${RECONNECT_MS}\n\n`);
    let seq = after;
    while (!this.#signal.aborted) {
      const { version } = changes;
      seq = await this.#sendFacts(seq);
      await this.#sendStatus();
      await this.#sendProgress();
      await changes.after(version, SIGN_OF_LIFE_MS, this.#signal);
      if (changes.version === version && !this.#signal.aborted) await this.#write(': still here\n\n');
    }
  }

  async #sendFacts(after: number): Promise<number> {
    const { timeline, read } = sightOf(this.#context);
    await timeline.catchUp();
    let seq = after;
    while (seq < timeline.seq && !this.#signal.aborted) {
      // No further than the timeline has come, which knows the states.
      const page = read(seq, Math.min(PAGE, timeline.seq - seq));
      if (page.length === 0) break;
      await this.#write(page.map((record) => `id: ${record.seq}\ndata: ${JSON.stringify(told(record, timeline))}\n\n`).join(''));
      seq = page.at(-1)?.seq ?? seq;
    }
    return seq;
  }

  async #sendStatus(): Promise<void> {
    const status = JSON.stringify({ ...(await sightOf(this.#context).status()), download: null });
    if (status === this.#status) return;
    this.#status = status;
    await this.#write(`event: status\ndata: ${status}\n\n`);
  }

  async #sendProgress(): Promise<void> {
    const progress = JSON.stringify(this.#context.progress());
    if (progress === this.#progress) return;
    this.#progress = progress;
    await this.#write(`event: progress\ndata: ${progress}\n\n`);
  }

  /** Resolves when the client's side has room again. */
  async #write(text: string): Promise<void> {
    const stalled = setTimeout(() => this.#stream.abort(), STALLED_MS);
    await this.#stream.write(text);
    clearTimeout(stalled);
  }
}

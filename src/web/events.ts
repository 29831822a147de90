/**
 * Server-sent events: the journal as it grows, the status and the progress of a download as they
 * change. Each client reads at its own pace from the journal, so one that never reads costs one
 * page and no queue. See "Server-sent events", HTML standard.
 */
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import * as z from 'zod';
import { visibleJson } from '../support/visible.ts';
import { viewOf, type WebContext } from './context.ts';
import { type Api, queryOf, type Route, refusal } from './describe.ts';
import { failure } from './failure.ts';
import { addressOf } from './guard.ts';
import { told } from './reading.ts';
import { Shares } from './shares.ts';

const PAGE = 100;
/** A few updates' worth, at half a kilobyte each. */
const MAX_RENDERED = 200;
const MAX_CLIENTS = 100;
/** Proxies close what is silent for a minute. */
const SIGN_OF_LIFE_MS = 15_000;
/** Slow read: a client that reads nothing for this long is disconnected, and may resume. */
const STALLED_MS = 30_000;
const RECONNECT_MS = 1000;

const query = z.object({
  after: z.coerce.number().int().min(0).optional().describe('facts after this one; by default all'),
});

export function addEvents(api: Api, context: WebContext): void {
  const feed = new Feed(context);
  const clients = new Shares(MAX_CLIENTS);
  const route: Route = {
    method: 'get',
    path: '/api/events',
    summary: 'The journal as it grows (server-sent events), resumed by Last-Event-ID',
    description:
      'Messages carry a fact each, with its number as id. `status` and `progress` events carry the status and the bytes of a download.',
    query,
    headers: z.object({ 'last-event-id': z.string().optional().describe('goes before `after`') }),
    responses: {
      200: { description: 'an endless stream', schema: z.string(), type: 'text/event-stream' },
      204: { description: 'the journal is shorter than that: it was started anew' },
      400: refusal('not a number'),
      503: refusal('the updater is starting, or there are too many clients'),
    },
  };
  api.add(route, async (c) => {
    const { timeline } = viewOf(context);
    // Nobody would read it.
    if (c.req.method === 'HEAD') return c.body(null, 200, { 'content-type': 'text/event-stream' });
    // An EventSource that is pushed out comes back at once, so a stream is only taken from an owner
    // that has more of them.
    const owner = addressOf(c);
    if (clients.isCrowdedBy(owner))
      return failure(c, 503, 'TOO_MANY_CLIENTS', `${MAX_CLIENTS} clients are connected already`);
    const last = c.req.header('last-event-id');
    const after =
      last !== undefined && /^\d{1,15}$/.test(last) ? Number(last) : (queryOf(c, query).after ?? 0);
    await timeline.catchUp();
    // Another journal than the client's: it was lost, and begun anew. This ends an EventSource; the
    // page then loads afresh.
    if (after > timeline.seq) return c.body(null, 204);
    c.header('cache-control', 'no-store');
    // For nginx, which would gather them.
    c.header('x-accel-buffering', 'no');
    return streamSSE(c, async (stream) => {
      const ended = new AbortController();
      const end = () => ended.abort();
      const leave = clients.enter(owner, () => stream.abort());
      stream.onAbort(end);
      context.ending.addEventListener('abort', end, { once: true });
      try {
        await new Client(stream, context, feed, ended.signal).follow(after);
      } catch (error) {
        context.log.debug(`a client's events ended: ${(error as Error).message}`);
      } finally {
        leave();
        context.ending.removeEventListener('abort', end);
      }
    });
  });
}

/** What all clients are told, made once: fifty dashboards ask for the same at the same moment. */
class Feed {
  readonly #context: WebContext;
  readonly #rendered = new Map<number, string>();
  #status: { version: number; text: Promise<string> } | null = null;

  constructor(context: WebContext) {
    this.#context = context;
  }

  /** A page of the facts after `seq`, and the number of its last; null when there are none. */
  async facts(seq: number): Promise<{ text: string; last: number } | null> {
    const { timeline, read } = viewOf(this.#context);
    await timeline.catchUp();
    // No further than the timeline has come, which knows the states.
    const last = Math.min(timeline.seq, seq + PAGE);
    if (last <= seq) return null;
    const wanted = Array.from({ length: last - seq }, (_, i) => seq + 1 + i);
    if (wanted.some((one) => !this.#rendered.has(one))) {
      for (const record of read(seq, last - seq))
        this.#remember(
          record.seq,
          `id: ${record.seq}\ndata: ${JSON.stringify(told(record, timeline))}\n\n`,
        );
    }
    return { text: wanted.map((one) => this.#rendered.get(one) ?? '').join(''), last };
  }

  /** Without the progress of a download, which has an event of its own. */
  status(): Promise<string> {
    const { version } = this.#context.changes;
    if (this.#status?.version !== version) {
      const text = viewOf(this.#context)
        .status()
        .then((status) => JSON.stringify(visibleJson({ ...status, download: null })));
      this.#status = { version, text };
    }
    return this.#status.text;
  }

  #remember(seq: number, text: string): void {
    // Anew at the end: a page that is read once more must not push itself out.
    this.#rendered.delete(seq);
    this.#rendered.set(seq, text);
    if (this.#rendered.size > MAX_RENDERED)
      this.#rendered.delete(this.#rendered.keys().next().value ?? 0);
  }
}

class Client {
  readonly #stream: SSEStreamingApi;
  readonly #context: WebContext;
  readonly #feed: Feed;
  readonly #signal: AbortSignal;
  #status = '';
  #progress = '';

  constructor(stream: SSEStreamingApi, context: WebContext, feed: Feed, signal: AbortSignal) {
    this.#stream = stream;
    this.#context = context;
    this.#feed = feed;
    this.#signal = signal;
  }

  async follow(after: number): Promise<void> {
    const { changes } = this.#context;
    await this.#write(`retry: ${RECONNECT_MS}\n\n`);
    let seq = after;
    while (!this.#signal.aborted) {
      const { version } = changes;
      for (
        let page = await this.#feed.facts(seq);
        page !== null && !this.#signal.aborted;
        page = await this.#feed.facts(seq)
      ) {
        await this.#write(page.text);
        seq = page.last;
      }
      await this.#sendStatus();
      await this.#sendProgress();
      await changes.after(version, SIGN_OF_LIFE_MS, this.#signal);
      if (changes.version === version && !this.#signal.aborted)
        await this.#write(': still here\n\n');
    }
  }

  async #sendStatus(): Promise<void> {
    const status = await this.#feed.status();
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

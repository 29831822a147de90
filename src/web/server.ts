/**
 * The server: nothing of this folder is loaded unless `UPDATE_HTTP_ADDR` is set. It never keeps the
 * updater from its work.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { Log } from '../support/log.ts';
import { createApp } from './app.ts';
import type { Progress } from './context.ts';
import { ownerOf, Shares } from './shares.ts';
import { Changes, type UpdaterView } from './updater-view.ts';

export type WebOptions = {
  address: { host: string | null; port: number };
  token: () => string | null;
  hasToken: boolean;
  readingNeedsToken: boolean;
  appUid: number | null;
  webhookSecret: () => string | null;
  takesWebhooks: boolean;
  pollIntervalMs: number;
  hosts: readonly string[];
  repository: string;
  /** Whether the app runs, asked while there is no journal. */
  isAppUp: () => Promise<boolean>;
  programVersion: string;
  log: Log;
};

export type Web = {
  /** From now on there is something to show. */
  attach(view: UpdaterView): void;
  /** A fact was journaled, or something was learnt. */
  changed(): void;
  progressed(receivedBytes: number, totalBytes: number): void;
  close(): void;
};

const RETRY_MS = 10_000;
/** Slow headers and slow bodies: nobody needs longer for a few hundred bytes. */
const HEADERS_TIMEOUT_MS = 10_000;
/** GitHub itself waits 10 s for an answer. */
const REQUEST_TIMEOUT_MS = 15_000;
const MAX_CONNECTIONS = 256;
/** The kernel's part: those that are closed here are gone a moment later. */
const MAX_CONNECTIONS_FOR_A_MOMENT = 2 * MAX_CONNECTIONS;
/**
 * Slow read: a connection on which nothing moves is closed. Event streams show signs of life more
 * often than that.
 */
const SILENCE_MS = 60_000;
const LOOK_FOR_LATE_MS = 5000;
/** Pipelining: answers that nobody reads are held in memory, one for each request. */
const MAX_UNANSWERED = 4;
const MAX_HEADER_BYTES = 16 * 1024;
const PROGRESS_EVERY_MS = 200;

/** Listens, and tries again while the address is taken. */
export function startWeb(options: WebOptions): Web {
  const { log, address } = options;
  const changes = new Changes();
  const ending = new AbortController();
  let view: UpdaterView | null = null;
  let progress: Progress | null = null;
  let progressAt = Number.NEGATIVE_INFINITY;
  const app = createApp({
    ...options,
    view: () => view,
    changes,
    progress: () => progress,
    ending: ending.signal,
  });
  const server = createAdaptorServer({
    fetch: app.fetch,
    // got has its own idea of Request and Response.
    overrideGlobalObjects: false,
    // HTTP/1.0 has no Host, and load balancers speak it.
    hostname: 'localhost',
    serverOptions: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: LOOK_FOR_LATE_MS,
    },
  }) as Server;
  server.maxConnections = MAX_CONNECTIONS_FOR_A_MOMENT;
  shareConnections(server);
  server.timeout = SILENCE_MS;
  boundPipelining(server);
  listen(server, address, log, ending.signal);
  return {
    attach(given) {
      view = given;
      changes.announce();
    },
    changed() {
      if (
        progress !== null &&
        view !== null &&
        !view.state().snapshot.matches({ incoming: { fetching: 'downloading' } })
      )
        progress = null;
      changes.announce();
    },
    progressed(receivedBytes, totalBytes) {
      const now = performance.now();
      if (now - progressAt < PROGRESS_EVERY_MS && receivedBytes < totalBytes) return;
      progressAt = now;
      progress = { receivedBytes, totalBytes };
      changes.announce();
    },
    close() {
      ending.abort();
      server.close();
      server.closeAllConnections();
    },
  };
}

/**
 * Exhaustion: one client that holds every connection would block the probes, and a liveness probe
 * that fails has the container killed. So no connection is refused; the owner that has most loses
 * one.
 */
function shareConnections(server: Server): void {
  const places = new Shares(MAX_CONNECTIONS);
  const atWork = new WeakMap<Socket, number>();
  server.on('connection', (socket: Socket) => {
    const leave = places.enter(
      ownerOf(socket.remoteAddress),
      () => socket.destroy(),
      () => (atWork.get(socket) ?? 0) === 0,
    );
    socket.once('close', leave);
  });
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    atWork.set(socket, (atWork.get(socket) ?? 0) + 1);
    response.once('close', () => atWork.set(socket, (atWork.get(socket) ?? 1) - 1));
  });
}

function boundPipelining(server: Server): void {
  const unanswered = new WeakMap<Socket, number>();
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const count = (unanswered.get(socket) ?? 0) + 1;
    unanswered.set(socket, count);
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
    if (count > MAX_UNANSWERED) socket.destroy();
  });
}

function listen(
  server: Server,
  { host, port }: WebOptions['address'],
  log: Log,
  ending: AbortSignal,
): void {
  const options = host === null ? { port } : { port, host };
  const shown = `${host ?? 'every interface'}, port ${port}`;
  let said = false;
  server.on('error', (error: NodeJS.ErrnoException) => {
    const reason = error.code === 'EADDRINUSE' ? 'address already in use' : error.message;
    const say = said ? log.debug : log.warn;
    said = true;
    say(`can't listen at ${shown}: ${reason}; check UPDATE_HTTP_ADDR. Retrying [HTTP_FAILED]`);
    const timer = setTimeout(() => server.listen(options), RETRY_MS);
    timer.unref();
    ending.addEventListener('abort', () => clearTimeout(timer), { once: true });
  });
  server.on('listening', () => {
    said = false;
    const { address, port: bound, family } = server.address() as AddressInfo;
    log.info(`listening at http://${family === 'IPv6' ? `[${address}]` : address}:${bound}/`);
  });
  server.listen(options);
}

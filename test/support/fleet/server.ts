/**
 * A FleetLock server: counts slots of groups in etcd, so that any number of them may run, and each
 * may be killed at any time. It answers as the protocol's description says, with the kinds of error
 * that the description and airlock have:
 * https://coreos.github.io/zincati/development/fleetlock/protocol/
 *
 * As a program, `node server.ts`, it needs nothing but Node 24, and listens until SIGTERM or
 * SIGINT. Its settings are environment variables:
 *   PORT=9090                       where it listens (0: a free port, which is printed)
 *   HOST=127.0.0.1                  at which address; in a container 0.0.0.0
 *   ETCD=http://127.0.0.1:2379      etcd's client address; it need not answer yet
 *   SLOTS="default=1 workers=3"     groups with their slots; others are refused
 */
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { EtcdSlots, SlotsFull } from './slots.ts';

/** One request with its answer. */
export type Handled = {
  action: 'pre-reboot' | 'steady-state';
  group: string;
  id: string;
  status: number;
  kind: string | null;
  /** Wall clock, in ms. */
  at: number;
};
type Asker = { group: string; id: string };

const GROUP = /^[a-zA-Z0-9.-]+$/;
const MAX_BODY_BYTES = 64 * 1024;

export class Refused extends Error {
  readonly status: number;
  readonly kind: string;

  constructor(status: number, kind: string, value: string) {
    super(value);
    this.status = status;
    this.kind = kind;
  }
}

export class FleetLockServer implements AsyncDisposable {
  /** Groups with their slots; a test may add some. */
  readonly groups: Map<string, number>;
  /** Requests that named a group and an id, oldest first. */
  readonly handled: Handled[] = [];
  /** Emits `handled` with each one. */
  readonly events = new EventEmitter();
  readonly #slots: EtcdSlots;
  readonly #server: http.Server;

  constructor(etcd: string, groups: Record<string, number> = { default: 1 }) {
    this.groups = new Map(Object.entries(groups));
    this.#slots = new EtcdSlots(etcd);
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
  }

  async listen(port = 0, host = '127.0.0.1'): Promise<this> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** As etcd has them. */
  holders(group = 'default'): Promise<string[]> {
    return this.#slots.holders(group, this.groups.get(group) ?? 1);
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    response.on('error', () => {});
    try {
      await this.#handle(request);
      response.writeHead(200).end();
    } catch (error) {
      const { status, kind, message } =
        error instanceof Refused ? error : new Refused(400, 'bad_request', String(error));
      const headers: Record<string, string> = { 'content-type': 'application/json' };
      if (status === 405) headers['allow'] = 'POST';
      response.writeHead(status, headers).end(JSON.stringify({ kind, value: message }));
    }
  }

  async #handle(request: http.IncomingMessage): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const action = /^\/v1\/(pre-reboot|steady-state)$/.exec(pathname)?.[1] as
      | Handled['action']
      | undefined;
    if (action === undefined) throw new Refused(404, 'not_found', `no such endpoint: ${pathname}`);
    if (request.method !== 'POST')
      throw new Refused(405, 'method_not_allowed', `${request.method} instead of POST`);
    if (request.headers['fleet-lock-protocol'] !== 'true')
      throw invalid("wrong 'fleet-lock-protocol' header");
    const { group, id } = askerOf(await bodyOf(request));
    if (!GROUP.test(group)) throw invalid(`group ${JSON.stringify(group)} does not match ${GROUP}`);
    const total = this.groups.get(group);
    if (total === undefined) throw new Refused(400, 'unknown_group', `unknown group "${group}"`);
    const refusal = await this.#perform(action, total, { group, id });
    const { status = 200, kind = null } = refusal ?? {};
    const handled: Handled = { action, group, id, status, kind, at: Date.now() };
    this.handled.push(handled);
    this.events.emit('handled', handled);
    if (refusal !== null) throw refusal;
  }

  async #perform(
    action: Handled['action'],
    total: number,
    { group, id }: Asker,
  ): Promise<Refused | null> {
    try {
      if (action === 'pre-reboot') await this.#slots.lock(group, total, id);
      else await this.#slots.unlock(group, total, id);
      return null;
    } catch (error) {
      if (error instanceof SlotsFull)
        return new Refused(
          500,
          'failed_lock_semaphore_full',
          'semaphore currently full, all slots are locked already',
        );
      return new Refused(500, 'failed_lock', reasonOf(error));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const invalid = (why: string) =>
  new Refused(400, 'invalid_client_identity', `failed to validate client identity: ${why}`);

async function bodyOf(request: http.IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > MAX_BODY_BYTES) throw invalid(`more than ${MAX_BODY_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

function askerOf(body: string): Asker {
  const { group, id } = paramsOf(body);
  if (typeof group !== 'string' || group === '') throw invalid('empty client group');
  if (typeof id !== 'string' || id === '') throw invalid('empty client ID');
  return { group, id };
}

function paramsOf(body: string): { group?: unknown; id?: unknown } {
  try {
    const { client_params } = JSON.parse(body) as { client_params?: object };
    return client_params ?? {};
  } catch {
    throw invalid('the body is not a JSON object');
  }
}

/** fetch() says only that it failed; what happened is its cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  const { code, message: why } = (cause ?? {}) as { code?: string; message?: string };
  return [message, why === '' ? code : (why ?? code)].filter(Boolean).join(': ');
}

/** `default=1 workers=3` */
function groupsOf(text: string): Record<string, number> {
  const groups: Record<string, number> = {};
  for (const word of text.split(/[\s,]+/).filter((one) => one !== '')) {
    const [, group, count] = /^([a-zA-Z0-9.-]+)=([1-9]\d*)$/.exec(word) ?? [];
    if (group === undefined) throw new Error(`SLOTS: ${word} is not GROUP=COUNT`);
    groups[group] = Number(count);
  }
  return groups;
}

if (import.meta.main) {
  const { PORT = '9090', HOST = '127.0.0.1', ETCD = 'http://127.0.0.1:2379' } = process.env;
  const server = new FleetLockServer(ETCD, groupsOf(process.env['SLOTS'] ?? 'default=1'));
  server.events.on('handled', ({ action, group, id, status, kind }: Handled) =>
    console.log(`${action} ${group} ${JSON.stringify(id)} ${status}${kind ? ` ${kind}` : ''}`),
  );
  // As PID 1 of a container it has no default action for either.
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => void server.close().then(() => process.exit(0)));
  await server.listen(Number(PORT), HOST);
  console.log(`listening on ${HOST}:${server.port}`);
}

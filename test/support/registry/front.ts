/**
 * What stands in front of a registry: the proxy that clients talk to, which keeps what they asked,
 * and can be as wrong as a hostile registry; beside it the realm, and, under another name of this
 * machine, the storage that downloads are redirected to.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { LoopbackServer } from '../loopback-server.ts';
import type { Realm } from './realm.ts';

export type Asked = {
  method: string;
  path: string;
  host: string;
  authorization: string | undefined;
};
export type Wrong = { status: number; headers?: Record<string, string>; body?: string | Buffer };

export class RegistryFront extends LoopbackServer {
  readonly requests: Asked[] = [];
  /** An answer in the registry's place; null for the registry's own. */
  wrong: (asked: Asked) => Wrong | null = () => null;
  /** The registry's address. */
  target = '';
  readonly realm: Realm | null;
  readonly #data: string;

  constructor(realm: Realm | null, data: string) {
    super();
    this.realm = realm;
    this.#data = data;
  }

  /** The requests of the registry, as `METHOD /path`, without those of realm and storage. */
  get asked(): string[] {
    return this.requests
      .filter(({ path }) => path.startsWith('/v2/'))
      .map(({ method, path }) => `${method} ${path}`);
  }

  /** Also of servers with other names. */
  override answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { method = '', headers, url = '/' } = request;
    const { host = '', authorization } = headers;
    const asked = { method, path: url, host, authorization };
    this.requests.push(asked);
    const wrong = this.wrong(asked);
    if (wrong !== null) return void response.writeHead(wrong.status, wrong.headers).end(wrong.body);
    const { pathname, searchParams } = new URL(url, this.url);
    if (pathname === '/token' && this.realm !== null)
      return void this.realm.answer(request, searchParams, response);
    if (pathname.startsWith('/docker/')) return void this.#store(pathname, request, response);
    const onward = http.request(`${this.target}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }

  /** A bucket: it knows addresses, and wants nobody's token. */
  #store(pathname: string, request: http.IncomingMessage, response: http.ServerResponse): void {
    if (request.headers.authorization !== undefined) return void response.writeHead(400).end();
    const content = readFileSync(path.join(this.#data, pathname));
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const rest = content.subarray(from);
    const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
    const headers = { 'content-length': rest.length, ...(from > 0 ? range : {}) };
    response.writeHead(from > 0 ? 206 : 200, headers).end(rest);
  }
}

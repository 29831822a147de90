/**
 * A reverse proxy in front of the server of any source: whatever a server or the network can do
 * wrong is done here, once for all of them. It also keeps what arrived, with its headers.
 */
import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import { LoopbackServer } from '../loopback-server.ts';

/** What is asked for: of an API, of a web site, or the bytes of an asset, also of the API. */
export type RequestKind = 'api' | 'web' | 'file' | 'fileOfApi';
export type ProxiedRequest = {
  kind: RequestKind;
  path: string;
  /** With its port: `localhost` is where storage is. */
  host: string;
  headers: http.IncomingHttpHeaders;
  /** Of the answer's body. */
  sentBytes: number;
};

/** `path` is kept by a redirect to another origin. */
export type Misbehaviour =
  | { status: number; headers?: Record<string, string>; body?: string | Buffer }
  | { redirectTo: string }
  /** The body is kept elsewhere, at the address that is returned, and a redirect leads there. */
  | { keep: (body: Buffer) => string }
  /** The connection is broken off after so many bytes of an answer that has more. */
  | { cutAfterBytes: number }
  /** Nothing is answered; the beginning of an answer and then nothing; an answer without end. */
  | 'silent'
  | 'stalled'
  | 'endless'
  /** A redirect to itself. */
  | 'loop'
  /** Ranges are not known. */
  | 'whole';

type Disguise = { name: string; as: string };

const isFile = (kind: RequestKind) => kind === 'file' || kind === 'fileOfApi';
const NAMES = ['127.0.0.1', 'localhost'];
const CHUNK = Buffer.alloc(64 * 1024, ' ');

export class MisbehavingProxy extends LoopbackServer {
  /** Each stays until it is changed. */
  misbehave: { metadata?: Misbehaviour; file?: Misbehaviour } = {};
  readonly requests: ProxiedRequest[] = [];
  /** Emits `request` with each one, and `closed` when an answer's connection has ended. */
  readonly events = new EventEmitter();
  /** Bytes of endless answers. */
  endlessBytes = 0;
  readonly #origin: string;
  readonly #kindOf: (path: string) => RequestKind;
  /** What is called otherwise in all answers: a name of ours, and the one that is told. */
  #disguise: Disguise | null = null;

  /** `origin`: of the server behind it, `http://127.0.0.1:PORT`. */
  constructor(origin: string, kindOf: (path: string) => RequestKind) {
    super();
    this.#origin = origin;
    this.#kindOf = kindOf;
  }

  /** The name stands for any text in JSON, XML, sums and addresses, also one that is no name. */
  disguise(name: string, as: string): void {
    this.#disguise = { name, as };
  }

  async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { url: path = '/', headers } = request;
    const kind = this.#kindOf(path);
    const seen = { kind, path, host: headers.host ?? '', headers, sentBytes: 0 };
    this.requests.push(seen);
    response.on('error', () => {});
    response.on('close', () => this.events.emit('closed', seen));
    this.events.emit('request', seen);
    const way = isFile(kind) ? this.misbehave.file : this.misbehave.metadata;
    switch (way) {
      case 'silent':
        return;
      case 'stalled':
        response.writeHead(200, { 'content-type': 'application/json' }).write('[');
        return;
      case 'endless':
        response.writeHead(200, { 'content-type': 'application/json' });
        return this.#pour(response);
      case 'loop':
        response.writeHead(302, { location: path }).end();
        return;
      default:
    }
    if (typeof way === 'object' && 'status' in way) {
      const length = Buffer.byteLength(way.body ?? '');
      response.writeHead(way.status, { 'content-length': length, ...way.headers }).end(way.body);
      return;
    }
    if (typeof way === 'object' && 'redirectTo' in way) {
      response.writeHead(302, { location: `${way.redirectTo}${path}` }).end();
      return;
    }
    await this.#forward(request, response, way, seen);
  }

  #pour(response: http.ServerResponse): void {
    const pour = () => {
      while (!response.destroyed) {
        this.endlessBytes += CHUNK.length;
        if (!response.write(CHUNK)) return;
      }
    };
    response.on('drain', pour);
    pour();
  }

  async #forward(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    way:
      | Exclude<Misbehaviour, string | { status: number } | { redirectTo: string }>
      | 'whole'
      | undefined,
    seen: ProxiedRequest,
  ): Promise<void> {
    const headers = { ...request.headers };
    if (way === 'whole') delete headers.range;
    const { status, headers: answered, body } = await this.#asked(request, headers);
    const type = answered['content-type'] ?? '';
    const told = this.#toldBody(body, type);
    if (status === 200 && typeof way === 'object' && 'keep' in way) {
      response.writeHead(302, { location: way.keep(told) }).end();
      return;
    }
    const head: http.OutgoingHttpHeaders = {};
    for (const [name, value] of Object.entries(answered))
      head[name] =
        typeof value === 'string' && !/^(?:date|etag)$/.test(name)
          ? this.#told(value, encodeURIComponent)
          : value;
    // As proxies add it, in front of servers that know none.
    const isNamedByTag = status === 200 && request.method === 'GET' && !isFile(seen.kind);
    if (isNamedByTag) head['etag'] ??= etagOf(told);
    if (isNamedByTag && request.headers['if-none-match'] === head['etag']) {
      response.writeHead(304, { etag: head['etag'] }).end();
      return;
    }
    seen.sentBytes = told.length;
    delete head['transfer-encoding'];
    if (request.method !== 'HEAD') head['content-length'] = told.length;
    response.writeHead(status, head);
    if (typeof way === 'object' && 'cutAfterBytes' in way && way.cutAfterBytes < told.length)
      response.write(told.subarray(0, way.cutAfterBytes), () => response.destroy());
    else response.end(told);
  }

  /** What the server behind it answers. */
  async #asked(
    request: http.IncomingMessage,
    headers: http.IncomingHttpHeaders,
  ): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: Buffer }> {
    const asked = http.request(new URL(this.#meant(request.url ?? '/'), this.#origin), {
      method: request.method ?? 'GET',
      headers,
      agent: false,
    });
    request.pipe(asked);
    const [answer] = (await once(asked, 'response')) as [http.IncomingMessage];
    const parts: Buffer[] = [];
    for await (const part of answer) parts.push(part as Buffer);
    const { statusCode = 0 } = answer;
    return { status: statusCode, headers: answer.headers, body: Buffer.concat(parts) };
  }

  /** What it calls itself is called like this proxy. */
  #named(text: string): string {
    const { port } = new URL(this.#origin);
    let named = text;
    for (const name of NAMES) named = named.replaceAll(`${name}:${port}`, `${name}:${this.port}`);
    return named;
  }

  #told(text: string, encoded: (name: string) => string): string {
    const named = this.#named(text);
    return this.#disguise === null
      ? named
      : named.replaceAll(this.#disguise.name, encoded(this.#disguise.as));
  }

  #toldBody(body: Buffer, type: string): Buffer {
    const text = () => body.toString('utf8');
    if (type.includes('json') || /^[{[]/.test(body.toString('latin1', 0, 1)))
      return Buffer.from(this.#disguisedJson(this.#named(text())));
    if (type.includes('xml')) return Buffer.from(this.#told(text(), inXml));
    const isNamed = this.#disguise !== null && body.includes(this.#disguise.name);
    return isNamed ? Buffer.from(this.#told(text(), (name) => name)) : body;
  }

  #disguisedJson(json: string): string {
    return this.#disguise === null ? json : disguisedInJson(json, this.#disguise);
  }

  #meant(path: string): string {
    if (this.#disguise === null) return path;
    const { name, as } = this.#disguise;
    return path.replaceAll(encodeURIComponent(as), name);
  }
}

const etagOf = (bytes: Buffer) =>
  `"${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}"`;
/** Addresses stay, so that nothing but the name keeps such a release or file from being taken. */
export function disguisedInJson(json: string, { name, as }: Disguise): string {
  const alone = new RegExp(`(?<!/)${name.replaceAll('.', '\\.')}`, 'g');
  return json.replaceAll(alone, () => JSON.stringify(as).slice(1, -1));
}

const inXml = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

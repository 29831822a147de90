/**
 * A lock server that answers as no lock server should, or lets something in between do it: bytes on
 * a socket, since most of it no library would send.
 */
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';

export type Asked = { action: string; head: string; port: number };
export type WrongAnswer = {
  title: string;
  send: (socket: Socket, asked: Asked) => void;
  /** What `status` has to say of it. */
  says: RegExp;
  /** Only a time limit ends it. */
  isSlow?: true;
};

const DRIP_EVERY_MS = 50;
const MEGABYTE = 1024 * 1024;

/** A whole answer, with its length. */
export function reply(status: string, body: string | Buffer = '', ...headers: string[]): Buffer {
  const bytes = Buffer.from(body);
  const lines = [`HTTP/1.1 ${status}`, ...headers, `content-length: ${bytes.length}`];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\nconnection: close\r\n\r\n`), bytes]);
}
export const refusal = (kind: unknown, value: unknown, status = '500 Oops') =>
  reply(status, JSON.stringify({ kind, value }), 'content-type: application/json');

const answer = (title: string, bytes: Buffer, says: RegExp): WrongAnswer => ({
  title,
  send: (socket) => socket.end(bytes),
  says,
});
const raw = (title: string, text: string, says: RegExp): WrongAnswer =>
  answer(title, Buffer.from(text, 'latin1'), says);
const redirect = (title: string, status: string, location: string | null, says: RegExp) =>
  answer(title, reply(status, '', ...(location === null ? [] : [`location: ${location}`])), says);

/** Writes on and on, until the other side has had enough. */
function drip(socket: Socket, piece: string | Buffer, beginning = '', everyMs = DRIP_EVERY_MS) {
  socket.write(beginning);
  const timer = setInterval(() => socket.write(piece), everyMs);
  socket.once('close', () => clearInterval(timer));
}
/** As fast as the other side takes it. */
function pour(socket: Socket, beginning: string, piece: Buffer): void {
  const more = () => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', more);
  socket.write(beginning);
  more();
}

const FAILED = '500 Internal Server Error';
const HTML = '<!doctype html><html><body>Sign in to the Wi-Fi</body></html>';
const ENDLESS = `HTTP/1.1 ${FAILED}\r\ncontent-type: application/json\r\n\r\n`;
const NETWORK = /can't be asked for/;
const status = (code: number) => new RegExp(`status ${code}`);
const elsewhere = /redirects requests .* set UPDATE_FLEET_LOCK_URL/;

/** None of them gives a slot. `secret` is one of the updater's own, said back to it. */
export const wrongAnswers = (secret: string): WrongAnswer[] => [
  answer('200 with a page of HTML', reply('200 OK', HTML, 'content-type: text/html'), /HTML/),
  answer('201', reply('201 Created'), status(201)),
  answer('202', reply('202 Accepted'), status(202)),
  answer('204', reply('204 No Content'), status(204)),
  redirect('301 to elsewhere', '301 Moved', 'http://evil.example/', status(301)),
  redirect('302 to elsewhere', '302 Found', 'https://evil.example/v1/pre-reboot', status(302)),
  redirect('303 to itself', '303 See Other', '/v1/pre-reboot', status(303)),
  redirect('307 to elsewhere', '307 Temporary', 'http://evil.example/v1', elsewhere),
  redirect('307 to a file', '307 Temporary', 'file:///etc/passwd', elsewhere),
  redirect('308 to what is no address', '308 Permanent', 'http://[', elsewhere),
  redirect('308 to nowhere', '308 Permanent', null, status(308)),
  {
    title: '307 in a circle',
    send: (socket, { action, port }) =>
      socket.end(
        reply('307 Temporary', '', `location: http://127.0.0.1:${port}/v1/${action}?again`),
      ),
    says: status(307),
  },
  ...[400, 401, 403, 404, 405, 429, 502, 503].map((code) =>
    answer(`${code} without a body`, reply(`${code} Oops`), status(code)),
  ),
  answer('502 with a page of HTML', reply('502 Bad Gateway', HTML), status(502)),
  answer('JSON that breaks off', reply(FAILED, '{"kind": "failed_lo'), status(500)),
  answer('null instead of an error', reply(FAILED, 'null'), status(500)),
  answer('an error of wrong types', refusal(42, { full: true }), status(500)),
  answer('an error of empty words', refusal('', ''), status(500)),
  answer('JSON of 5,000 levels', reply(FAILED, '['.repeat(5000)), status(500)),
  answer('a kind of 1 MB', refusal('k'.repeat(MEGABYTE), 'full'), status(500)),
  answer('a value of 10 kB', refusal('failed_lock', 'v'.repeat(10_000)), /\(v{200}…\)/),
  answer(
    'terminal escapes and line breaks in the value',
    refusal('failed_lock', '\u001b]0;owned\u0007\u001b[2J\r\nINFO all is well\u202e\u0000'),
    /owned.*INFO all is well/,
  ),
  answer(
    'a secret of ours in the value',
    refusal('failed_lock', `not with Bearer ${secret}`),
    /not with Bearer \[secret\]/,
  ),
  answer(
    'bytes that are no UTF-8',
    reply(FAILED, Buffer.from('{"kind":"a","value":"\xff\xfe"}', 'latin1')),
    /\(.*\)/,
  ),
  answer(
    '50 MB, gzipped',
    reply(FAILED, gzipSync(Buffer.alloc(50 * MEGABYTE, 0x20)), 'content-encoding: gzip'),
    status(500),
  ),
  {
    title: 'a body without an end, as fast as can be',
    send: (socket) => pour(socket, ENDLESS, Buffer.alloc(64 * 1024, 'x')),
    says: status(500),
  },
  {
    title: 'headers without an end',
    send: (socket) => pour(socket, `HTTP/1.1 ${FAILED}\r\n`, Buffer.from('x: y\r\n'.repeat(1000))),
    says: NETWORK,
  },
  {
    title: 'a connection that is reset',
    send: (socket) => socket.resetAndDestroy(),
    says: NETWORK,
  },
  raw('a connection that is closed', '', NETWORK),
  raw('TLS instead of HTTP', '\x15\x03\x03\x00\x02\x02\x28', NETWORK),
  raw('the greeting of a mail server', '220 mail.example.com ESMTP\r\n', NETWORK),
  raw('status 1000', 'HTTP/1.1 1000 Odd\r\ncontent-length: 0\r\n\r\n', NETWORK),
  raw(
    'two lengths',
    'HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\nhello',
    NETWORK,
  ),
  raw(
    'a length and chunks',
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    NETWORK,
  ),
  raw(
    'chunks that are none',
    `HTTP/1.1 ${FAILED}\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n{"kind":"a"`,
    status(500),
  ),
  raw(
    'less than it promised',
    `HTTP/1.1 ${FAILED}\r\ncontent-length: 1000\r\n\r\n{"kind":"failed_lock","value":"fu`,
    status(500),
  ),
  {
    title: 'another protocol',
    send: (socket) =>
      socket.end('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'),
    says: /did not answer/,
    isSlow: true,
  },
  { title: 'nothing', send: () => {}, says: /did not answer/, isSlow: true },
  {
    title: 'a body that drips',
    send: (socket) => drip(socket, ' ', ENDLESS),
    says: /status 500|did not answer/,
    isSlow: true,
  },
  {
    title: 'headers that drip',
    send: (socket) => drip(socket, 'y', 'HTTP/1.1 200 OK\r\nx: '),
    says: /did not answer|can't be asked for/,
    isSlow: true,
  },
  {
    title: '100 Continue for ever',
    send: (socket) => drip(socket, 'HTTP/1.1 100 Continue\r\n\r\n'),
    says: /did not answer/,
    isSlow: true,
  },
];

/** What a good server would answer to both. */
export const yes: WrongAnswer['send'] = (socket) => socket.end(reply('200 OK'));

export class WrongServer implements AsyncDisposable {
  send: WrongAnswer['send'] = yes;
  /** Of each request, oldest first: `pre-reboot` or `steady-state`. */
  readonly asked: string[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = net.createServer((socket) => this.#serve(socket));
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** One request on each connection. */
  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
    let received = '';
    const collect = (piece: Buffer) => {
      received += piece.toString('latin1');
      const [head = '', body] = received.split('\r\n\r\n');
      const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      if (body === undefined || body.length < length) return;
      socket.off('data', collect).resume();
      const action = /^POST \/v1\/(pre-reboot|steady-state)[? ]/.exec(head)?.[1] ?? head;
      this.asked.push(action);
      this.send(socket, { action, head, port: this.#port });
    };
    socket.on('data', collect);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

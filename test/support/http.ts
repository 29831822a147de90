/**
 * The product with its server on, and a client that holds every answer to the server's own
 * description.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { appArchive } from './app.ts';
import { freePort, Product, type ProductOptions } from './product.ts';
import { validatorOf } from './schema.ts';

export const OPERATOR_TOKEN = 'operator-token-0123456789';
export const WEBHOOK_SECRET = "It's a Secret to Everybody";

/** Reading needs the token, too (UPDATE_HTTP_READ); a test that is about that says otherwise. */
export const READER = { authorization: `Bearer ${OPERATOR_TOKEN}` };

export type Answer = { status: number; headers: http.IncomingHttpHeaders; text: string };
type Description = {
  paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }> }>
  >;
};

export class Served {
  readonly product: Product;
  readonly port: number;
  #description: Promise<Description> | null = null;

  private constructor(product: Product, port: number) {
    this.product = product;
    this.port = port;
  }

  static async create({ env = {}, ...options }: ProductOptions = {}): Promise<Served> {
    const port = await freePort();
    const all = {
      UPDATE_HTTP_ADDR: `127.0.0.1:${port}`,
      UPDATE_HTTP_TOKEN: OPERATOR_TOKEN,
      UPDATE_HTTP_READ: 'token',
      UPDATE_WEBHOOK_SECRET: WEBHOOK_SECRET,
      UPDATE_STRATEGY: 'download-then-kill',
      UPDATE_ASSET: 'app*.tar.gz',
      SLEEP: '3600',
      ...env,
    };
    return new Served(await Product.create({ ...options, env: all }), port);
  }

  /** Publishes a version of the app. */
  async publish(
    version: string,
    options: Partial<Parameters<typeof appArchive>[0]> = {},
  ): Promise<void> {
    this.product.github.publish(`v${version}`, {
      [`app_${version}.tar.gz`]: await appArchive({ version, port: this.product.port, ...options }),
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async ask(
    path: string,
    {
      method = 'GET',
      headers = {},
      body = '',
    }: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Answer> {
    const answer = await new Promise<Answer>((resolve, reject) => {
      const all = method === 'POST' ? headers : { ...READER, ...headers };
      const request = http.request(
        { host: '127.0.0.1', port: this.port, path, method, headers: all, agent: false },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
          );
        },
      );
      request.on('error', reject);
      request.end(body);
    });
    await this.#conforms(path, method, answer);
    return answer;
  }

  /** Resolves once the updater serves its journal. */
  async ready(): Promise<void> {
    for (;;) {
      const response = await fetch(`${this.url}/healthz`).catch(() => null);
      if (response?.status === 200) return;
    }
  }

  async json<T>(path: string): Promise<T> {
    const { status, text } = await this.ask(path);
    assert.equal(status, 200, text);
    return JSON.parse(text) as T;
  }

  act(name: string, body: object = {}, headers: Record<string, string> = {}): Promise<Answer> {
    const all = {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
      'content-type': 'application/json',
      ...headers,
    };
    return this.ask(`/api/actions/${name}`, {
      method: 'POST',
      headers: all,
      body: JSON.stringify(body),
    });
  }

  /** Asked for once, however many wait for it. */
  describe(): Promise<Description> {
    this.#description ??= this.#describe();
    return this.#description;
  }

  /** While the updater starts, or many ask, it is refused. */
  async #describe(): Promise<Description> {
    for (;;) {
      const response = await fetch(`${this.url}/api/openapi.json`);
      if (response.ok) return (await response.json()) as Description;
    }
  }

  /** What is answered is what the description says: its status, its type, its shape. */
  async #conforms(path: string, method: string, { status, headers, text }: Answer): Promise<void> {
    const { paths } = await this.describe();
    const described = paths[path.split('?')[0] ?? '']?.[method.toLowerCase()];
    // Refused before any route is looked for.
    if (described === undefined || (status === 403 && text.includes('HOST_REFUSED'))) return;
    const response = described.responses[String(status)];
    assert.ok(
      response !== undefined,
      `${method} ${path} answered ${status}, which its description does not have: ${text}`,
    );
    if (status === 204) return;
    const [type] = (headers['content-type'] ?? '').split(';');
    const content = response.content?.[type ?? ''];
    assert.ok(content !== undefined, `${method} ${path} answered ${type}`);
    if (type !== 'application/json') return;
    const validate = validatorOf(content.schema);
    assert.ok(
      validate(JSON.parse(text)),
      `${method} ${path}: ${JSON.stringify(validate.errors)}\n${text}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.product.dispose();
  }
}

export type ServerEvent = { id: string | null; event: string; data: string };

/** Server-sent events as they come, until `enough`. */
export async function listen(
  url: string,
  enough: (event: ServerEvent) => boolean,
  headers: Record<string, string> = {},
): Promise<ServerEvent[]> {
  const abort = new AbortController();
  const response = await fetch(url, {
    headers: { ...READER, ...headers },
    signal: AbortSignal.any([abort.signal, AbortSignal.timeout(30_000)]),
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  const seen: ServerEvent[] = [];
  let rest = '';
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const parts = (rest + chunk).split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const fields = new Map(
        part
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      if (!fields.has('data')) continue;
      const event = {
        id: fields.get('id') ?? null,
        event: fields.get('event') ?? 'message',
        data: fields.get('data') ?? '',
      };
      seen.push(event);
      if (!enough(event)) continue;
      abort.abort();
      return seen;
    }
  }
  throw new Error(`the stream ended: ${JSON.stringify(seen)}`);
}

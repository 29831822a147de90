/**
 * A stand-in for Forgejo: releases and attachments over real HTTP, in the types that `forgejo-js`
 * makes from Forgejo's own description; its stock client talks to it (forgejo.test.ts beside).
 */
import type http from 'node:http';
import type { Attachment, Release } from 'forgejo-js';
import { LoopbackServer } from '../loopback-server.ts';
import { sendRange } from './send-range.ts';

type Published = Required<Pick<Release, 'tag_name' | 'draft' | 'prerelease' | 'published_at'>> &
  Release & { assets: (Required<Pick<Attachment, 'id' | 'name' | 'size'>> & Attachment)[] };

export class FakeForgejo extends LoopbackServer {
  /** The newest first. */
  readonly releases: Published[] = [];
  readonly requests: { path: string; host: string; authorization: string | undefined }[] = [];
  /** Most that are on a page. */
  pageSize = 50;
  readonly #token: string | null;
  readonly #contents = new Map<string, Buffer>();
  #nextId = 100;

  constructor({ token = null }: { token?: string | null } = {}) {
    super();
    this.#token = token;
  }

  publish(tag: string, assets: Record<string, Buffer>, overrides: Partial<Release> = {}): void {
    const release: Published = {
      id: this.#nextId++,
      tag_name: tag,
      draft: false,
      prerelease: false,
      published_at: new Date().toISOString(),
      body: '',
      ...overrides,
      assets: Object.entries(assets).map(([name, content]) => {
        const place = placeOf(tag, name);
        this.#contents.set(place, content);
        return {
          id: this.#nextId++,
          name,
          size: content.length,
          browser_download_url: `${this.url}${place}`,
          type: 'attachment',
        };
      }),
    };
    this.releases.unshift(release);
  }

  /** Other bytes at the address of an asset; what is told of them stays. */
  replaceBytes(tag: string, name: string, content: Buffer): void {
    this.#contents.set(placeOf(tag, name), content);
  }

  /** Names an address elsewhere in the newest release. The forge has no size of it. */
  link(name: string, content: Buffer): void {
    const place = `/elsewhere/${name}`;
    this.#contents.set(place, content);
    this.releases[0]?.assets.push({
      id: this.#nextId++,
      name,
      size: 0,
      browser_download_url: `http://localhost:${this.port}/storage${place}`,
      type: 'external',
    });
  }

  /** What lies elsewhere is moved or removed behind the forge's back. */
  replace(name: string, content: Buffer | null): void {
    if (content === null) this.#contents.delete(`/elsewhere/${name}`);
    else this.#contents.set(`/elsewhere/${name}`, content);
  }

  protected answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    const { host = '', authorization } = request.headers;
    this.requests.push({ path: pathname, host, authorization });
    const json = (status: number, body: unknown) =>
      response
        .writeHead(status, { 'content-type': 'application/json;charset=utf-8' })
        .end(JSON.stringify(body));
    // Where an instance keeps its files: another host, to which no token belongs.
    if (pathname.startsWith('/storage/')) {
      if (authorization !== undefined) return void response.writeHead(400).end();
      this.#send(pathname.slice('/storage'.length), request, response);
      return;
    }
    const isAllowed =
      this.#token === null ||
      authorization === `Bearer ${this.#token}` ||
      authorization === `token ${this.#token}`;
    if (!isAllowed) return void json(404, { message: 'not found', errors: [] });
    if (this.#contents.has(pathname)) {
      const location = `http://localhost:${this.port}/storage${pathname}`;
      return void response.writeHead(303, { location }).end();
    }
    const base = '/api/v1/repos/acme/app/releases';
    const tag = decodeURIComponent(pathname.split(`${base}/tags/`)[1] ?? '');
    if (pathname === base) {
      const size = Math.min(Number(searchParams.get('limit') ?? 30), this.pageSize);
      const from = (Number(searchParams.get('page') ?? 1) - 1) * size;
      return void json(200, this.releases.slice(from, from + size));
    }
    const found =
      pathname === `${base}/latest`
        ? this.releases.find(({ draft, prerelease }) => !draft && !prerelease)
        : this.releases.find(({ tag_name }) => tag_name === tag);
    if (found === undefined) json(404, { message: 'not found', errors: [] });
    else json(200, found);
  }

  #send(place: string, request: http.IncomingMessage, response: http.ServerResponse): void {
    const content = this.#contents.get(place);
    if (content === undefined) return void response.writeHead(404).end();
    sendRange(content, request, response);
  }
}

const placeOf = (tag: string, name: string) =>
  `/acme/app/releases/download/${encodeURIComponent(tag)}/${encodeURIComponent(name)}`;

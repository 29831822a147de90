/**
 * A stand-in for GitHub: releases and assets over real HTTP, as GitHub's OpenAPI description has
 * them (test/support/github/server.test.ts holds it to that), with the ways in which a server can
 * misbehave.
 */
import { createHash, createHmac } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { feedOf } from './feed.ts';

export type FakeGitHubAsset = {
  id: number;
  name: string;
  content: Buffer;
  state: 'uploaded' | 'open';
  digest: string | null;
  announcedBytes: number;
};
export type FakeGitHubRelease = {
  id: number;
  tag: string;
  draft: boolean;
  prerelease: boolean;
  publishedAt: string;
  body: string;
  assets: FakeGitHubAsset[];
};

/** What the next answers do; each field stays until it is changed. */
export type Misbehaviour = {
  /** Answer API questions with this status and body. */
  api?:
    | { status: number; body?: string | Buffer; headers?: Record<string, string> }
    | 'hang'
    | 'reset';
  /** Answer for its pages with this. */
  page?: { status: number; body?: string | Buffer; headers?: Record<string, string> } | undefined;
  /** API questions are answered after this. */
  apiAfter?: Promise<void>;
  /** Bytes a second. */
  throttle?: number;
  /** Break the connection off after so many bytes of an asset. */
  cutAfterBytes?: number;
  /** Send so many bytes of an asset and then nothing. */
  stallAfterBytes?: number;
  assetStatus?: number;
  /** Send other bytes than were announced. */
  lie?: Buffer;
  /** Redirect assets there instead of to this server's other name. */
  redirectTo?: string;
  ignoreRange?: boolean;
  /** Changes what is said about each release. */
  spoil?: (release: Record<string, unknown>) => unknown;
  /** Takes the connection over for requests whose path fits: what is sent need not be HTTP. */
  takeOver?: { path: RegExp; send: (socket: Socket) => void };
};

export type FakeGitHubOptions = {
  owner?: string;
  repo?: string;
  token?: string | null;
  /** To be read by everybody, also where there is a token; without one it always is. */
  isPublic?: boolean;
  port?: number;
  /** The address at which it is asked: the gateway of a network of containers, say. */
  host?: string;
  /** The other name of that address, where assets are. */
  assetHost?: string;
};

export type Request = {
  method: string;
  path: string;
  headers: http.IncomingHttpHeaders;
  at: number;
};

const RATE_LIMIT = 5000;

export class FakeGitHub {
  readonly owner: string;
  readonly repo: string;
  readonly releases: FakeGitHubRelease[] = [];
  readonly requests: Request[] = [];
  /** Emits `request` with each one. */
  readonly events = new EventEmitter();
  misbehave: Misbehaviour = {};
  /** Of one window; a new one begins at `resetAt` where `windowMs` says how long. */
  rateLimit: { limit?: number; remaining: number; resetAt: number; windowMs?: number } | null =
    null;
  /** The clock of its windows. */
  now: () => number = Date.now;
  latestTag: string | null = null;
  /** A repository keeps it for life; one that takes over a name has another. */
  repositoryId = 4711;
  /** Sigstore bundles by the sha256 of what they are about. */
  readonly attestations = new Map<string, unknown[]>();
  readonly #token: string | null;
  readonly #isPublic: boolean;
  readonly #host: string;
  readonly #assetHost: string;
  readonly #server: http.Server;
  #nextId = 1000;
  #port = 0;

  constructor({
    owner = 'acme',
    repo = 'app',
    token = null,
    isPublic = token === null,
    host = '127.0.0.1',
    assetHost = 'localhost',
  }: FakeGitHubOptions = {}) {
    this.owner = owner;
    this.#host = host;
    this.#assetHost = assetHost;
    this.repo = repo;
    this.#token = token;
    this.#isPublic = isPublic;
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
  }

  async listen(port = 0): Promise<this> {
    this.#server.listen(port, this.#host);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  get url(): string {
    return `http://${this.#host}:${this.#port}`;
  }

  /** Assets live on another origin, as on GitHub: the same server by another name. */
  get assetOrigin(): string {
    return `http://${this.#assetHost}:${this.#port}`;
  }

  publish(
    tag: string,
    assets: Record<string, Buffer>,
    overrides: Partial<FakeGitHubRelease> & { digests?: boolean } = {},
  ): FakeGitHubRelease {
    const { digests = true, ...rest } = overrides;
    const release: FakeGitHubRelease = {
      id: this.#nextId++,
      tag,
      draft: false,
      prerelease: false,
      publishedAt: new Date().toISOString(),
      body: '',
      assets: [],
      ...rest,
    };
    this.releases.unshift(release);
    for (const [name, content] of Object.entries(assets))
      this.attach(release, name, content, { digests });
    return release;
  }

  attach(
    release: FakeGitHubRelease,
    name: string,
    content: Buffer,
    { digests = true, state = 'uploaded' as const } = {},
  ): FakeGitHubAsset {
    const digest = digests ? `sha256:${createHash('sha256').update(content).digest('hex')}` : null;
    const asset: FakeGitHubAsset = {
      id: this.#nextId++,
      name,
      content,
      state,
      digest,
      announcedBytes: content.length,
    };
    release.assets.push(asset);
    return asset;
  }

  /** Resolves with the next request whose path fits. */
  async nextRequest(pattern: RegExp): Promise<Request> {
    for (;;) {
      const [request] = (await once(this.events, 'request')) as [Request];
      if (pattern.test(request.path)) return request;
    }
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const seen: Request = {
      method: request.method ?? 'GET',
      path: url.pathname + url.search,
      headers: request.headers,
      at: Date.now(),
    };
    this.requests.push(seen);
    this.events.emit('request', seen);
    response.on('error', () => {});
    const { takeOver } = this.misbehave;
    if (takeOver?.path.test(url.pathname)) {
      request.socket.on('error', () => {});
      return takeOver.send(request.socket);
    }
    const base = `/repos/${this.owner}/${this.repo}`;
    if (url.pathname.startsWith('/storage/'))
      return this.#sendAsset(Number(url.pathname.split('/')[2]), request, response);
    const download = /\/releases\/download\/([^/]+)\/([^/]+)$/.exec(url.pathname);
    if (download)
      return this.#redirectToStorage(
        this.#assetByName(
          decodeURIComponent(download[1] ?? ''),
          decodeURIComponent(download[2] ?? ''),
        ),
        response,
      );
    if (url.pathname.startsWith(`/${this.owner}/${this.repo}/`))
      return this.#sendPage(url.pathname, request, response);
    const { api, apiAfter } = this.misbehave;
    const isAsset = url.pathname.startsWith(`${base}/releases/assets/`);
    if (!isAsset) await apiAfter;
    if (api && !isAsset) {
      if (api === 'hang') return;
      if (api === 'reset') return void request.socket.resetAndDestroy();
      response.writeHead(api.status, {
        'content-type': 'application/json; charset=utf-8',
        ...api.headers,
      });
      return void response.end(
        api.body ??
          JSON.stringify({
            message: 'misbehaving',
            documentation_url: 'https://docs.github.com/rest',
          }),
      );
    }
    const { authorization } = request.headers;
    if (
      authorization !== undefined &&
      authorization !== `Bearer ${this.#token}` &&
      authorization !== `token ${this.#token}`
    )
      return this.#json(response, 401, {
        message: 'Bad credentials',
        documentation_url: 'https://docs.github.com/rest',
        status: '401',
      });
    this.#rollWindow();
    if (this.rateLimit && this.rateLimit.remaining <= 0)
      return this.#json(response, 403, {
        message: 'API rate limit exceeded',
        documentation_url: 'https://docs.github.com/rest/rate-limit',
      });
    const hidden = !this.#isPublic && authorization === undefined;
    if (!`${url.pathname}/`.startsWith(`${base}/`) || hidden) return this.#notFound(response);
    if (this.rateLimit) this.rateLimit.remaining -= 1;
    const resource = url.pathname.slice(base.length);
    if (resource === '')
      return this.#json(
        response,
        200,
        { id: this.repositoryId, name: this.repo, full_name: `${this.owner}/${this.repo}` },
        request,
      );
    const attested = /^\/attestations\/sha256:([0-9a-f]{64})$/.exec(resource)?.[1];
    if (attested !== undefined) return this.#attestations(attested, request, response);
    if (resource === '/releases/latest') return this.#release(this.#latest(), request, response);
    if (resource === '/releases') return this.#list(url, request, response);
    const tag = /^\/releases\/tags\/(.+)$/.exec(resource)?.[1];
    if (tag !== undefined)
      return this.#release(
        this.#published().find((release) => release.tag === decodeURIComponent(tag)),
        request,
        response,
      );
    const assetId = /^\/releases\/assets\/(\d+)$/.exec(resource)?.[1];
    if (assetId !== undefined && request.headers.accept?.includes('application/octet-stream'))
      return this.#redirectToStorage(this.#assetById(Number(assetId)), response);
    return this.#notFound(response);
  }

  /** The web site's: not counted, and closed to who has only a token. */
  #sendPage(path: string, request: http.IncomingMessage, response: http.ServerResponse): void {
    const { page } = this.misbehave;
    if (page !== undefined)
      return void response.writeHead(page.status, page.headers).end(page.body);
    const site = `${this.url}/${this.owner}/${this.repo}`;
    const latest = this.#latest();
    if (!this.#isPublic) return void response.writeHead(404).end('Not Found');
    if (path.endsWith('/releases/latest')) {
      const to = latest === undefined ? '' : `/tag/${encodeURIComponent(latest.tag)}`;
      return void response.writeHead(302, { location: `${site}/releases${to}` }).end();
    }
    if (!path.endsWith('/releases.atom')) return void response.writeHead(404).end('Not Found');
    const text = feedOf(this.#published().slice(0, 10), site, this.repositoryId);
    const etag = `W/"${createHash('sha256').update(text).digest('hex').slice(0, 32)}"`;
    const isKnown = request.headers['if-none-match'] === etag;
    const type = 'application/atom+xml; charset=utf-8';
    response.writeHead(isKnown ? 304 : 200, { etag, 'content-type': type });
    response.end(isKnown ? undefined : text);
  }

  #published(): FakeGitHubRelease[] {
    return this.releases.filter((release) => !release.draft);
  }

  #latest(): FakeGitHubRelease | undefined {
    if (this.latestTag !== null)
      return this.releases.find((release) => release.tag === this.latestTag);
    return this.#published().find((release) => !release.prerelease);
  }

  #assetById(id: number): FakeGitHubAsset | undefined {
    return this.releases.flatMap((release) => release.assets).find((asset) => asset.id === id);
  }

  #assetByName(tag: string, name: string): FakeGitHubAsset | undefined {
    return this.releases
      .find((release) => release.tag === tag)
      ?.assets.find((asset) => asset.name === name);
  }

  #list(url: URL, request: http.IncomingMessage, response: http.ServerResponse): void {
    const size = Math.min(Number(url.searchParams.get('per_page') ?? 30), 100);
    const page = Number(url.searchParams.get('page') ?? 1);
    this.#json(
      response,
      200,
      this.#published()
        .slice((page - 1) * size, page * size)
        .map((release) => this.#described(release)),
      request,
    );
  }

  #release(
    release: FakeGitHubRelease | undefined,
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): void {
    if (!release) this.#notFound(response);
    else this.#json(response, 200, this.#described(release), request);
  }

  #attestations(
    sha256: string,
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): void {
    const bundles = this.attestations.get(sha256);
    if (bundles === undefined) this.#notFound(response);
    else
      this.#json(
        response,
        200,
        { attestations: bundles.map((bundle) => ({ bundle, repository_id: this.repositoryId })) },
        request,
      );
  }

  #notFound(response: http.ServerResponse): void {
    this.#json(response, 404, {
      message: 'Not Found',
      documentation_url: 'https://docs.github.com/rest/releases/releases',
      status: '404',
    });
  }

  #rollWindow(): void {
    const limit = this.rateLimit;
    if (limit?.windowMs === undefined || this.now() < limit.resetAt) return;
    Object.assign(limit, {
      remaining: limit.limit ?? RATE_LIMIT,
      resetAt: this.now() + limit.windowMs,
    });
  }

  #json(
    response: http.ServerResponse,
    status: number,
    body: unknown,
    request?: http.IncomingMessage,
  ): void {
    const text = JSON.stringify(body);
    // ETags differ from token to token.
    const etag = `"${createHmac('sha256', request?.headers.authorization ?? '')
      .update(text)
      .digest('hex')}"`;
    const headers: Record<string, string> = {
      'content-type': 'application/json; charset=utf-8',
      'x-github-media-type': 'github.v3; format=json',
      'x-github-api-version-selected': '2022-11-28',
    };
    const limit = this.rateLimit ?? { remaining: RATE_LIMIT, resetAt: this.now() + 3_600_000 };
    Object.assign(headers, {
      'x-ratelimit-limit': String(this.rateLimit?.limit ?? RATE_LIMIT),
      'x-ratelimit-remaining': String(Math.max(limit.remaining, 0)),
      'x-ratelimit-reset': String(Math.ceil(limit.resetAt / 1000)),
    });
    if (request !== undefined) headers['etag'] = etag;
    if (request?.headers['if-none-match'] === etag) {
      response.writeHead(304, headers);
      return void response.end();
    }
    response.writeHead(status, headers);
    response.end(text);
  }

  #redirectToStorage(asset: FakeGitHubAsset | undefined, response: http.ServerResponse): void {
    if (!asset) {
      this.#notFound(response);
      return;
    }
    response.writeHead(302, {
      location:
        this.misbehave.redirectTo ?? `${this.assetOrigin}/storage/${asset.id}?signature=once`,
    });
    response.end();
  }

  /** Storage rejects a second authorization, as GitHub's does. */
  async #sendAsset(
    id: number,
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): Promise<void> {
    const asset = this.#assetById(id);
    const { assetStatus, lie, ignoreRange } = this.misbehave;
    if (request.headers.authorization !== undefined)
      return void response.writeHead(400).end('Only one auth mechanism allowed');
    if (!asset) return void response.writeHead(404).end();
    if (assetStatus !== undefined)
      return void response
        .writeHead(assetStatus, { 'content-type': 'text/html' })
        .end('<html>trouble</html>');
    const whole = lie ?? asset.content;
    const range = ignoreRange ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const from = range ? Number(range[1]) : 0;
    if (range && from >= whole.length)
      return void response.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end();
    const body = whole.subarray(from);
    const headers: Record<string, string | number> = {
      'content-type': 'application/octet-stream',
      'content-length': body.length,
      'accept-ranges': 'bytes',
    };
    if (range) headers['content-range'] = `bytes ${from}-${whole.length - 1}/${whole.length}`;
    response.writeHead(range ? 206 : 200, headers);
    await this.#sendBody(body, response, this.misbehave);
  }

  async #sendBody(
    body: Buffer,
    response: http.ServerResponse,
    { throttle, cutAfterBytes, stallAfterBytes }: Misbehaviour,
  ): Promise<void> {
    const piece = throttle === undefined ? 256 * 1024 : Math.max(1, Math.round(throttle / 20));
    for (let sent = 0; sent < body.length && !response.destroyed; sent += piece) {
      const limit = Math.min(cutAfterBytes ?? body.length, stallAfterBytes ?? body.length);
      const end = Math.min(sent + piece, limit);
      if (end > sent && !response.write(body.subarray(sent, end))) await drained(response);
      if (end < Math.min(sent + piece, body.length)) {
        this.events.emit('limit', { sent: end });
        // What was written is on its way before the line is cut.
        if (cutAfterBytes !== undefined) response.write('', () => response.socket?.destroySoon());
        return;
      }
      if (throttle !== undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    response.end();
  }

  #described(release: FakeGitHubRelease): unknown {
    const honest = this.#describe(release);
    return this.misbehave.spoil?.(honest) ?? honest;
  }

  /** As `GET /repos/{owner}/{repo}/releases/{id}` answers. */
  #describe(release: FakeGitHubRelease): Record<string, unknown> {
    const web = `${this.url}/${this.owner}/${this.repo}`;
    const api = `${this.url}/repos/${this.owner}/${this.repo}`;
    const author = this.#user();
    return {
      url: `${api}/releases/${release.id}`,
      assets_url: `${api}/releases/${release.id}/assets`,
      upload_url: `${api}/releases/${release.id}/assets{?name,label}`,
      html_url: `${web}/releases/tag/${encodeURIComponent(release.tag)}`,
      id: release.id,
      author,
      node_id: `RE_${release.id}`,
      tag_name: release.tag,
      target_commitish: 'main',
      name: release.tag,
      draft: release.draft,
      immutable: false,
      prerelease: release.prerelease,
      created_at: release.publishedAt,
      published_at: release.publishedAt,
      updated_at: release.publishedAt,
      body: release.body,
      assets: release.assets.map((asset) => ({
        url: `${api}/releases/assets/${asset.id}`,
        id: asset.id,
        node_id: `RA_${asset.id}`,
        name: asset.name,
        label: '',
        uploader: author,
        content_type: 'application/octet-stream',
        state: asset.state,
        size: asset.announcedBytes,
        digest: asset.digest,
        download_count: 0,
        created_at: release.publishedAt,
        updated_at: release.publishedAt,
        browser_download_url: `${web}/releases/download/${encodeURIComponent(release.tag)}/${encodeURIComponent(asset.name)}`,
      })),
      tarball_url: `${api}/tarball/${release.tag}`,
      zipball_url: `${api}/zipball/${release.tag}`,
    };
  }

  #user(): Record<string, unknown> {
    const api = `${this.url}/users/${this.owner}`;
    const links = [
      'followers',
      'following',
      'gists',
      'starred',
      'subscriptions',
      'organizations',
      'repos',
      'events',
      'received_events',
    ];
    return {
      login: this.owner,
      id: 1,
      node_id: 'U_1',
      avatar_url: `${this.url}/avatar.png`,
      gravatar_id: '',
      url: api,
      html_url: `${this.url}/${this.owner}`,
      ...Object.fromEntries(links.map((name) => [`${name}_url`, `${api}/${name}`])),
      type: 'User',
      site_admin: false,
    };
  }
}

/** Resolves when more can be written, or never will be. */
function drained(response: http.ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}

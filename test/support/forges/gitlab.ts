/**
 * A stand-in for GitLab: releases and their links over real HTTP, after "Project release API"
 * (https://docs.gitlab.com/api/releases/) and in the types of `@gitbeaker/rest`; that stock client
 * talks to it (gitlab.test.ts beside).
 */
import { createHash } from 'node:crypto';
import type http from 'node:http';
import type { ReleaseSchema } from '@gitbeaker/rest';
import { LoopbackServer } from '../loopback-server.ts';
import { sendRange } from './send-range.ts';

/** The client's types leave out what was added later. */
type Link = {
  id: number;
  name: string;
  url: string;
  direct_asset_url: string;
  link_type: 'other' | 'runbook' | 'image' | 'package';
};
type Published = Pick<
  ReleaseSchema,
  'name' | 'tag_name' | 'description' | 'created_at' | 'released_at' | 'upcoming_release'
> & {
  commit_path: string;
  tag_path: string;
  assets: { count: number; sources: { format: string; url: string }[]; links: Link[] };
};

type Reply = { status: number; body?: string; headers?: Record<string, string> };

export class FakeGitLab extends LoopbackServer {
  readonly releases: Published[] = [];
  readonly requests: {
    path: string;
    host: string;
    authorization: string | undefined;
    privateToken: string | undefined;
    range: string | undefined;
  }[] = [];
  /** The answer to each question of the API. */
  misbehave: Reply | null = null;
  /** With its group, and perhaps subgroups. */
  readonly project: string;
  readonly #token: string | null;
  readonly #contents = new Map<string, Buffer>();
  #nextId = 100;

  constructor({ token, project = 'acme/app' }: { token?: string; project?: string } = {}) {
    super();
    this.#token = token ?? null;
    this.project = project;
  }

  get #api(): string {
    return `/api/v4/projects/${encodeURIComponent(this.project)}`;
  }

  /** Files become generic packages, with a permanent path beside it: as GoReleaser does it. */
  publish(tag: string, files: Record<string, Buffer>, overrides: Partial<Published> = {}): void {
    const links = Object.entries(files).map(([name, content]) => {
      const place = this.#placeOf(tag, name);
      this.#contents.set(place, content);
      return this.linkTo(`${this.url}${place}`, { name, tag, path: name });
    });
    const web = `/${this.project}/-`;
    const now = new Date(Date.now() + this.releases.length).toISOString();
    this.releases.push({
      name: tag,
      tag_name: tag,
      description: '',
      created_at: now,
      released_at: now,
      upcoming_release: false,
      commit_path: `${web}/commit/${'0'.repeat(40)}`,
      tag_path: `${web}/tags/${tag}`,
      ...overrides,
      assets: {
        count: links.length + 1,
        sources: [{ format: 'tar.gz', url: `${this.url}${web}/archive/${tag}/app-${tag}.tar.gz` }],
        links: [...links, ...(overrides.assets?.links ?? [])],
      },
    });
  }

  /** Other bytes at the address of a package; what is told of them stays. */
  replaceBytes(tag: string, name: string, content: Buffer): void {
    this.#contents.set(this.#placeOf(tag, name), content);
  }

  #placeOf(tag: string, name: string): string {
    return `${this.#api}/packages/generic/app/${encodeURIComponent(tag)}/${encodeURIComponent(name)}`;
  }

  /** A link to anywhere. `path`: its permanent path, if it has one. */
  linkTo(
    url: string,
    {
      name,
      tag,
      path,
      type = 'other',
    }: { name: string; tag: string; path?: string; type?: Link['link_type'] },
  ): Link {
    const direct = `${this.url}/${this.project}/-/releases/${tag}/downloads/${path}`;
    return {
      id: this.#nextId++,
      name,
      url,
      direct_asset_url: path === undefined ? url : direct,
      link_type: type,
    };
  }

  protected answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { pathname } = new URL(request.url ?? '/', this.url);
    const { host = '', authorization, range, 'private-token': given } = request.headers;
    const privateToken = given === undefined ? undefined : `${given}`;
    this.requests.push({ path: pathname, host, authorization, privateToken, range });
    const isAnonymous = authorization === undefined && privateToken === undefined;
    // Where an instance keeps its packages: another host, to which no token belongs.
    const stored = this.#contents.get(pathname.slice('/storage'.length));
    if (pathname.startsWith('/storage/') && stored !== undefined && isAnonymous) {
      sendRange(stored, request, response);
      return;
    }
    const { status, body = '', headers } = this.#reply(request);
    const etag = `W/"${createHash('md5').update(body).digest('hex')}"`;
    const isKnown = status === 200 && request.headers['if-none-match'] === etag;
    response.writeHead(isKnown ? 304 : status, { etag, ...headers }).end(isKnown ? '' : body);
  }

  #reply(request: http.IncomingMessage): Reply {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    if (pathname.startsWith('/storage/')) return { status: 400 };
    if (pathname === '/users/sign_in') return { status: 200, body: '<html>Sign in' };
    if (!pathname.startsWith('/api/')) return redirect(`${this.url}/users/sign_in`);
    const { authorization, 'private-token': privateToken } = request.headers;
    const token = authorization?.replace(/^Bearer /, '') ?? privateToken;
    if (token !== undefined && token !== this.#token) return json(401, '401 Unauthorized');
    if (this.#token !== null && token === undefined) return json(404, '404 Project Not Found');
    if (this.#contents.has(pathname))
      return redirect(`http://localhost:${this.port}/storage${pathname}`);
    if (this.misbehave !== null) return this.misbehave;
    const base = `${this.#api}/releases`;
    if (!pathname.startsWith(base)) return json(404, '404 Project Not Found');
    const rest = pathname.slice(base.length);
    const sorted = this.releases.toSorted((a, b) =>
      `${b.released_at}`.localeCompare(`${a.released_at}`),
    );
    if (rest === '') return page(sorted, searchParams, `${this.url}${base}`);
    if (rest === '/permalink/latest')
      return redirect(`${this.url}${base}/${encodeURIComponent(sorted[0]?.tag_name ?? '')}`);
    const tag = decodeURIComponent(rest.slice(1));
    const found = sorted.find(({ tag_name }) => tag_name === tag);
    return found === undefined ? json(404, '404 Not Found') : json(200, found);
  }
}

/** See "Pagination", https://docs.gitlab.com/api/rest/#pagination */
function page(all: readonly unknown[], parameters: URLSearchParams, url: string): Reply {
  const size = Math.min(Number(parameters.get('per_page') ?? 20), 100);
  const number = Number(parameters.get('page') ?? 1);
  const hasNext = number * size < all.length;
  const next = `<${url}?page=${number + 1}&per_page=${size}>; rel="next"`;
  return json(200, all.slice((number - 1) * size, number * size), {
    'x-page': `${number}`,
    'x-per-page': `${size}`,
    'x-total': `${all.length}`,
    'x-next-page': hasNext ? `${number + 1}` : '',
    ...(hasNext ? { link: next } : {}),
  });
}

function redirect(location: string): Reply {
  return { status: 302, headers: { location } };
}

/** A text is an error's message. */
function json(status: number, body: unknown, headers: Record<string, string> = {}): Reply {
  return {
    status,
    body: JSON.stringify(typeof body === 'string' ? { message: body } : body),
    headers: { 'content-type': 'application/json', ...headers },
  };
}

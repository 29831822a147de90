/** GitHub's releases, asked politely: conditional requests, obeyed limits, capped answers. */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import type { Quota } from '../../machines/pacing.ts';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import { type Answer, type Http, hostOf, networkFault } from './http.ts';
import { isLimit, limitedUntilMs, quotaOf } from './rate-limit.ts';
import { attestations, publishedRelease, publishedReleases, repository } from './schema.ts';

/** Endless data: an answer beyond this is not a release. Decoded bytes, so a compressed bomb counts in full. */
const MOST_METADATA_BYTES = 1024 * 1024;
/** Fifteen releases with thirty assets each fit into the cap above. */
const RELEASES_A_PAGE = 15;
const MOST_PAGES = 10;
/** https://docs.github.com/en/rest/about-the-rest-api/api-versions */
const API_VERSION = '2022-11-28';
const ANSWER_TIMEOUT_MS = 60_000;

/** A limit is in force until `untilMs`; nothing is asked before. */
export class RateLimited extends Fault {
  readonly untilMs: number;

  constructor(message: string, untilMs: number) {
    super('RATE_LIMITED', message);
    this.untilMs = untilMs;
  }
}

/** Where answers are kept for conditional requests. */
export type AnswerCache = { read(key: string): { etag: string; body: string } | null; write(key: string, entry: { etag: string; body: string }): void };

export type GitHubOptions = { http: Http; repository: string; cache: AnswerCache; now: () => number };

export class GitHub {
  readonly #options: GitHubOptions;
  /** As the newest answer said. */
  quota: Quota | null = null;

  constructor(options: GitHubOptions) {
    this.#options = options;
  }

  /** What the maintainers mark as latest. Null if there is none. `strikes` counts limits in a row. */
  async latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#read('/releases/latest', publishedRelease, strikes, signal);
  }

  async tagged(tag: string, strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#read(`/releases/tags/${encodeURIComponent(tag)}`, publishedRelease, strikes, signal);
  }

  /** GitHub's numeric id, which a repository keeps when it is renamed, and which no other ever gets. Null if it is not told. */
  async repositoryId(signal: AbortSignal): Promise<number | null> {
    return (await this.#read('', repository, 0, signal))?.id ?? null;
  }

  /** Sigstore bundles that GitHub keeps for these bytes. See https://docs.github.com/en/rest/repos/attestations */
  async attestations(sha256: string, signal: AbortSignal): Promise<unknown[]> {
    const answer = await this.#read(`/attestations/sha256:${sha256}?per_page=30`, attestations, 0, signal);
    return answer?.attestations.flatMap(({ bundle }) => (bundle == null ? [] : [bundle])) ?? [];
  }

  /** Page after page, newest first, until `enough`. */
  async list(strikes: number, signal: AbortSignal, enough: (releases: readonly PublishedRelease[]) => boolean): Promise<PublishedRelease[]> {
    const releases: PublishedRelease[] = [];
    for (let page = 1; page <= MOST_PAGES; page++) {
      const answer = await this.#read(`/releases?per_page=${RELEASES_A_PAGE}&page=${page}`, publishedReleases, strikes, signal);
      if (answer === null) throw this.#notFound();
      releases.push(...answer);
      if (answer.length < RELEASES_A_PAGE || enough(releases)) break;
    }
    return releases;
  }

  async #read<T>(resource: string, schema: z.ZodType<T>, strikes: number, outer: AbortSignal): Promise<T | null> {
    const { http, cache, repository } = this.#options;
    const url = `${http.options.apiUrl}/repos/${repository}${resource}`;
    // ETags differ from token to token, so the cache is keyed by both.
    const key = createHash('sha256')
      .update(JSON.stringify([url, http.options.token()]))
      .digest('hex');
    const cached = cache.read(key);
    const signal = AbortSignal.any([outer, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
    const headers: Record<string, string> = { accept: 'application/vnd.github+json', 'x-github-api-version': API_VERSION };
    if (cached) headers['if-none-match'] = cached.etag;
    const answer = await http.get(url, headers, signal, { decompress: true, sameHost: true });
    this.quota = quotaOf(answer.headers) ?? this.quota;
    if (answer.status === 304 && cached) {
      answer.stream.destroy();
      return parse(cached.body, schema, url);
    }
    if (answer.status === 404) {
      answer.stream.destroy();
      return null;
    }
    const body = await readCapped(answer);
    if (answer.status !== 200) throw this.#refusal(answer, body, strikes);
    const parsed = parse(body, schema, url);
    if (answer.headers.etag !== undefined) cache.write(key, { etag: answer.headers.etag, body });
    return parsed;
  }

  /** 404 is GitHub's word for "does not exist" and for "not for you" alike. */
  #notFound(): Fault {
    const { repository, http } = this.#options;
    const remedy = http.options.token() === null ? 'if it is private, set UPDATE_GH_TOKEN' : 'check that the token may read it (Contents: read)';
    return new Fault('NOT_FOUND', `${repository} has no such release, or does not exist: check GH_USER and GH_REPO; ${remedy}`);
  }

  notFound(): Fault {
    return this.#notFound();
  }

  #refusal({ status, headers, url }: Answer, body: string, strikes: number): Fault {
    const host = hostOf(url);
    if (status === 401) return new Fault('TOKEN_REJECTED', `${host} rejected the token (401): it is wrong, expired or revoked. Set a new UPDATE_GH_TOKEN`);
    if (isLimit(status)) {
      const untilMs = limitedUntilMs(headers, this.#options.now(), strikes);
      const remedy = this.#options.http.options.token() === null ? 'a token (UPDATE_GH_TOKEN) raises the limit' : 'a longer SLEEP helps if this repeats';
      return new RateLimited(`${host} answers no more requests until ${new Date(untilMs).toISOString()} (${status}${said(body)}): ${remedy}`, untilMs);
    }
    if (status >= 500)
      return new Fault('SERVER_FAILED', `${host} failed (${status}): most likely a passing trouble there; it is asked again at the next check`);
    return new Fault('ANSWER_UNEXPECTED', `${host} answered ${status}${said(body)}: check UPDATE_GH_API_URL`);
  }
}

async function readCapped(answer: Answer): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer.stream) {
      size += (chunk as Buffer).length;
      if (size > MOST_METADATA_BYTES)
        throw new Fault(
          'ANSWER_TOO_LARGE',
          `${hostOf(answer.url)} sent more than ${MOST_METADATA_BYTES} bytes of metadata: that is no answer of GitHub's; check UPDATE_GH_API_URL`,
        );
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw networkFault(error, answer.url);
  } finally {
    answer.stream.destroy();
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse<T>(body: string, schema: z.ZodType<T>, url: string): T {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (cause) {
    throw new Fault('ANSWER_MALFORMED', `${hostOf(url)} sent something that is not JSON: a captive portal or proxy, or a wrong UPDATE_GH_API_URL`, { cause });
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Fault(
    'ANSWER_MALFORMED',
    `${hostOf(url)} sent something that is not a release (${issue?.path.join('.') || 'answer'}: ${issue?.message}): check UPDATE_GH_API_URL`,
  );
}

/** GitHub's own words, bounded and printable. */
function said(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === 'string' ? `: ${message.replace(/\p{C}/gu, ' ').slice(0, 160)}` : '';
  } catch {
    return '';
  }
}

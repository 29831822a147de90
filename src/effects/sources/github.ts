/** GitHub's releases, asked politely: conditional requests, obeyed limits, capped answers. */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import type { Quota } from '../../machines/pacing.ts';
import type { PublishedRelease } from '../../machines/release.ts';
import { readStream } from '../../support/bounded.ts';
import { Fault } from '../../support/fault.ts';
import { unmistakable, withoutSecrets } from '../../support/redact.ts';
import { getAsset } from '../github/asset.ts';
import { type Answer, type Http, hostOf, lateFault, networkFault } from '../github/http.ts';
import { isLimit, limitedUntilMs, quotaOf } from '../github/rate-limit.ts';
import { messageOf, refusalFault } from '../github/refusal.ts';
import { type Page, type ReleaseList, readList } from '../github/release-list.ts';
import {
  attestations,
  publishedRelease,
  releasePage,
  repository,
  slimRelease,
} from '../github/schema.ts';
import { RateLimited, type Source } from './source.ts';

/**
 * Endless data: an answer beyond this is not a release. A thousand assets, GitHub's most, take two
 * thirds of it. Decoded bytes, so a compressed bomb counts in full.
 */
const MAX_METADATA_BYTES = 3 * 1024 * 1024;
/** https://docs.github.com/en/rest/about-the-rest-api/api-versions */
const API_VERSION = '2022-11-28';
const ANSWER_TIMEOUT_MS = 60_000;
/**
 * Poisoned cache: an ETag of some kB would come back as 431 at every poll. GitHub's have 67
 * characters.
 */
const SENDABLE_ETAG = /^[\x21-\x7e]{1,256}$/;

/**
 * Statuses about authorization and rate limits: a request without a condition would get the same.
 */
const NOT_ABOUT_CONDITION = new Set([401, 403, 404, 407, 429, 451]);

/**
 * One answer for each address. ETags differ from token to token: `token` is the fingerprint of the
 * one it was got with.
 */
export type CachedAnswer = { etag: string; body: string; token?: string };
/** Got with no token that there is, anonymous included. */
const FORGOTTEN: CachedAnswer = { etag: '', body: '' };
/** Where answers are kept for conditional requests. */
export type AnswerCache = {
  read(key: string): CachedAnswer | null;
  write(key: string, entry: CachedAnswer): void;
};

/** `secrets` are taken out of every answer; `debug` is told what was passed over. */
export type GitHubOptions = {
  http: Http;
  repository: string;
  cache: AnswerCache;
  now: () => number;
  secrets?: () => readonly string[];
  debug?: (message: string) => void;
};

type Question<T> = {
  resource: string;
  schema: z.ZodType<T>;
  strikes: number;
  slim?: (json: unknown) => unknown;
};

export class GitHub implements Source {
  readonly #options: GitHubOptions;
  /** As the newest answer said. */
  quota: Quota | null = null;

  constructor(options: GitHubOptions) {
    this.#options = options;
  }

  /**
   * Stands for the token in use, in what is kept about limits and answers: a new token ends what
   * was said to the old one.
   */
  get identity(): string {
    return identityOf(this.#options.http.options.token());
  }

  /**
   * What the maintainers mark as latest. Null if there is none. `strikes` counts limits in a row.
   */
  async latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#release('/releases/latest', strikes, signal);
  }

  async tagged(
    tag: string,
    strikes: number,
    signal: AbortSignal,
  ): Promise<PublishedRelease | null> {
    return this.#release(`/releases/tags/${encodeURIComponent(tag)}`, strikes, signal);
  }

  async #release(
    resource: string,
    strikes: number,
    signal: AbortSignal,
  ): Promise<PublishedRelease | null> {
    return (
      (await this.#read({ resource, schema: publishedRelease, strikes, slim: slimRelease }, signal))
        ?.value ?? null
    );
  }

  /**
   * GitHub's numeric id, which a repository keeps when it is renamed, and which no other ever gets.
   * Null if it is not told.
   */
  async repositoryId(signal: AbortSignal): Promise<number | null> {
    return (
      (await this.#read({ resource: '', schema: repository, strikes: 0 }, signal))?.value.id ?? null
    );
  }

  /**
   * Sigstore bundles that GitHub keeps for these bytes. See
   * https://docs.github.com/en/rest/repos/attestations
   */
  async attestations(sha256: string, signal: AbortSignal): Promise<unknown[]> {
    const answer = await this.#read(
      { resource: `/attestations/sha256:${sha256}?per_page=30`, schema: attestations, strikes: 0 },
      signal,
    );
    return (
      answer?.value.attestations.flatMap(({ bundle }) => (bundle == null ? [] : [bundle])) ?? []
    );
  }

  /** Public addresses are asked where the quota is used up. */
  fetch(...[asset, headers, signal, options]: Parameters<Source['fetch']>): Promise<Answer> {
    return getAsset(this.#options.http, asset, headers, signal, options);
  }

  /**
   * All releases, as far as `maxRequests` reach. Which comes first says nothing: GitHub lists by
   * the age of the commit.
   */
  async list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList> {
    const resourceOf = ({ size, offset }: Page) =>
      `/releases?per_page=${size}&page=${offset / size + 1}`;
    const question = {
      schema: releasePage,
      strikes,
      slim: (json: unknown) => (Array.isArray(json) ? json.map(slimRelease) : json),
    };
    const planKey = keyOf(`${this.#urlOf('/releases')} plan`);
    return readList({
      maxRequests,
      nowMs: this.#options.now(),
      debug: this.#options.debug ?? (() => {}),
      plan: {
        read: () => this.#cached(planKey)?.body ?? null,
        write: (body) =>
          this.#options.cache.write(planKey, { etag: '', body, token: this.identity }),
      },
      ask: async (page) => {
        const answer = await this.#read({ resource: resourceOf(page), ...question }, signal);
        if (answer === null) throw this.#notFound();
        return answer;
      },
      recall: (page) => this.#cached(keyOf(this.#urlOf(resourceOf(page))))?.body ?? null,
    });
  }

  #urlOf(resource: string): string {
    return `${this.#options.http.options.apiUrl}/repos/${this.#options.repository}${resource}`;
  }

  /** What was answered under another token is not ours any more. */
  #cached(key: string): CachedAnswer | null {
    const cached = this.#options.cache.read(key);
    return cached?.token === this.identity ? cached : null;
  }

  /** The answer, and its text as it is kept. Null for 404. */
  async #read<T>(
    { resource, schema, strikes, slim }: Question<T>,
    outer: AbortSignal,
  ): Promise<{ value: T; body: string; bytes: number } | null> {
    const { http, cache, secrets } = this.#options;
    const url = this.#urlOf(resource);
    const key = keyOf(url);
    const cached = this.#cached(key);
    const condition =
      cached !== null && SENDABLE_ETAG.test(cached.etag) ? { 'if-none-match': cached.etag } : null;
    const signal = AbortSignal.any([outer, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
    const headers: Record<string, string> = {
      accept: 'application/vnd.github+json',
      'x-github-api-version': API_VERSION,
    };
    const ask = (conditions: Record<string, string> | null) =>
      http.get(url, { ...headers, ...conditions }, signal, { decompress: true, sameHost: true });
    let answer = await ask(condition);
    if (condition !== null && mayMeanCondition(answer.status)) {
      // What we kept may be what is refused, and would be for ever: it is forgotten, and asked for
      // once as if nothing were known.
      answer.stream.destroy();
      cache.write(key, FORGOTTEN);
      answer = await ask(null);
    }
    this.quota = quotaOf(answer.headers) ?? this.quota;
    if (answer.status === 304 && cached !== null && condition !== null) {
      answer.stream.destroy();
      return { value: parse(cached.body, schema, url).value, body: cached.body, bytes: 0 };
    }
    if (answer.status === 404) {
      answer.stream.destroy();
      return null;
    }
    const sent = await readCapped(answer);
    // A server may say our token back to us, in a tag that would then name files and stand
    // everywhere.
    const text = withoutSecrets(sent, unmistakable(secrets?.() ?? []));
    if (answer.status !== 200) throw this.#refusal(answer, text, strikes);
    const { value, json } = parse(text, schema, url);
    const body = slim === undefined ? text : JSON.stringify(slim(json));
    // Blacked out, it would come back as another answer under the same ETag.
    const { etag = '' } = answer.headers;
    if (SENDABLE_ETAG.test(etag) && text === sent)
      cache.write(key, { etag, body, token: this.identity });
    return { value, body, bytes: sent.length };
  }

  /** 404 is GitHub's word for "does not exist" and for "not for you" alike. */
  #notFound(): Fault {
    const { repository, http } = this.#options;
    const remedy =
      http.options.token() === null
        ? 'if it is private, set UPDATE_GH_TOKEN'
        : 'check that the token may read it (Contents: read)';
    return new Fault(
      'NOT_FOUND',
      `${repository} has no release, or does not exist: check GH_USER and GH_REPO; ${remedy}`,
    );
  }

  notFound(): Fault {
    return this.#notFound();
  }

  #refusal({ status, headers, url }: Answer, body: string, strikes: number): Fault {
    const host = hostOf(url);
    const hasToken = this.#options.http.options.token() !== null;
    if (!isLimit(status, headers, body))
      return refusalFault({ status, headers, body, host, hasToken });
    const untilMs = limitedUntilMs(headers, this.#options.now(), strikes);
    const remedy = hasToken
      ? 'set a longer SLEEP if this repeats'
      : 'set a token (UPDATE_GH_TOKEN) to raise the limit';
    const message = messageOf(body);
    const quoted = message === null ? '' : `: ${message}`;
    return new RateLimited(
      `${host} answers no requests until ${new Date(untilMs).toISOString()} (${status}${quoted}): ${remedy}`,
      untilMs,
    );
  }
}

/** Tells tokens apart, and shows none of them. */
export function identityOf(token: string | null): string {
  return token === null
    ? 'anonymous'
    : createHash('sha256').update(token).digest('hex').slice(0, 16);
}

function mayMeanCondition(status: number): boolean {
  return status >= 400 && status < 500 && !NOT_ABOUT_CONDITION.has(status);
}

function keyOf(url: string): string {
  return createHash('sha256').update(url).digest('hex');
}

async function readCapped(answer: Answer): Promise<string> {
  const host = hostOf(answer.url);
  const tooLarge = () =>
    new Fault(
      'ANSWER_TOO_LARGE',
      `${host} sent more than ${MAX_METADATA_BYTES} bytes of metadata: that is not a GitHub response; check UPDATE_GH_API_URL`,
    );
  const bounds = {
    maxBytes: MAX_METADATA_BYTES,
    withinMs: ANSWER_TIMEOUT_MS,
    tooLarge,
    tooLate: () => lateFault(answer.url, ANSWER_TIMEOUT_MS),
  };
  try {
    return (await readStream(answer.stream, bounds)).toString('utf8');
  } catch (error) {
    throw networkFault(error, answer.url);
  }
}

function parse<T>(body: string, schema: z.ZodType<T>, url: string): { value: T; json: unknown } {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (cause) {
    throw new Fault(
      'ANSWER_MALFORMED',
      `${hostOf(url)} sent something that is not JSON: a captive portal or proxy, or a wrong UPDATE_GH_API_URL`,
      { cause },
    );
  }
  const result = schema.safeParse(json);
  if (result.success) return { value: result.data, json };
  const [issue] = result.error.issues;
  throw new Fault(
    'ANSWER_MALFORMED',
    `${hostOf(url)} sent something that is not a release (${issue?.path.join('.') || 'answer'}: ${issue?.message}): check UPDATE_GH_API_URL`,
  );
}

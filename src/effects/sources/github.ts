/** GitHub's releases, asked politely: conditional requests, obeyed limits, capped answers. */
import type { z } from 'zod';
import type { Quota } from '../../machines/pacing.ts';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import { getAsset } from '../github/asset.ts';
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
import { type Answer, type Http, hostOf } from '../http/http.ts';
import {
  type AnswerCache,
  askForText,
  type CachedAnswer,
  cachedAs,
  identityOf,
  keyOf,
  parseAnswer,
} from './conditional.ts';
import { RateLimited, type Source } from './source.ts';

/** https://docs.github.com/en/rest/about-the-rest-api/api-versions */
const API_VERSION = '2022-11-28';
const ORIGIN = { isNo: 'a GitHub response', remedy: 'check UPDATE_GH_API_URL' };

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

  #cached(key: string): CachedAnswer | null {
    return cachedAs(this.identity, this.#options.cache, key);
  }

  /** The answer, and its text as it is kept. Null for 404. */
  async #read<T>(
    { resource, schema, strikes, slim }: Question<T>,
    signal: AbortSignal,
  ): Promise<{ value: T; body: string; bytes: number } | null> {
    const { http, cache, secrets } = this.#options;
    const url = this.#urlOf(resource);
    const headers = {
      accept: 'application/vnd.github+json',
      'x-github-api-version': API_VERSION,
    };
    const said = await askForText(url, headers, signal, {
      http,
      cache,
      identity: this.identity,
      secrets: secrets?.() ?? [],
      origin: ORIGIN,
    });
    this.quota = quotaOf(said.headers) ?? this.quota;
    if (said.kind === 'missing') return null;
    if (said.kind === 'unchanged')
      return { value: parse(said.text, schema, url).value, body: said.text, bytes: 0 };
    const { answer, text, bytes } = said;
    if (answer.status !== 200) throw this.#refusal(answer, text, strikes);
    const { value, json } = parse(text, schema, url);
    const body = slim === undefined ? text : JSON.stringify(slim(json));
    said.keep(body);
    return { value, body, bytes };
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

function parse<T>(body: string, schema: z.ZodType<T>, url: string): { value: T; json: unknown } {
  return parseAnswer(body, schema, url, { kind: 'a release', setting: 'UPDATE_GH_API_URL' });
}

/**
 * GitHub's API; and without a token, which would have a quota of its own, its web pages while the
 * API says "limit". Where they don't serve either, the limit is what is told.
 */
import { isLimitInForce } from '../../machines/pacing.ts';
import type { AnswerCache } from './conditional.ts';
import { RateLimited, type Source } from './source.ts';

type NumberedSource = Source & { repositoryId(signal: AbortSignal): Promise<number | null> };
type SizingSource = NumberedSource & Required<Pick<Source, 'sizeOf'>>;
export type GitHubOrWebOptions = {
  api: NumberedSource;
  web: SizingSource;
  cache: AnswerCache;
  now: () => number;
  hasToken: () => boolean;
  /** Told when a limit begins; `untilMs` is wall clock. */
  onLimit: (untilMs: number) => void;
};

/** Kept, so that the next start of a program that ends after each check does not ask in vain. */
export const LIMIT_KEY = 'limited-until';

export class GitHubOrWeb implements Source {
  readonly #options: GitHubOrWebOptions;
  #webUntilMs: number | null = null;

  constructor(options: GitHubOrWebOptions) {
    this.#options = options;
  }

  get identity(): string {
    return this.#options.api.identity;
  }

  /** What is used up paces nobody who asks elsewhere. */
  get quota(): Source['quota'] {
    return this.#webUntilMs === null ? this.#options.api.quota : null;
  }

  get webUntilMs(): number | null {
    return this.#webUntilMs;
  }

  latest(...args: Parameters<Source['latest']>): ReturnType<Source['latest']> {
    return this.#ask((source) => source.latest(...args));
  }

  tagged(...args: Parameters<Source['tagged']>): ReturnType<Source['tagged']> {
    return this.#ask((source) => source.tagged(...args));
  }

  list(...args: Parameters<Source['list']>): ReturnType<Source['list']> {
    return this.#ask((source) => source.list(...args));
  }

  repositoryId(signal: AbortSignal): Promise<number | null> {
    return this.#ask((source) => source.repositoryId(signal));
  }

  attestations(...args: Parameters<Source['attestations']>): ReturnType<Source['attestations']> {
    return this.#options.api.attestations(...args);
  }

  notFound(): ReturnType<Source['notFound']> {
    return this.#options.api.notFound();
  }

  fetch(...args: Parameters<Source['fetch']>): ReturnType<Source['fetch']> {
    return this.#options.api.fetch(...args);
  }

  /** The API told it, and then it is 0, or the web did not. */
  async sizeOf(...[asset, signal]: Parameters<Required<Source>['sizeOf']>): Promise<number> {
    return asset.url === asset.browserUrl ? this.#options.web.sizeOf(asset, signal) : 0;
  }

  async #ask<T>(question: (source: NumberedSource) => Promise<T>): Promise<T> {
    const { api, web, cache, now, hasToken, onLimit } = this.#options;
    this.#webUntilMs = null;
    if (hasToken()) return question(api);
    const until = Number(cache.read(LIMIT_KEY)?.body ?? 0);
    let limit = new RateLimited(
      `GitHub's API answers no requests until ${new Date(until).toISOString()}`,
      until,
    );
    if (!isLimitInForce(until, now())) {
      try {
        return await question(api);
      } catch (error) {
        if (!(error instanceof RateLimited)) throw error;
        limit = error;
        cache.write(LIMIT_KEY, { etag: '', body: `${limit.untilMs}` });
        onLimit(limit.untilMs);
      }
    }
    this.#webUntilMs = limit.untilMs;
    return question(web).catch(() => {
      throw limit;
    });
  }
}

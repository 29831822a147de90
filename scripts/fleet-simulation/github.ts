/**
 * GitHub as far as `check` and a download see it: one repository, and a quota of requests for each
 * address. A window of the quota begins with its first request and ends an hour later.
 */
import { limitedUntilMs } from '../../src/effects/github/rate-limit.ts';
import { RateLimited, type ReleaseSource } from '../../src/effects/sources/source.ts';
import type { Quota } from '../../src/machines/pacing.ts';
import type { PublishedRelease } from '../../src/machines/release.ts';
import { Fault } from '../../src/support/fault.ts';
import { digestOf } from '../../test/support/machine.ts';

const HOUR_MS = 3_600_000;

type Window = { resetAt: number; used: number };
type Options = { quotaPerHour: number; now: () => number; sinceMs: number };

export class SimulatedGitHub {
  /** All that is published, the newest first. */
  published: readonly PublishedRelease[];
  /** Answers and refusals since `sinceMs`, by address and hour. */
  readonly hours = new Map<string, { answered: number; refused: number }>();
  readonly #options: Options;
  readonly #windows = new Map<number, Window>();

  constructor(options: Options, published: readonly PublishedRelease[]) {
    this.#options = options;
    this.published = published;
  }

  /** One request from this address. Throws `RateLimited` when its quota is used up. */
  ask(address: number, strikes: number): Quota {
    const { quotaPerHour, now } = this.#options;
    const window = this.#windowOf(address);
    const isRefused = window.used >= quotaPerHour;
    this.#count(address, isRefused);
    if (isRefused) {
      const reset = String(Math.ceil(window.resetAt / 1000));
      const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset };
      throw new RateLimited('the quota is used up', limitedUntilMs(headers, now(), strikes));
    }
    window.used++;
    return {
      limit: quotaPerHour,
      remaining: quotaPerHour - window.used,
      resetAt: Math.ceil(window.resetAt / 1000) * 1000,
    };
  }

  /** What `check` asks of its client, for a container behind this address. */
  clientOf(address: number): ReleaseSource {
    const client = {
      identity: 'simulated',
      quota: null as Quota | null,
      latest: async (strikes: number) => {
        client.quota = this.ask(address, strikes);
        return this.published[0] ?? null;
      },
      list: async (strikes: number) => {
        client.quota = this.ask(address, strikes);
        return { releases: [...this.published], isComplete: true };
      },
      tagged: async (tag: string, strikes: number) => {
        client.quota = this.ask(address, strikes);
        return this.published.find((release) => release.tag === tag) ?? null;
      },
      notFound: () => new Fault('NOT_FOUND', 'there is no release'),
    };
    return client;
  }

  #windowOf(address: number): Window {
    const now = this.#options.now();
    const known = this.#windows.get(address);
    if (known !== undefined && now < known.resetAt) return known;
    const fresh = { resetAt: now + HOUR_MS, used: 0 };
    this.#windows.set(address, fresh);
    return fresh;
  }

  #count(address: number, isRefused: boolean): void {
    const sinceMs = this.#options.now() - this.#options.sinceMs;
    if (sinceMs < 0) return;
    const key = `${address}/${Math.floor(sinceMs / HOUR_MS)}`;
    const hour = this.hours.get(key) ?? { answered: 0, refused: 0 };
    hour[isRefused ? 'refused' : 'answered']++;
    this.hours.set(key, hour);
  }
}

/** A release with one archive, as `check` reads it. */
export function published(version: string, at: number): PublishedRelease {
  return {
    tag: `v${version}`,
    draft: false,
    prerelease: false,
    publishedAt: new Date(at).toISOString(),
    urgent: false,
    assets: [
      {
        id: 1,
        name: `app_${version}_linux_amd64.tar.gz`,
        url: 'https://api.github.com/repos/acme/app/releases/assets/1',
        browserUrl: 'https://github.com/acme/app/releases/download/app.tar.gz',
        sizeBytes: 20_000_000,
        digest: digestOf(version),
        uploaded: true,
      },
    ],
  };
}

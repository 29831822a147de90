/** The source as it is configured for a registry of a test. */
import { Http } from '../../../src/effects/http/http.ts';
import type { CachedAnswer } from '../../../src/effects/sources/conditional.ts';
import { Oci, type OciOptions } from '../../../src/effects/sources/oci.ts';
import { NAME } from './registry.ts';

export const NOW = Date.parse('2026-03-01T00:00:00Z');
export const signal = () => AbortSignal.timeout(60_000);

export type SourceOptions = Partial<OciOptions> & {
  kept?: Map<string, CachedAnswer>;
  assetHosts?: readonly string[];
  token?: () => string | null;
  proxy?: string;
};

export function httpFor(origin: string, options: SourceOptions = {}): Http {
  const { assetHosts = [new URL(origin).hostname], token = () => null, proxy } = options;
  return new Http({
    userAgent: 'test',
    apiUrl: origin,
    setting: 'UPDATE_SOURCE_URL',
    assetHosts,
    mayBePlain: () => true,
    token,
    proxyEnvironment: { HTTPS_PROXY: proxy },
  });
}

/** Versions by their text, which is enough here; everything that begins with `v` is allowed. */
export function sourceFor(origin: string, options: SourceOptions = {}): Oci {
  const { kept = new Map<string, CachedAnswer>(), ...overrides } = options;
  const http = httpFor(origin, options);
  return new Oci({
    http,
    origin,
    name: NAME,
    moreHosts: [],
    cache: {
      read: (key) => kept.get(key) ?? null,
      write: (key, entry) => void kept.set(key, entry),
    },
    now: () => NOW,
    secrets: () => [],
    debug: () => {},
    newestFirst: (tags) =>
      tags
        .filter((tag) => /^v\d/.test(tag))
        .toSorted()
        .toReversed(),
    suffices: () => true,
    ...overrides,
  });
}

/** Where releases come from, as people and programs are told. */
import type { Config } from '../config/config.ts';
import type { FollowedSource } from '../machines/model.ts';
import { isLimitInForce } from '../machines/pacing.ts';
import type { ShownSource } from '../report/source.ts';
import { formatTime } from '../report/words.ts';

export function followedSource({ source, apiUrl, repository }: Config): FollowedSource {
  const { name } = source;
  if (name === 'github') return { name, url: shownUrl(apiUrl) };
  const url = shownUrl(source.url ?? webUrlOf(apiUrl));
  // A registry alone means the repository of that name there.
  const isRegistryAlone = name === 'oci' && new URL(url).pathname === '/';
  return { name, url: isRegistryAlone ? `${url}/${repository.toLowerCase()}` : url };
}

/**
 * `apiLimitedUntil`: wall clock; web pages stand in for GitHub's API until then, unless there is a
 * token, which has a quota of its own.
 */
export function shownSource(config: Config, apiLimitedUntil: number): ShownSource {
  const isByWeb =
    config.source.name === 'github' &&
    config.token() === null &&
    isLimitInForce(apiLimitedUntil, Date.now());
  return { ...followedSource(config), webUntil: isByWeb ? formatTime(apiLimitedUntil) : null };
}

/** https://api.github.com serves https://github.com, and https://HOST/api/v3 serves https://HOST. */
export function webUrlOf(apiUrl: string): string {
  const { protocol, host, origin } = new URL(apiUrl);
  return host === 'api.github.com' ? `${protocol}//github.com` : origin;
}

/** A user, a password or a query may be somebody's key. */
function shownUrl(address: string): string {
  const { protocol, host, pathname } = new URL(address);
  return `${protocol}//${host}${pathname.replace(/\/+$/, '')}`;
}

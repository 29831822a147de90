/** Which source stands behind each name of UPDATE_SOURCE. */
import type { Config } from '../config/config.ts';
import type { SettingName } from '../config/settings.ts';
import { Http, type HttpOptions } from '../effects/github/http.ts';
import type { AnswerCache } from '../effects/sources/conditional.ts';
import { Directory, type Shelf } from '../effects/sources/directory.ts';
import { FileShelf } from '../effects/sources/directory-file.ts';
import { HttpShelf } from '../effects/sources/directory-http.ts';
import { GitHub } from '../effects/sources/github.ts';
import type { Source } from '../effects/sources/source.ts';
import type { Parts } from './compose.ts';
import { programVersion } from './image.ts';
import { trustOf } from './rules.ts';

const SOURCES: Record<Config['source']['name'], (parts: Parts, cache: AnswerCache) => Source> = {
  github: (parts, cache) =>
    new GitHub({
      http: httpOf(parts, parts.config.apiUrl, parts.config.assetHosts),
      cache,
      ...optionsOf(parts),
    }),
  directory: (parts, cache) => {
    const { conditions, minisignKeys } = trustOf(parts.config);
    return new Directory({
      shelf: shelfOf(parts, cache),
      minisignKeys: conditions.includes('minisign') ? minisignKeys : null,
    });
  },
};

export function createSource(parts: Parts, cache: AnswerCache): Source {
  return SOURCES[parts.config.source.name](parts, cache);
}

function shelfOf(parts: Parts, cache: AnswerCache): Shelf {
  const { source, moreAssetHosts } = parts.config;
  const { url } = source;
  if (url === null) throw new Error('invariant: contradictions.ts asks for UPDATE_SOURCE_URL');
  if (url.startsWith('file:')) return new FileShelf(url);
  const http = httpOf(parts, url, [new URL(url).hostname, ...moreAssetHosts], 'UPDATE_SOURCE_URL');
  return new HttpShelf({ http, cache, url, now: Date.now, secrets: parts.config.secrets });
}

/** `url`: where the token goes, and nowhere else. */
function httpOf(
  parts: Parts,
  url: string,
  assetHosts: readonly string[],
  setting: SettingName = 'UPDATE_GH_API_URL',
): Http {
  const { config } = parts;
  const options: HttpOptions = {
    userAgent: userAgentOf(parts),
    apiUrl: url,
    assetHosts,
    setting,
    mayBePlain: config.mayBePlain,
    token: config.token,
    proxyEnvironment: config.proxy,
  };
  return new Http(options);
}

function optionsOf({ config, places, log }: Parts) {
  const { repository } = places;
  return { repository, now: Date.now, secrets: config.secrets, debug: log.debug };
}

export function userAgentOf({ places }: Parts): string {
  return `self-update/${programVersion()} (+https://github.com/${places.repository})`;
}

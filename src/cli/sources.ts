/** Which source stands behind each name of UPDATE_SOURCE. */
import type { Config } from '../config/config.ts';
import { Http, type HttpOptions } from '../effects/github/http.ts';
import type { AnswerCache } from '../effects/sources/conditional.ts';
import { GitHub } from '../effects/sources/github.ts';
import type { Source } from '../effects/sources/source.ts';
import type { Parts } from './compose.ts';
import { programVersion } from './image.ts';

const SOURCES: Record<Config['source']['name'], (parts: Parts, cache: AnswerCache) => Source> = {
  github: (parts, cache) =>
    new GitHub({ http: httpOf(parts, parts.config.apiUrl), cache, ...optionsOf(parts) }),
};

export function createSource(parts: Parts, cache: AnswerCache): Source {
  return SOURCES[parts.config.source.name](parts, cache);
}

/** `url`: where the token goes, and nowhere else. */
function httpOf(parts: Parts, url: string): Http {
  const { config } = parts;
  const options: HttpOptions = {
    userAgent: userAgentOf(parts),
    apiUrl: url,
    assetHosts: config.assetHosts,
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

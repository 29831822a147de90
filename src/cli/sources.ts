/** Which source stands behind each name of UPDATE_SOURCE. */
import type { Config } from '../config/config.ts';
import { registryAddress } from '../config/registry-address.ts';
import { Http, type HttpOptions } from '../effects/http/http.ts';
import type { AnswerCache } from '../effects/sources/conditional.ts';
import { Directory, type Shelf } from '../effects/sources/directory.ts';
import { FileShelf } from '../effects/sources/directory-file.ts';
import { HttpShelf } from '../effects/sources/directory-http.ts';
import { Forgejo } from '../effects/sources/forgejo.ts';
import { GitHub } from '../effects/sources/github.ts';
import { GitHubOrWeb } from '../effects/sources/github-or-web.ts';
import { GitHubWeb } from '../effects/sources/github-web.ts';
import { GitLab, gitLabHeaders } from '../effects/sources/gitlab.ts';
import { Oci } from '../effects/sources/oci.ts';
import { knownHosts } from '../effects/sources/oci-hosts.ts';
import type { Source } from '../effects/sources/source.ts';
import { allowedTags, chooseTagged, isDue } from '../machines/release.ts';
import { versionFromTag } from '../machines/version.ts';
import { webUrlOf } from './followed-source.ts';
import { programVersion } from './image.ts';
import { assetPatternOf, type Parts } from './parts.ts';
import { trustOf } from './rules.ts';

const SOURCES: Record<Config['source']['name'], (parts: Parts, cache: AnswerCache) => Source> = {
  github: (parts, cache) => {
    const api = gitHub(parts, cache);
    const { token } = parts.config;
    return new GitHubOrWeb({
      api,
      web: gitHubWeb(parts, cache, api),
      cache,
      now: Date.now,
      hasToken: () => token() !== null,
      onLimit: (untilMs) =>
        parts.log.info(
          `GitHub's API answers no requests until ${new Date(untilMs).toISOString()}: its web pages are followed meanwhile`,
        ),
    });
  },
  'github-web': (parts, cache) => gitHubWeb(parts, cache, gitHub(parts, cache)),
  forgejo: (parts, cache) => {
    const { url, http } = ownSource(parts);
    return new Forgejo({ ...optionsOf(parts), url, http, cache });
  },
  gitlab: (parts, cache) => {
    const { url, http } = ownSource(parts, { headersOf: gitLabHeaders });
    return new GitLab({ ...optionsOf(parts), url, http, cache, isVersion: isVersion(parts) });
  },
  directory: (parts, cache) => {
    const { conditions, minisignKeys } = trustOf(parts.config);
    return new Directory({
      shelf: shelfOf(parts, cache),
      minisignKeys: conditions.includes('minisign') ? minisignKeys : null,
    });
  },
  oci: (parts, cache) => {
    const { policy } = parts;
    return new Oci({
      ...optionsOf(parts),
      ...registryOf(parts),
      cache,
      newestFirst: (tags) => allowedTags(tags, policy),
      suffices: (release) => isDue(release, policy, Date.now()),
    });
  },
};

export function createSource(parts: Parts, cache: AnswerCache): Source {
  return SOURCES[parts.config.source.name](parts, cache);
}

function gitHub(parts: Parts, cache: AnswerCache): GitHub {
  return new GitHub({ http: httpOf(parts, parts.config.apiUrl), cache, ...optionsOf(parts) });
}

function gitHubWeb(parts: Parts, cache: AnswerCache, api: Source): GitHubWeb {
  const { config, policy, places } = parts;
  const pattern = assetPatternOf(config);
  const webUrl = config.source.url ?? webUrlOf(config.apiUrl);
  return new GitHubWeb({
    // Public pages, which are asked by nobody in particular.
    http: httpOf(parts, config.apiUrl, {
      assetHosts: [...config.assetHosts, new URL(webUrl).hostname],
      token: () => null,
    }),
    webUrl,
    repository: places.repository,
    cache,
    now: Date.now,
    secrets: config.secrets,
    api,
    // What signs them is not named there.
    suffices: (release) =>
      !config.trust.conditions.some((condition) => condition !== 'digest') &&
      chooseTagged(release, policy, pattern, Date.now()).kind === 'release',
    isVersion: isVersion(parts),
  });
}

function isVersion({ policy }: Parts): (tag: string) => boolean {
  return (tag) => versionFromTag(tag, policy.versioning, policy.tagPrefix) !== null;
}

function shelfOf(parts: Parts, cache: AnswerCache): Shelf {
  const { source, secrets } = parts.config;
  if (source.url?.startsWith('file:')) return new FileShelf(source.url, secrets);
  return new HttpShelf({ ...ownSource(parts), cache, now: Date.now, secrets });
}

/** A server of the operator's choice, whose files are where it is, or where he says. */
function ownSource(parts: Parts, others: Partial<HttpOptions> = {}): { url: string; http: Http } {
  const { source, moreAssetHosts } = parts.config;
  const { url } = source;
  if (url === null) throw new Error('invariant: contradictions.ts asks for UPDATE_SOURCE_URL');
  const http = httpOf(parts, url, {
    assetHosts: [new URL(url).hostname, ...moreAssetHosts],
    setting: 'UPDATE_SOURCE_URL',
    ...others,
  });
  return { url, http };
}

/** Downloads are redirected to where everybody knows, or where the operator says. */
function registryOf(parts: Parts) {
  const { source, moreAssetHosts: moreHosts } = parts.config;
  const address = registryAddress(source.url ?? '', parts.places.repository);
  if ('problem' in address) throw new Error('invariant: contradictions.ts asks for a repository');
  const { origin, name } = address;
  const { hostname } = new URL(origin);
  const http = httpOf(parts, origin, {
    assetHosts: [hostname, ...knownHosts(hostname).blobs, ...moreHosts],
    setting: 'UPDATE_SOURCE_URL',
  });
  return { origin, name, http, moreHosts };
}

/** `url`: where the token goes, and nowhere else. */
function httpOf(parts: Parts, url: string, others: Partial<HttpOptions> = {}): Http {
  const { config } = parts;
  const options: HttpOptions = {
    userAgent: userAgentOf(parts),
    apiUrl: url,
    assetHosts: config.assetHosts,
    mayBePlain: config.mayBePlain,
    token: config.token,
    proxyEnvironment: config.proxy,
    ...others,
  };
  return new Http(options);
}

function optionsOf({ config, places, log }: Parts) {
  const { repository } = places;
  return { repository, now: Date.now, secrets: config.secrets, debug: log.debug };
}

/** Whom to ask about requests: the page of what is followed. */
export function userAgentOf({ config: { source }, places }: Parts): string {
  const isForge = source.name === 'forgejo' || source.name === 'gitlab';
  const site = isForge ? source.url : 'https://github.com';
  return `self-update/${programVersion()} (+${site}/${places.repository})`;
}

/**
 * The address of a repository in a container registry: `https://ghcr.io/owner/app`. See "Pulling
 * manifests" in the OCI Distribution Specification.
 */

/** `origin` without a trailing slash: where the registry's API is. `name`: of the repository. */
export type RegistryAddress = { origin: string; name: string };

const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
/** Many registries take no more with their own host in front of it. */
const MAX_NAME_CHARACTERS = 255;
/** Docker Hub's API has another name than people write. */
const API_HOSTS: Readonly<Record<string, string>> = {
  'docker.io': 'registry-1.docker.io',
  'index.docker.io': 'registry-1.docker.io',
};
/** Web pages that people copy the address from, and the registry behind each. */
const PAGES: Readonly<Record<string, string>> = {
  'hub.docker.com': 'docker.io',
  'www.docker.com': 'docker.io',
  'github.com': 'ghcr.io',
  'gitlab.com': 'registry.gitlab.com',
};

/** What is wrong with it, and the remedy, as the end of a sentence; or the address. */
export function registryAddress(url: string): RegistryAddress | { problem: string } {
  const { protocol, host, hostname, pathname } = new URL(url);
  const path = pathname.replace(/^\/+|\/+$/g, '');
  const registry = PAGES[hostname];
  if (registry !== undefined)
    return {
      problem: `is a web page, not a registry. Set UPDATE_SOURCE_URL=https://${registry}/${withoutPage(path)}`,
    };
  const [name = '', reference] = path.split(/[@:]/);
  if (reference !== undefined)
    return {
      problem: `names a tag or a digest. Set the repository alone, UPDATE_SOURCE_URL=${protocol}//${host}/${name}; UPDATE_TAG follows one tag`,
    };
  if (/^v2(?:\/|$)/.test(path))
    return {
      problem:
        'begins with v2, which belongs to the API. Set the repository alone, such as UPDATE_SOURCE_URL=https://ghcr.io/owner/app',
    };
  if (path.length > MAX_NAME_CHARACTERS || !NAME.test(path))
    return {
      problem: `${path === '' ? 'names a registry and no repository' : `names no repository: small letters, digits, and "-", "_", "." between them`}. Set UPDATE_SOURCE_URL=https://ghcr.io/owner/app, in small letters`,
    };
  return { origin: `${protocol}//${API_HOSTS[host] ?? host}`, name: path };
}

/** `r/owner/app` of Docker Hub, and `owner/app` of others. */
function withoutPage(path: string): string {
  const name = path.replace(/^(?:r|repository\/docker)\//, '').toLowerCase();
  return NAME.test(name) ? name : 'owner/app';
}

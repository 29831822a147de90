/**
 * Where registries that everybody knows keep what is not at their own address: who gives out their
 * tokens, and to where downloads are redirected. Sources:
 * https://docs.docker.com/desktop/setup/allow-list/,
 * https://docs.gitlab.com/user/gitlab_com/#container-registry.
 */
type Known = { realms: readonly string[]; blobs: readonly string[] };

const KNOWN: Readonly<Record<string, Known>> = {
  'ghcr.io': { realms: [], blobs: ['pkg-containers.githubusercontent.com'] },
  'registry-1.docker.io': {
    realms: ['auth.docker.io'],
    blobs: [
      'production.cloudflare.docker.com',
      'production.cloudfront.docker.com',
      // The bucket itself: anybody may have one beside it.
      'docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com',
    ],
  },
  'registry.gitlab.com': { realms: ['gitlab.com'], blobs: ['cdn.registry.gitlab-static.net'] },
  'quay.io': { realms: [], blobs: ['*.quay.io'] },
};
const NONE: Known = { realms: [], blobs: [] };

/** Of the registry with this host name. */
export function knownHosts(hostname: string): Known {
  return Object.hasOwn(KNOWN, hostname) ? (KNOWN[hostname] ?? NONE) : NONE;
}

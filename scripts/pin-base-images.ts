/**
 * Renews scripts/base-images.lock, the digests of the Dockerfile's base images: `npm run
 * pin-base-images`. With --check nothing is asked or changed, and a lock that doesn't fit the
 * Dockerfile is an error.
 *
 * The lock has a line of `docker build --build-arg` for each image:
 * ARGUMENT=name:tag@sha256:digest. The digest is that of the index, so that it holds for every
 * architecture. See https://distribution.github.io/distribution/spec/api/
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const DOCKERFILE = path.join(import.meta.dirname, '..', 'Dockerfile');
const LOCK = path.join(import.meta.dirname, 'base-images.lock');
const DOCKER_HUB = 'https://registry-1.docker.io';
const TIMEOUT_MS = 30_000;
const INDEX_TYPES =
  'application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json';
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** An official image by its tag, and the Dockerfile's argument that names it. */
export type BaseImage = { argument: string; name: string; tag: string };

/**
 * What `ARG …_IMAGE=` names. Throws where a stage begins with anything else than such an image, an
 * earlier stage or scratch.
 */
export function baseImages(dockerfile: string): BaseImage[] {
  const images = [...dockerfile.matchAll(/^ARG (\w+_IMAGE)=([a-z0-9-]+):([\w.-]+)$/gm)].map(
    ([, argument = '', name = '', tag = '']) => ({
      argument,
      name,
      tag,
    }),
  );
  const stages = [...dockerfile.matchAll(/^FROM\s+(\S+)(?:\s+AS\s+(\S+))?/gim)];
  const allowed = new Set([
    'scratch',
    ...stages.map(([, , stage]) => stage),
    ...images.map(({ argument }) => `\${${argument}}`),
  ]);
  for (const [, from] of stages)
    if (!allowed.has(from))
      throw new Error(`FROM ${from}: name it in an ARG …_IMAGE at the top, so that it is pinned`);
  return images;
}

/** One line of the lock: the argument, and the image with its digest. */
export const lockLine = ({ argument, name, tag }: BaseImage, digest: string): string =>
  `${argument}=${name}:${tag}@${digest}`;

/**
 * The settings for `docker build`, out of the lock. Throws where it has not exactly the
 * Dockerfile's images, each with a digest.
 */
export function pinnedSettings(dockerfile: string, lock: string): string[] {
  const lines = lock.trimEnd().split('\n');
  const images = baseImages(dockerfile);
  for (const image of images) {
    const prefix = lockLine(image, '');
    if (!lines.some((line) => line.startsWith(prefix) && DIGEST.test(line.slice(prefix.length))))
      throw new Error(
        `scripts/base-images.lock has no digest for ${image.name}:${image.tag}: npm run pin-base-images`,
      );
  }
  if (images.length === 0 || lines.length !== images.length)
    throw new Error(
      'scripts/base-images.lock has other images than the Dockerfile: npm run pin-base-images',
    );
  return lines;
}

/** Of the files in this repository. */
export const readPinnedSettings = (): string[] =>
  pinnedSettings(readFileSync(DOCKERFILE, 'utf8'), readFileSync(LOCK, 'utf8'));

/** Asks the registry, with the anonymous token that it sends us for. */
export async function currentDigest(
  { name, tag }: Pick<BaseImage, 'name' | 'tag'>,
  registry = DOCKER_HUB,
): Promise<string> {
  const url = `${registry}/v2/library/${name}/manifests/${tag}`;
  const ask = (headers: Record<string, string>) =>
    fetch(url, {
      method: 'HEAD',
      headers: { accept: INDEX_TYPES, ...headers },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  let response = await ask({});
  if (response.status === 401)
    response = await ask({
      authorization: `Bearer ${await tokenFor(response.headers.get('www-authenticate') ?? '')}`,
    });
  if (!response.ok)
    throw new Error(`${new URL(registry).host} answered ${response.status} for ${name}:${tag}`);
  const digest = response.headers.get('docker-content-digest') ?? '';
  const type = response.headers.get('content-type')?.split(';')[0] ?? '';
  if (!DIGEST.test(digest) || !INDEX_TYPES.split(', ').includes(type))
    throw new Error(
      `${name}:${tag} is no index of several architectures there (${type}, ${digest})`,
    );
  return digest;
}

/** https://distribution.github.io/distribution/spec/auth/token/ */
async function tokenFor(challenge: string): Promise<string> {
  const parameters = new Map(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  );
  const realm = new URL(parameters.get('realm') ?? 'missing:');
  for (const key of ['service', 'scope']) realm.searchParams.set(key, parameters.get(key) ?? '');
  const answer = await fetch(realm, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const { token } = (await answer.json()) as { token?: unknown };
  if (typeof token !== 'string') throw new Error(`${realm.host} gave no token (${answer.status})`);
  return token;
}

async function main(): Promise<void> {
  if (process.argv.includes('--check')) {
    for (const line of readPinnedSettings()) process.stdout.write(`${line}\n`);
    return;
  }
  const images = baseImages(readFileSync(DOCKERFILE, 'utf8'));
  const lines = await Promise.all(
    images.map(async (image) => lockLine(image, await currentDigest(image))),
  );
  const lock = lines.map((line) => `${line}\n`).join('');
  process.stdout.write(lock);
  writeFileSync(LOCK, lock);
}

if (import.meta.main) await main();

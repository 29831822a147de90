/**
 * `releases.json`, the list that makes a directory a source: what it may hold, and how its entries
 * become releases. Whoever writes the directory may be hostile: everything is bounded, and no
 * address leads elsewhere than the reader allows. docs/releases.schema.json is made from this.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { fileName, printable } from '../github/schema.ts';

export const INDEX_NAME = 'releases.json';
export const SIGNATURE_NAME = `${INDEX_NAME}.minisig`;
const MAX_RELEASES = 1000;
/** As many as a release of GitHub's may carry. */
const MAX_ASSETS = 1000;
const MAX_ADDRESS_CHARACTERS = 8192;

const assetSchema = z.object({
  name: fileName,
  url: z
    .string()
    .min(1)
    .max(MAX_ADDRESS_CHARACTERS)
    .refine(isAddress, 'is neither a path inside the directory nor an http(s) address')
    .describe('relative to the index, percent-encoded, without ".."; or an http(s) address'),
  sizeBytes: z.number().int().nonnegative(),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/)
    .nullish(),
});

const releaseSchema = z.object({
  tag: printable.min(1),
  prerelease: z.boolean().nullish(),
  publishedAt: z.iso
    .datetime({ offset: true })
    .max(64)
    .nullish()
    .describe('RFC 3339; where it is missing, the age counts from when the release is first seen'),
  urgent: z.boolean().nullish(),
  assets: z
    .array(assetSchema)
    .max(MAX_ASSETS)
    .refine((assets) => areDistinct(assets.map(({ name }) => name)), 'has one name twice'),
});

export const indexSchema = z
  .object({
    latest: printable
      .min(1)
      .nullish()
      .describe('tag of the newest stable release; else the first that is no prerelease'),
    releases: z
      .array(releaseSchema)
      .max(MAX_RELEASES)
      .refine((releases) => areDistinct(releases.map(({ tag }) => tag)), 'has one tag twice'),
  })
  .refine(
    ({ latest, releases }) => latest == null || releases.some(({ tag }) => tag === latest),
    'has a `latest` that is not among its releases',
  );
export type ReleasesIndex = z.infer<typeof indexSchema>;

/**
 * Releases in the order of the index. `base` ends with a slash; `indexKey` is the key that signed
 * the index, null for none.
 */
export function releasesOf(
  index: ReleasesIndex,
  base: string,
  indexKey: string | null,
): PublishedRelease[] {
  return index.releases.map(({ tag, prerelease, publishedAt, urgent, assets }) => ({
    tag,
    draft: false,
    prerelease: prerelease ?? false,
    publishedAt: publishedAt ?? null,
    urgent: urgent ?? false,
    ...(indexKey === null ? {} : { indexKey }),
    assets: assets.map(({ name, url, sizeBytes, sha256 }) => {
      const address = new URL(url, base).href;
      return {
        id: idOf(tag, name, sizeBytes),
        name,
        url: address,
        browserUrl: address,
        sizeBytes,
        digest: sha256?.toLowerCase() ?? null,
        uploaded: true,
      };
    }),
  }));
}

/** Its maintainers' word, else the first that is no prerelease. Null if there is none. */
export function latestTagOf({ latest, releases }: ReleasesIndex): string | null {
  return latest ?? releases.find(({ prerelease }) => prerelease !== true)?.tag ?? null;
}

/** Stands for GitHub's number of an asset: another file has another one. 48 bits are exact. */
function idOf(...identity: (string | number)[]): number {
  return createHash('sha256').update(JSON.stringify(identity)).digest().readUIntBE(0, 6);
}

/**
 * Path traversal: a relative address stays below the index, however it is encoded. Which hosts may
 * be asked is the reader's to judge.
 */
function isAddress(text: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:/i.test(text)) return text.split('/').every(isPlainSegment);
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '';
}

function isPlainSegment(segment: string): boolean {
  if (/[\\?#\p{C}]/u.test(segment)) return false;
  try {
    const name = decodeURIComponent(segment);
    return name !== '' && name !== '.' && name !== '..' && !/[/\\\p{C}]/u.test(name);
  } catch {
    return false;
  }
}

function areDistinct(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}

/**
 * GitHub's release objects, parsed to what is needed. See
 * https://docs.github.com/en/rest/releases/releases
 */
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';

/** Names come from outside and end up in paths, logs and terminals. */
export const printable = z
  .string()
  .max(255)
  .regex(/^[^\p{C}]*$/u);

/** Path traversal: of an asset, wherever it is published; no directory. */
export const fileName = printable
  .min(1)
  .regex(/^[^/\\]*$/)
  .refine((name) => name !== '.' && name !== '..', 'is not the name of a file');

/**
 * Addresses and times become part of a tree's manifest, of which no more is read back than a
 * manifest needs.
 */
export const address = z.url({ protocol: /^https?$/ }).max(8192);

const asset = z.object({
  id: z.number().int().nonnegative(),
  name: fileName,
  url: address,
  browser_download_url: address,
  size: z.number().int().nonnegative(),
  state: z.string(),
  digest: z.string().nullish(),
});

const release = z.object({
  tag_name: printable.min(1),
  draft: z.boolean(),
  prerelease: z.boolean(),
  published_at: z.iso.datetime({ offset: true }).max(64).nullish(),
  body: z.string().nullish(),
  // A release may carry a thousand assets; more is not a release.
  assets: z.array(asset).max(1000),
});

/** Other algorithms than sha256 count as no digest. */
function sha256Of(digest: string | null | undefined): string | null {
  return /^sha256:([0-9a-f]{64})$/i.exec(digest ?? '')?.[1]?.toLowerCase() ?? null;
}

/**
 * A line of the notes that says nothing but `urgent`, or `Urgency: urgent`, also in bold or in a
 * list.
 */
const URGENT_LINE = /^[ \t>*_#-]*(?:(?:update[ -])?urgency:[ \t]*)?urgent[ \t*_.!]*\r?$/im;

export function isUrgentNote(body: string | null | undefined): boolean {
  return URGENT_LINE.test(body ?? '');
}

/**
 * An answer as it is kept for conditional requests: what is read from it and no more. Counts of
 * downloads change all the time, notes are long, and descriptions of uploaders make up most of it.
 * Parses as `publishedRelease` like the answer itself; null for what does not.
 */
export function slimRelease(json: unknown): unknown {
  const parsed = release.safeParse(json);
  return parsed.success
    ? { ...parsed.data, body: isUrgentNote(parsed.data.body) ? 'urgent' : '' }
    : null;
}

export const publishedRelease = release.transform(
  (parsed): PublishedRelease => ({
    tag: parsed.tag_name,
    draft: parsed.draft,
    prerelease: parsed.prerelease,
    publishedAt: parsed.published_at ?? null,
    urgent: isUrgentNote(parsed.body),
    assets: parsed.assets.map(({ id, name, url, browser_download_url, size, state, digest }) => ({
      id,
      name,
      url,
      browserUrl: browser_download_url,
      sizeBytes: size,
      digest: sha256Of(digest),
      uploaded: state === 'uploaded',
    })),
  }),
);
export const repository = z.object({ id: z.number().int().positive() });

/**
 * Bundles are parsed where they are checked. Each may be missing: the description requires none of
 * its fields.
 */
export const attestations = z.object({
  attestations: z.array(z.object({ bundle: z.unknown().optional() })).max(100),
});

/**
 * A page of the list. Each is parsed by itself: one that does not fit is passed over, not all of
 * them.
 */
export const releasePage = z.array(z.unknown()).max(100);

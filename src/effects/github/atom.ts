/**
 * The feed of a repository's releases, `/OWNER/REPO/releases.atom`: the ten newest, prereleases
 * among them, and what it does not say is which are prereleases. Pure. See RFC 4287.
 */

/** `updatedAt`: as written, RFC 3339. */
export type FeedEntry = { tag: string; updatedAt: string };
/** `repositoryId`: null where there is no entry to tell it. */
export type Feed = { repositoryId: number | null; entries: FeedEntry[] };

/** Ten are sent. */
const MAX_ENTRIES = 100;
/** `tag:github.com,2008:Repository/<number>/<tag>`. An Enterprise server writes its own name. */
const ID = /<id>tag:[^<]{1,255}:Repository\/(\d{1,15})\/([^<]{1,2000})<\/id>/;
const UPDATED = /<updated>(\d{4}-\d\d-\d\dT[\d:.]{5,20}(?:Z|[+-]\d\d:\d\d))<\/updated>/;
const ENTITIES: Record<string, string> = {
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
  '&apos;': "'",
  '&amp;': '&',
};

/** Null for what is no feed. Titles and notes are escaped in it, so no `<id>` stands in them. */
export function readFeed(text: string): Feed | null {
  if (!/<feed[\s>]/.test(text)) return null;
  const entries: FeedEntry[] = [];
  const ids = new Set<number>();
  // A pattern from `<entry>` to its end would take the square of a hostile text's length.
  for (const part of text.split('</entry>').slice(0, -1)) {
    const entry = part.slice(part.lastIndexOf('<entry>'));
    const [, id, tag] = ID.exec(entry) ?? [];
    const updatedAt = UPDATED.exec(entry)?.[1];
    if (id === undefined || tag === undefined || updatedAt === undefined) continue;
    ids.add(Number(id));
    entries.push({
      tag: tag.replace(/&(?:lt|gt|quot|apos|amp|#39);/g, (name) => ENTITIES[name] ?? name),
      updatedAt,
    });
    if (entries.length === MAX_ENTRIES) break;
  }
  const [repositoryId = null] = ids;
  // Entries of two repositories are no feed of one.
  return ids.size > 1 ? null : { repositoryId, entries };
}

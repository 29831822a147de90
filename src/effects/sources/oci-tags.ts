/** The tags of a repository, page after page. See "Listing tags" in the specification. */
import { Fault } from '../../support/fault.ts';
import type { Said } from './conditional.ts';
import { parseAnswer } from './conditional.ts';
import { isReleaseTag, tagPage } from './oci-schema.ts';

/** What registries send at most, or less. */
const PAGE_SIZE = 1000;
/** Endless data: a repository that has more is tagged by machines, once for each commit. */
const MAX_TAGS = 20_000;
const KIND = { kind: 'a list of tags', setting: 'UPDATE_SOURCE_URL' };

/**
 * In the order of the registry, which says nothing. Null where there is no such repository. Throws
 * `Fault`; also where they have no end, since the newest could be among the others.
 */
export async function readTags({
  url,
  where,
  maxRequests,
  ask,
}: {
  url: string;
  where: string;
  maxRequests: number;
  ask: (url: string) => Promise<Exclude<Said, { kind: 'missing' }> | null>;
}): Promise<string[] | null> {
  let tags: string[] = [];
  let query: string | null = `?n=${PAGE_SIZE}`;
  for (let request = 1; query !== null; request++) {
    if (request > maxRequests) throw tooMany(where, tags.length);
    const page = `${url}${query}`;
    const said = await ask(page);
    if (said === null) return null;
    const { value } = parseAnswer(said.text, tagPage, page, KIND);
    tags = tags.concat((value.tags ?? []).filter(isReleaseTag));
    // Also by one page, whose size is the registry's to choose.
    if (tags.length > MAX_TAGS) throw tooMany(where, MAX_TAGS);
    if (said.kind === 'told') said.keep(said.text);
    query = nextOf(said.headers['link'], page);
  }
  return tags;
}

function tooMany(where: string, count: number): Fault {
  return new Fault(
    'LIST_TOO_LONG',
    `${where} has more than ${count} tags, in an order that says nothing, and no more are read: push releases to a repository of their own, or set UPDATE_TAG`,
  );
}

/**
 * Malicious mirror: of where the next page is, only the query counts, whatever host the link names
 * (behind a proxy that may be a wrong one anyway). See RFC 8288.
 */
function nextOf(link: string | string[] | undefined, page: string): string | null {
  const target = /<([^<>]*)>\s*;\s*rel="?next"?/i.exec([link ?? ''].flat().join(', '))?.[1];
  if (target === undefined || !URL.canParse(target, page)) return null;
  return new URL(target, page).search || null;
}

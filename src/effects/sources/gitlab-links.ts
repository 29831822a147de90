/**
 * Links of a GitLab release as assets. A link has a label of its author's choice, an address, and
 * perhaps a permanent path; lists of sums and our choice by names go by the names of files. Pure.
 * See "Release fields", https://docs.gitlab.com/user/project/releases/release_fields/
 */
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { address, printable } from '../github/schema.ts';

export const linkSchema = z.object({
  id: z.number().int().nonnegative(),
  /** Free text, unique within the release: `binary: Linux amd64`. */
  name: printable.min(1),
  url: address,
  /** The permanent path, where one was given; else the same as `url`. */
  direct_asset_url: z.string().max(8192).nullish(),
  link_type: z.string().max(255).nullish(),
});
export type Link = z.infer<typeof linkSchema>;

/** What pages are called, and not files: `…/package_files/12/download`. */
const NO_NAME =
  /^(?:download|downloads|raw|file|files|content|get|latest|tags|index|.*\.(?:php|cgi|aspx?|html?))$/i;
/** `.tar.gz`, `.sha256`; the `.3` of `app-1.2.3` is none. */
const HAS_ENDING = /\.[A-Za-z][A-Za-z0-9]{0,9}$/;

/**
 * Each is named as its file is: by the end of its address, else of its permanent path, else by its
 * label. Source archives are no links, and not among them.
 */
export function assetsOf(links: readonly Link[]): PublishedRelease['assets'] {
  const named = links
    .filter((link) => !isPage(link))
    .map((link) => ({ link, name: nameOf(link, namesOf(link)) }));
  const alike = Map.groupBy(named, ({ name }) => name);
  return named
    .map(({ link, name }) => ({
      id: link.id,
      // `linux/app` and `darwin/app`: only labels are never twice.
      name: alike.get(name)?.length === 1 ? name : link.name,
      // Not the permanent path: that is a page of the web site, which takes no token and warns of
      // other hosts.
      url: link.url,
      browserUrl: link.url,
      sizeBytes: 0,
      digest: null,
      uploaded: true,
    }))
    .filter(({ name }) => isName(name));
}

/** Of several one with an ending: `https://dl.example.com/1234` says less than `app.tar.gz`. */
function nameOf({ name: label }: Link, names: readonly string[]): string {
  return [...names, label].find((name) => HAS_ENDING.test(name)) ?? names[0] ?? label;
}

function namesOf({ url, direct_asset_url: direct }: Link): string[] {
  const addresses = direct == null || direct === url ? [url] : [url, direct];
  return addresses.flatMap((text) => fileNameOf(text) ?? []);
}

/** A runbook, or an image in a registry of containers. */
function isPage(link: Link): boolean {
  const { link_type: type } = link;
  return (
    type === 'runbook' || (type === 'image' && !namesOf(link).some((name) => HAS_ENDING.test(name)))
  );
}

function fileNameOf(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const segments = new URL(text).pathname.split('/').filter((segment) => segment !== '');
  const [last = '', before = ''] = segments.slice(-2).reverse().map(decoded);
  if (isName(last) && !NO_NAME.test(last)) return last;
  // `…/files/app.tar.gz/download`
  return isName(before) && HAS_ENDING.test(before) && !NO_NAME.test(before) ? before : null;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return '';
  }
}

/** Path traversal: an address can hold anything once it is decoded, and a label is free text. */
function isName(text: string): boolean {
  return /^[^\p{C}/\\]{1,255}$/u.test(text) && !/^\.{1,2}$/.test(text);
}

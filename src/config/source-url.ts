/** Addresses as settings: what is one, and what was meant by what is none. */
import * as z from 'zod';
import { fail } from './kinds.ts';

export function isUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** What people write in its place is told as what to set. */
export function sourceUrl() {
  return z.string().transform((text, context) => {
    if (isUrl(text) || isFileUrl(text)) return text;
    return fail(context, `is no http(s) or file: address${remedyFor(text)}`);
  });
}

/** `file:` names a directory on this machine: no host, no escapes of a slash. */
function isFileUrl(text: string): boolean {
  return /^file:\/\/\//i.test(text) && URL.canParse(text) && !/%2f/i.test(text);
}

function remedyFor(text: string): string {
  const meant = addressMeantBy(text);
  if (meant !== null) return `. Set UPDATE_SOURCE_URL=${meant}`;
  return /^(?:file:|\.)/i.test(text)
    ? '. A directory is named by three slashes and its whole path. Set UPDATE_SOURCE_URL=file:///mnt/releases/, with your path'
    : '';
}

/** A path, or an address without its scheme, or with the one that other tools give a registry. */
function addressMeantBy(text: string): string | null {
  // There may be a password in front of it, or a signature behind it, shown to nobody.
  if (/[@?]/.test(text)) return null;
  const meant = text.startsWith('/')
    ? `file://${encodeURI(text)}`
    : `https://${text.replace(/^(?:oci|docker|oras):\/\//, '')}`;
  if (isFileUrl(meant)) return meant;
  return URL.canParse(meant) && /\w\.\w/.test(new URL(meant).hostname) ? meant : null;
}

/** Where it is: without a trailing slash, and without the name of the list in a directory. */
export function sourceUrlOf(source: string, url: string | undefined): string | null {
  const place = source === 'directory' ? url?.replace(/\/releases\.json$/, '') : url;
  return place?.replace(/\/+$/, '') ?? null;
}

/** Loopback can't be listened in on from outside; everything else needs the operator's word. */
export function mayBePlain(url: string, isAllowed: boolean): boolean {
  const { hostname } = new URL(url);
  return (
    isAllowed ||
    hostname === 'localhost' ||
    hostname === '[::1]' ||
    /^127(?:\.\d{1,3}){3}$/.test(hostname)
  );
}

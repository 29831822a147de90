/**
 * What is said of a wrong setting: its name, what was given, what is wrong with it, and what would
 * be right.
 */
import type * as z from 'zod';
import { metaOf, type SettingName } from './settings.ts';

export function complaint(
  name: SettingName,
  text: string | undefined,
  issue: z.core.$ZodIssue,
): string {
  const { example, secret } = metaOf(name);
  if (text === undefined) return `${name}: is required. Example: ${name}=${example}`;
  // Of several words only the wrong one is repeated; the message says how a right one looks.
  if (issue.code === 'custom' && typeof issue.params?.['word'] === 'string')
    return `${name}: ${JSON.stringify(issue.params['word'])} ${issue.message}`;
  const shown = secret ? '' : ` ${quoted(name, text)}`;
  // A message that says what to set needs no example beside it.
  return `${name}:${shown} ${issue.message}${/\bSet [A-Z_]+=/.test(issue.message) ? '' : `. Example: ${name}=${example}`}`;
}

/**
 * A setting as it may be shown: an address without its password, also where it is no address, or
 * not the setting's, by a slip; and without its query, which may be a signature (`?sig=…`).
 */
export function quoted(name: SettingName, text: string): string {
  if (!/(?:_URL|_ISSUER|_PROXY)$/.test(name))
    return JSON.stringify(text.replace(/[^\s/@"']*:[^\s/@]*@/g, '[secret]@'));
  return JSON.stringify(
    text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/i, '$1[secret]@').replace(/\?[^#]+/, '?[secret]'),
  );
}

/** The kinds of value a setting can have: each parses a string and says what is wrong with it. */
import * as z from 'zod';
import { globMatcher } from '../support/glob.ts';
import { parseMinisignKey } from '../support/minisign-key.ts';
import { parseHeldSockets } from './listen.ts';
import { parseWindow } from './window.ts';

const UNITS: Record<string, number> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds, also with a unit (`90`, `90s`, `5m`, `1h`), as milliseconds. */
export function seconds(options: { least?: number; most?: number } = {}) {
  const { least = 0, most = 365 * 86_400 } = options;
  return z.string().transform((text, context) => {
    const match = /^(\d{1,9}(?:\.\d{1,3})?)\s*([smhd]?)$/.exec(text.trim());
    const value = match ? Number(match[1]) * (UNITS[match[2] ?? ''] ?? 1) : Number.NaN;
    if (Number.isNaN(value))
      return fail(context, 'is not a number of seconds, nor a time such as 90s, 5m, 12h or 3d');
    if (value < least) return fail(context, `is below ${least}`);
    if (value > most) return fail(context, `is above ${inUnits(most)}`);
    return Math.round(value * 1000);
  });
}

/** `3600` as `1h`: limits are told as people write them. */
function inUnits(value: number): string {
  const [unit, factor] = Object.entries(UNITS).findLast(([, size]) => value % size === 0) ?? [
    '',
    1,
  ];
  return `${value / factor}${unit}`;
}

const SIZES: Record<string, number> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
  ti: 1024 ** 4,
};

/** A number of bytes, also with a unit (`500M`, `1GiB`). */
export function bytes() {
  return z.string().transform((text, context) => {
    const match = /^(\d{1,15})\s*([kmgt]?i?)b?$/i.exec(text.trim());
    const factor = match ? SIZES[(match[2] ?? '').toLowerCase()] : undefined;
    if (!match || factor === undefined)
      return fail(context, 'is not a number of bytes, nor a size such as 500M or 2GiB');
    const value = Number(match[1]) * factor;
    return value >= 1 && Number.isSafeInteger(value) ? value : fail(context, 'is out of range');
  });
}

export function integer(least: number, most: number) {
  return z.string().transform((text, context) => {
    const value = /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN;
    return value >= least && value <= most
      ? value
      : fail(context, `is not a whole number from ${least} to ${most}`);
  });
}

const SWITCH: Record<string, boolean> = {
  '1': true,
  on: true,
  true: true,
  yes: true,
  '0': false,
  off: false,
  false: false,
  no: false,
};

/** From 0 to 1. */
export function fraction() {
  return z.string().transform((text, context) => {
    const value = /^(?:\d|\d?\.\d{1,6}|\d\.)$/.test(text.trim()) ? Number(text) : Number.NaN;
    return value >= 0 && value <= 1 ? value : fail(context, 'is not a number from 0 to 1');
  });
}

export function onOff() {
  return z
    .string()
    .transform(
      (text, context) =>
        SWITCH[text.trim().toLowerCase()] ?? fail(context, 'is neither on nor off'),
    );
}

export function oneOf<const T extends string>(...values: T[]) {
  return z.enum(values, { error: `is not one of ${values.join(', ')}` });
}

/** A glob for a file's name, of the kind that no name takes long to be compared with. */
export function fileGlob() {
  return z
    .string()
    .max(255)
    .transform((text, context) => {
      try {
        globMatcher(text);
        return text;
      } catch (error) {
        return fail(context, (error as Error).message);
      }
    });
}

/** The text as given, and the spans it names. */
export function timeWindow() {
  return z.string().transform((text, context) => {
    const spans = parseWindow(text);
    return typeof spans === 'string'
      ? fail(context, spans)
      : { text: text.trim().replace(/\s+/g, ' '), spans };
  });
}

/** Where to listen: `host:port`, `:port` for every interface, `[::1]:port`. */
export function listenAddress() {
  return z.string().transform((text, context) => {
    const match = /^(?:(?<host>[A-Za-z0-9.-]+)|\[(?<six>[0-9A-Fa-f:.]+)\])?:(?<port>\d{1,5})$/.exec(
      text,
    );
    const port = Number(match?.groups?.['port'] ?? Number.NaN);
    // Without a host: also on IPv4, where the system has both.
    if (port > 65_535) return fail(context, 'has a port above 65535');
    return match === null
      ? fail(context, 'is not host:port')
      : { host: match.groups?.['host'] ?? match.groups?.['six'] ?? null, port };
  });
}

/** Sockets that are held for the app. */
export function heldSockets() {
  return z.string().transform((text, context) => {
    const sockets = parseHeldSockets(text);
    return typeof sockets === 'string' ? fail(context, sockets) : sockets;
  });
}

const CONDITIONS = ['digest', 'minisign', 'attestation'] as const;

/** Conditions by their names, or `none` alone, which is the empty list. */
export function conditions() {
  return z.string().transform((text, context) => {
    const names = wordsOf(text.toLowerCase());
    if (names.length === 1 && names[0] === 'none') return [];
    const known = CONDITIONS.filter((name) => names.includes(name));
    const others = names.filter((name) => !CONDITIONS.some((condition) => condition === name));
    if (others.includes('none')) return fail(context, 'names none beside others');
    return others.length > 0 || known.length === 0
      ? fail(context, `is not a list of ${CONDITIONS.join(', ')}, or none`)
      : known;
  });
}

/** Words between blanks or commas. */
export function words() {
  return z.string().transform(wordsOf);
}

function wordsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Keys between blanks or commas. A wrong one is told by itself: the text may hold several. */
export function minisignKeys() {
  const message =
    'is not a minisign public key (the 56 characters after the comment in minisign.pub)';
  return z.string().transform((text, context) =>
    wordsOf(text).flatMap((word) => {
      const key = parseMinisignKey(word);
      if (key === null) context.addIssue({ code: 'custom', message, params: { word } });
      return key ?? [];
    }),
  );
}

/**
 * A proxy's address, also as `host:port` or `user:password@host:port`, which is plain http to the
 * proxy.
 */
export function proxyAddress() {
  return z.string().transform((text, context) => {
    const address = text.includes('://') ? text : `http://${text}`;
    if (!URL.canParse(address)) return fail(context, 'is not the address of a proxy');
    const { protocol, hostname } = new URL(address);
    return /^https?:$/.test(protocol) && hostname !== ''
      ? address
      : fail(context, 'is not the address of an http(s) proxy');
  });
}

/**
 * Hosts between commas or blanks; a name stands for its subdomains too, as for curl. Node takes
 * neither blanks nor that.
 */
export function noProxyHosts() {
  return z.string().transform((text) => {
    const names = wordsOf(text);
    return names
      .flatMap((name) => (/^[a-z][a-z0-9.-]*$/i.test(name) ? [name, `.${name}`] : [name]))
      .join(',');
  });
}

/**
 * What can be sent in a header: printable, without blanks and quotes. The text itself is never
 * repeated.
 */
export function token() {
  return z.string().transform((text, context) => {
    if (/^\w+\s/.test(text) && /^(?:bearer|token)\s/i.test(text))
      return fail(context, 'begins with a word that belongs to the header: give the token alone');
    if (/^["'].*["']$/s.test(text))
      return fail(context, 'is set in quotes, which became part of it: give it without them');
    if (/[\r\n]/.test(text))
      return fail(context, 'holds a line break: give the token alone, on one line');
    return /^[\x21-\x7e]+$/.test(text)
      ? text
      : fail(context, 'holds a blank, or a letter that no token has: give the token alone');
  });
}

export function matching(pattern: RegExp, complaint: string) {
  return z.string().regex(pattern, { error: complaint });
}

export function checked(test: (text: string) => boolean, complaint: string) {
  return z.string().refine(test, { error: complaint });
}

export function fail(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
}

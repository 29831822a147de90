/**
 * Token theft: no secret is written or shown, whatever text it strayed into, and in whatever form.
 * One mechanism for where text enters (a server's answer, a fact) and for where it leaves (log,
 * terminal, HTTP, notifications).
 */
import { visibleOutput } from './visible.ts';

/**
 * A shorter one is blacked out only where it stands by itself: within words it would black out half
 * of any text.
 */
const MIN_SECRET_CHARACTERS = 6;
/** Shorter than that there is nothing to tell it from other text by. */
const MIN_WORD_CHARACTERS = 4;
/** Nobody chose one that long as a word: it may be taken out of what the machine goes by, too. */
const MIN_TOKEN_CHARACTERS = 16;
/**
 * Likewise where it has characters of two kinds: `hunter2xyz`, but not `download` or `20240105`,
 * which stand in addresses and tags. No shorter than the mask: a name must not grow beyond what is
 * allowed for one.
 */
const MIN_MIXED_CHARACTERS = 8;
const KINDS = [/\p{Ll}/u, /\p{Lu}/u, /\p{N}/u, /[^\p{L}\p{N}]/u];
/** A part of base64 that short may stand in any text by chance. */
const MIN_BASE64_CHARACTERS = 7;
const MASK = '[secret]';

/**
 * What the machine goes by and made itself: a password that happens to be part of a path must not
 * change it.
 */
const OURS = new Set(['path', 'sha256', 'digest', 'fingerprint', 'type', 'code']);
/**
 * What is asked for, as a server named it: it may say a token back to us, but no word that somebody
 * chose as a password.
 */
const NAMES = new Set(['url', 'browserUrl', 'name', 'repository', 'tag', 'version']);

/** User and password of an address, ours or another's: `https://user:password@host`. */
const USERINFO = /\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/?#"'<>]{1,1024}@/gi;

export function redact(text: string, secrets: readonly string[]): string {
  const result = withoutSecrets(text, secrets);
  return result.includes('@') ? result.replace(USERINFO, `$1${MASK}@`) : result;
}

/** Only the secrets themselves: for an answer that is still to be read. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  let result = text;
  for (const secret of secrets) for (const form of formsOf(secret)) result = masked(result, form);
  return result;
}

/**
 * What is masked is left as it is, also where a secret is part of the mask: with each pass it would
 * grow.
 */
function masked(text: string, form: string | RegExp): string {
  if (typeof form !== 'string' || !MASK.includes(form)) return text.replaceAll(form, MASK);
  return text
    .split(MASK)
    .map((part) => part.replaceAll(form, MASK))
    .join(MASK);
}

/** The same for every text in a JSON value. */
export function redactJson<T>(value: T, secrets: readonly string[]): T {
  if (typeof value === 'string') return redact(value, secrets) as T;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((one) => redactJson(one, secrets)) as T;
  const tokens = unmistakable(secrets);
  const entries = Object.entries(value).map(([key, one]) => [
    key,
    OURS.has(key) ? one : redactJson(one, NAMES.has(key) ? tokens : secrets),
  ]);
  return Object.fromEntries(entries) as T;
}

/**
 * Those that are no word by chance: for text of which the machine, or a reader's parser, goes by
 * every word.
 */
export function unmistakable(secrets: readonly string[]): string[] {
  return secrets.filter(
    (secret) =>
      secret.length >= MIN_TOKEN_CHARACTERS ||
      (secret.length >= MIN_MIXED_CHARACTERS && isMixed(secret)),
  );
}

function isMixed(secret: string): boolean {
  return KINDS.filter((kind) => kind.test(secret)).length > 1;
}

/** Too short to be told from other text. */
export function isTooShortToRedact(secret: string): boolean {
  return secret.length < MIN_WORD_CHARACTERS;
}

/** Secrets are read from files; a command may write thousands of lines in a second. */
const SECRETS_FRESH_MS = 1000;

/**
 * Everything that is written goes through here, so that no command can forget it: without secrets,
 * and without what a terminal would obey.
 */
export function guardStream(stream: NodeJS.WriteStream, secrets: () => readonly string[]): void {
  const write = stream.write.bind(stream) as (chunk: unknown, ...rest: unknown[]) => boolean;
  let read = { atMs: Number.NEGATIVE_INFINITY, tokens: [] as string[] };
  const tokens = (): string[] => {
    if (performance.now() - read.atMs > SECRETS_FRESH_MS)
      read = { atMs: performance.now(), tokens: unmistakable(secrets()) };
    return read.tokens;
  };
  stream.write = (chunk: unknown, ...rest: unknown[]) =>
    write(typeof chunk === 'string' ? visibleOutput(redact(chunk, tokens())) : chunk, ...rest);
}

const known = new Map<string, readonly (string | RegExp)[]>();
/** Secrets rotate; a few at a time are in use. */
const MAX_KNOWN = 100;

function formsOf(secret: string): readonly (string | RegExp)[] {
  const found = known.get(secret);
  if (found !== undefined) return found;
  if (known.size >= MAX_KNOWN) known.clear();
  const forms = makeForms(secret);
  known.set(secret, forms);
  return forms;
}

/**
 * As it is, and as it stands in addresses, in JSON, in HTML, in hexadecimal, and within base64 at
 * whatever place. Longest first.
 */
function makeForms(secret: string): readonly (string | RegExp)[] {
  if (secret.length < MIN_WORD_CHARACTERS) return [];
  if (secret.length < MIN_SECRET_CHARACTERS)
    return [
      new RegExp(
        `(?<![0-9A-Za-z])${secret.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}(?![0-9A-Za-z])`,
        'g',
      ),
    ];
  const percent = encodeURIComponent(secret);
  // Also what encodeURIComponent leaves as it is, and no more than the form of a query needs.
  const strict = percent.replace(
    /[!'()*~._-]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const json = JSON.stringify(secret).slice(1, -1);
  const ascii = json.replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const html = secret
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
  const hex = Buffer.from(secret).toString('hex');
  const percents = [percent, percent.replaceAll('%20', '+'), strict];
  const lower = percents.map((text) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()));
  const forms = [
    secret,
    ...percents,
    ...lower,
    json,
    json.replaceAll('/', '\\/'),
    ascii,
    html,
    hex,
    hex.toUpperCase(),
    ...base64Of(secret),
  ];
  return [...new Set(forms)].sort((a, b) => b.length - a.length);
}

/**
 * What of a text stays the same in base64, wherever it begins within three bytes: `user:password`
 * is one text there.
 */
function base64Of(secret: string): string[] {
  return [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    const core = bytes
      .toString('base64')
      .slice(Math.ceil((before * 8) / 6), Math.floor((bytes.length * 8) / 6));
    return core.length < MIN_BASE64_CHARACTERS
      ? []
      : [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

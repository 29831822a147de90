/**
 * Text that a server was asked for: conditionally, capped, and without our own secrets. What every
 * source over HTTP shares.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { readStream } from '../../support/bounded.ts';
import { Fault } from '../../support/fault.ts';
import { unmistakable, withoutSecrets } from '../../support/redact.ts';
import { type Answer, type Http, hostOf, lateFault, networkFault } from '../http/http.ts';

/**
 * Endless data: an answer beyond this is not a release. A thousand assets, GitHub's most, take two
 * thirds of it. Decoded bytes, so a compressed bomb counts in full.
 */
export const MAX_METADATA_BYTES = 3 * 1024 * 1024;
const ANSWER_TIMEOUT_MS = 60_000;
/** Endless nesting: whoever walks through an answer later has only so much of a stack. */
const MAX_NESTING = 100;
/**
 * Poisoned cache: an ETag of some kB would come back as 431 at every poll. GitHub's have 67
 * characters.
 */
const SENDABLE_ETAG = /^[\x21-\x7e]{1,256}$/;
/**
 * Statuses about authorization and rate limits: a request without a condition would get the same.
 */
const NOT_ABOUT_CONDITION = new Set([401, 403, 404, 407, 429, 451]);

/**
 * One answer for each address. ETags differ from token to token: `token` is the fingerprint of the
 * one it was got with.
 */
export type CachedAnswer = { etag: string; body: string; token?: string };
/** Got with no token that there is, anonymous included. */
const FORGOTTEN: CachedAnswer = { etag: '', body: '' };
/** Where answers are kept for conditional requests. */
export type AnswerCache = {
  read(key: string): CachedAnswer | null;
  write(key: string, entry: CachedAnswer): void;
};

/** `isNo` and `remedy` end the sentences about answers of something else. */
export type Origin = { isNo: string; remedy: string };

export type TextOptions = {
  http: Http;
  cache: AnswerCache;
  /** Of the token in use: see `CachedAnswer`. */
  identity: string;
  /** Taken out of every answer. */
  secrets: readonly string[];
  origin: Origin;
};

/**
 * `unchanged`: the text that was kept. `told`: any other answer but 404; `keep` keeps its text, or
 * what is needed of it, for the next time.
 */
export type Said =
  | { kind: 'unchanged'; headers: Answer['headers']; text: string }
  | { kind: 'missing'; headers: Answer['headers'] }
  | {
      kind: 'told';
      answer: Answer;
      headers: Answer['headers'];
      text: string;
      bytes: number;
      keep(body: string): void;
    };

/** Throws `Fault`. Other statuses than 304 and 404 are the caller's to judge. */
export async function askForText(
  url: string,
  headers: Record<string, string>,
  outer: AbortSignal,
  { http, cache, identity, secrets, origin }: TextOptions,
): Promise<Said> {
  const key = keyOf(url);
  const cached = cachedAs(identity, cache, key);
  const condition =
    cached !== null && SENDABLE_ETAG.test(cached.etag) ? { 'if-none-match': cached.etag } : null;
  const signal = AbortSignal.any([outer, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
  const ask = (conditions: Record<string, string> | null) =>
    http.get(url, { ...headers, ...conditions }, signal, { decompress: true, sameHost: true });
  let answer = await ask(condition);
  if (condition !== null && mayMeanCondition(answer.status)) {
    // What we kept may be what is refused, and would be for ever: it is forgotten, and asked for
    // once as if nothing were known.
    answer.stream.destroy();
    cache.write(key, FORGOTTEN);
    answer = await ask(null);
  }
  if (answer.status === 304 && cached !== null && condition !== null) {
    answer.stream.destroy();
    return { kind: 'unchanged', headers: answer.headers, text: cached.body };
  }
  if (answer.status === 404) {
    answer.stream.destroy();
    return { kind: 'missing', headers: answer.headers };
  }
  const sent = await readCapped(answer, origin);
  // A server may say our token back to us, in a tag that would then name files and stand
  // everywhere.
  const text = withoutSecrets(sent, unmistakable(secrets));
  const { etag = '' } = answer.headers;
  return {
    kind: 'told',
    answer,
    headers: answer.headers,
    text,
    bytes: sent.length,
    keep: (body) => {
      // Blacked out, it would come back as another answer under the same ETag.
      if (SENDABLE_ETAG.test(etag) && text === sent)
        cache.write(key, { etag, body, token: identity });
    },
  };
}

/**
 * Tells tokens apart, and shows none of them. `url`: where it is used; null for the source that
 * needs no address.
 */
export function identityOf(token: string | null, url: string | null = null): string {
  if (token === null && url === null) return 'anonymous';
  const text = url === null ? (token ?? '') : JSON.stringify([url, token]);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** What was answered under another token is not ours any more. */
export function cachedAs(identity: string, cache: AnswerCache, key: string): CachedAnswer | null {
  const cached = cache.read(key);
  return cached?.token === identity ? cached : null;
}

export function keyOf(url: string): string {
  return createHash('sha256').update(url).digest('hex');
}

function mayMeanCondition(status: number): boolean {
  return status >= 400 && status < 500 && !NOT_ABOUT_CONDITION.has(status);
}

async function readCapped(answer: Answer, { isNo, remedy }: Origin): Promise<string> {
  const host = hostOf(answer.url);
  const tooLarge = () =>
    new Fault(
      'ANSWER_TOO_LARGE',
      `${host} sent more than ${MAX_METADATA_BYTES} bytes of metadata: that is not ${isNo}; ${remedy}`,
    );
  const bounds = {
    maxBytes: MAX_METADATA_BYTES,
    withinMs: ANSWER_TIMEOUT_MS,
    tooLarge,
    tooLate: () => lateFault(answer.url, ANSWER_TIMEOUT_MS),
  };
  try {
    return (await readStream(answer.stream, bounds)).toString('utf8');
  } catch (error) {
    throw networkFault(error, answer.url);
  }
}

/** `kind`: what it should have been. Throws `Fault` `ANSWER_MALFORMED`. */
export function parseAnswer<T>(
  body: string,
  schema: z.ZodType<T>,
  url: string,
  { kind, setting }: { kind: string; setting: string },
): { value: T; json: unknown } {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (cause) {
    throw new Fault(
      'ANSWER_MALFORMED',
      `${hostOf(url)} sent something that is not JSON: a captive portal or proxy, or a wrong ${setting}`,
      { cause },
    );
  }
  const result = isTooDeep(json)
    ? z.never('is nested too deeply').safeParse(json)
    : schema.safeParse(json);
  if (result.success) return { value: result.data, json };
  const [issue] = result.error.issues;
  throw new Fault(
    'ANSWER_MALFORMED',
    `${hostOf(url)} sent something that is not ${kind} (${issue?.path.join('.') || 'answer'}: ${issue?.message}): check ${setting}`,
  );
}

function isTooDeep(json: unknown): boolean {
  let values = [json];
  for (let depth = 0; depth <= MAX_NESTING && values.length > 0; depth++)
    values = values.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  return values.length > 0;
}

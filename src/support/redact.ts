/** Token theft: no secret is ever written, whatever message it strayed into. */

/** Shorter ones would black out half of any text, and protect nothing. */
const SHORTEST_SECRET = 6;
/** What the machine goes by: a password that happens to be part of a path must not change it. */
const NOT_TEXT = new Set(['path', 'sha256', 'digest', 'fingerprint', 'type', 'code', 'tag', 'version']);
/** What is asked for, as a server named it: it may say a token back to us, but no word that somebody chose as a password. */
const ADDRESSES = new Set(['url', 'browserUrl', 'name', 'repository']);
const SHORTEST_TOKEN = 16;

export function redact(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret.length >= SHORTEST_SECRET).reduce((result, secret) => result.replaceAll(secret, '[secret]'), text);
}

/** The same for every text in a JSON value. */
export function redactJson<T>(value: T, secrets: readonly string[]): T {
  if (typeof value === 'string') return redact(value, secrets) as T;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((one) => redactJson(one, secrets)) as T;
  const tokens = secrets.filter((secret) => secret.length >= SHORTEST_TOKEN);
  const entries = Object.entries(value).map(([key, one]) => [key, NOT_TEXT.has(key) ? one : redactJson(one, ADDRESSES.has(key) ? tokens : secrets)]);
  return Object.fromEntries(entries) as T;
}

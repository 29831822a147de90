/** Token theft: no secret is ever written, whatever message it strayed into. */

/** Shorter ones would black out half of any text, and protect nothing. */
const SHORTEST_SECRET = 4;

export function redact(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret.length >= SHORTEST_SECRET).reduce((result, secret) => result.replaceAll(secret, '[secret]'), text);
}

/** The same for any JSON, as the secret would stand in it. */
export function redactJson<T>(value: T, secrets: readonly string[]): T {
  const text = JSON.stringify(value);
  const clean = redact(
    text,
    secrets.map((secret) => JSON.stringify(secret).slice(1, -1)),
  );
  return clean === text ? value : (JSON.parse(clean) as T);
}

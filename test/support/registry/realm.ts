/**
 * An authorization server for the registry, which verifies what it signs. See the "Token
 * Authentication Specification" and "Token Authentication Implementation" of
 * https://distribution.github.io/distribution/spec/auth/.
 */
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type http from 'node:http';
import path from 'node:path';
import { execa } from 'execa';

const SERVICE = 'registry.test';
const ISSUER = 'realm.test';

export class Realm {
  /** Whether anybody gets tokens to pull with. */
  isPublic = false;
  /** What tokens say of their life; null for nothing. */
  lifeSeconds: number | null = 300;
  readonly asked: { query: URLSearchParams; authorization: string | undefined }[] = [];
  readonly tokens: string[] = [];
  readonly #key: string;
  readonly #certificate: string;
  readonly #credential: string;

  private constructor(key: string, certificate: string, credential: string) {
    this.#key = key;
    this.#certificate = certificate;
    this.#credential = credential;
  }

  static async create(directory: string, credential: string): Promise<Realm> {
    const [key, certificate] = ['realm.key', 'realm.pem'].map((name) => path.join(directory, name));
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const files = ['-keyout', key ?? '', '-out', certificate ?? ''];
    await execa('openssl', ['req', '-x509', ...curve, '-nodes', '-subj', '/CN=realm', ...files]);
    return new Realm(key ?? '', certificate ?? '', credential);
  }

  /** For the registry's `auth.token`. */
  settings(realm: string) {
    return { realm, service: SERVICE, issuer: ISSUER, rootcertbundle: this.#certificate };
  }

  answer(request: http.IncomingMessage, query: URLSearchParams, response: http.ServerResponse) {
    const { authorization } = request.headers;
    this.asked.push({ query, authorization });
    const basic = `Basic ${Buffer.from(this.#credential).toString('base64')}`;
    const isKnown = authorization === basic;
    if (!isKnown && (authorization !== undefined || !this.isPublic))
      return void response.writeHead(401).end('{"details":"incorrect username or password"}');
    const [, name = ''] = /^repository:([^:]+):pull$/.exec(query.get('scope') ?? '') ?? [];
    const token = this.tokenFor(name, ['pull']);
    this.tokens.push(token);
    response.writeHead(200, { 'content-type': 'application/json' }).end(
      JSON.stringify({
        token,
        ...(this.lifeSeconds === null ? {} : { expires_in: this.lifeSeconds }),
      }),
    );
  }

  tokenFor(name: string, actions: readonly string[]): string {
    const certificate = new X509Certificate(readFileSync(this.#certificate));
    // The registry's clock is the machine's, whatever a test sets ours to.
    const now = Math.floor((performance.timeOrigin + performance.now()) / 1000);
    const header = { typ: 'JWT', alg: 'ES256', x5c: [certificate.raw.toString('base64')] };
    const claims = {
      iss: ISSUER,
      sub: 'robot',
      aud: SERVICE,
      exp: now + 600,
      nbf: now - 60,
      iat: now,
      jti: randomUUID(),
      access: [{ type: 'repository', name, actions }],
    };
    const signed = [header, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const key = createPrivateKey(readFileSync(this.#key));
    const options = { key, dsaEncoding: 'ieee-p1363' } as const;
    return `${signed}.${sign('sha256', Buffer.from(signed), options).toString('base64url')}`;
  }
}

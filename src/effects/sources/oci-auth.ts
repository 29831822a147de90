/**
 * How a registry is asked: as nobody in particular, with a token that its authorization server (the
 * realm) gives out for this one repository, or with user and password. See the "Token
 * Authentication Specification" of https://distribution.github.io/distribution/spec/auth/token/ and
 * RFC 7617.
 *
 * Two secrets: the operator's credential (UPDATE_GH_TOKEN), which only the realm is sent, or the
 * registry under Basic; and the realm's token, which only the registry is sent. The second is held
 * in memory alone.
 */
import * as z from 'zod';
import { Fault } from '../../support/fault.ts';
import { type Answer, Http, hostOf, isSendable, malformedToken } from '../http/http.ts';
import { type AnswerCache, askForText, parseAnswer } from './conditional.ts';
import { knownHosts } from './oci-hosts.ts';
import { refusalOf } from './refusal.ts';

export type RegistryAuthOptions = {
  /** Whose token is the operator's credential. */
  http: Http;
  /** Of the registry, without a trailing slash. */
  origin: string;
  /** Of the repository. */
  name: string;
  /** Beside the registry's own, those that the operator named. */
  moreHosts: readonly string[];
  now: () => number;
  secrets: () => readonly string[];
};

/** Where a token is to be had, as the registry said. */
type Realm = { url: string };
type Held = { token: string; untilMs: number; credential: string | null };

/** "If not set, 60 seconds": the specification. */
const DEFAULT_LIFE_SECONDS = 60;
/** What may pass between this clock and the registry's, and until the request is there. */
const LEEWAY_MS = 10_000;
/** Docker Hub's have 2 kB. */
const MAX_TOKEN_CHARACTERS = 16 * 1024;
const ORIGIN = { isNo: 'a token of a registry', remedy: 'check UPDATE_SOURCE_URL' };
/** What it says is a secret. */
const KEPT_NOWHERE: AnswerCache = { read: () => null, write: () => {} };

const tokenAnswer = z
  .object({
    token: z.string().max(MAX_TOKEN_CHARACTERS).nullish(),
    access_token: z.string().max(MAX_TOKEN_CHARACTERS).nullish(),
    expires_in: z.number().nullish(),
  })
  .refine(({ token, access_token }) => isSendable(token || access_token || ''), 'has no token');

export class RegistryAuth {
  readonly #options: RegistryAuthOptions;
  #realm: Realm | null = null;
  #held: Held | null = null;
  #isBasic = false;

  constructor(options: RegistryAuthOptions) {
    this.#options = options;
  }

  /** The registry as it is asked: redirects and other hosts get neither secret. */
  createHttp(): Http {
    return new Http({
      ...this.#options.http.options,
      apiUrl: this.#options.origin,
      headersOf: (token) => ({ authorization: `${this.#isBasic ? 'Basic' : 'Bearer'} ${token}` }),
      token: () => (this.#isBasic ? this.#basic() : (this.#held?.token ?? null)),
    });
  }

  get hasCredential(): boolean {
    return this.#credential() !== null;
  }

  /** What must be in no answer that is kept. */
  get secrets(): string[] {
    return this.#held === null ? [] : [this.#held.token];
  }

  /** Before each request: a token that has ended is replaced without another refusal. */
  async prepare(signal: AbortSignal): Promise<void> {
    const { now } = this.#options;
    if (this.#held?.credential !== this.#credential()) this.#held = null;
    if (this.#held !== null && this.#held.untilMs <= now()) this.#held = null;
    if (this.#held === null && this.#realm !== null) await this.#fetchToken(this.#realm, signal);
  }

  /** After a 401. Whether it makes sense to ask once more. Throws `Fault`. */
  async answerChallenge(
    { headers }: Pick<Answer, 'headers'>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const said = [headers['www-authenticate'] ?? ''].flat().join(', ');
    this.#held = null;
    const bearer = /(?:^|,)\s*bearer\s/i.exec(said);
    if (bearer !== null) {
      this.#isBasic = false;
      this.#realm = this.#realmOf(parametersOf(said.slice(bearer.index)));
      await this.#fetchToken(this.#realm, signal);
      return true;
    }
    if (!/(?:^|,)\s*basic(?:\s|$)/i.test(said) || this.#isBasic || this.#credential() === null)
      return false;
    this.#isBasic = true;
    return true;
  }

  /** `USER:PASSWORD`; null without a token. */
  #credential(): string | null {
    const token = this.#options.http.options.token();
    if (token === null) return null;
    if (!isSendable(token)) throw malformedToken();
    // ghcr.io and GitLab take any user beside a token; Docker Hub wants its owner's name.
    return token.includes(':') ? token : `token:${token}`;
  }

  #basic(): string | null {
    const credential = this.#credential();
    return credential === null ? null : Buffer.from(credential).toString('base64');
  }

  #realmOf(said: ReadonlyMap<string, string>): Realm {
    const { origin, name } = this.#options;
    const realm = said.get('realm') ?? '';
    if (!URL.canParse(realm))
      throw new Fault(
        'ANSWER_MALFORMED',
        `${hostOf(origin)} asks for a token and names no address where one is to be had: check UPDATE_SOURCE_URL`,
      );
    this.#assertTrusted(realm);
    const url = new URL(realm);
    const service = said.get('service');
    if (service !== undefined) url.searchParams.set('service', service);
    // Least privilege: what the registry asks for could be more, and it gets the token.
    url.searchParams.set('scope', `repository:${name}:pull`);
    return { url: url.href };
  }

  /**
   * Token theft: whoever answers in the registry's place could name a realm of his own, and would
   * be sent the operator's credential. So the realm is at the registry's own host, where everybody
   * knows that it is, or where the operator says; and what https began is not continued by http.
   */
  #assertTrusted(realm: string): void {
    const { origin, http, moreHosts } = this.#options;
    const { protocol, hostname, username, password } = new URL(realm);
    const registry = new URL(origin);
    const isPrivate =
      protocol === 'https:' ||
      (protocol === 'http:' && registry.protocol === 'http:' && http.options.mayBePlain(realm));
    // A pattern would trust whoever gets a host below it.
    const named = moreHosts.map((host) => host.toLowerCase().replace(/:\d+$/, ''));
    const hosts = [registry.hostname, ...knownHosts(registry.hostname).realms, ...named];
    if (isPrivate && `${username}${password}` === '' && hosts.includes(hostname)) return;
    throw new Fault(
      'REALM_REFUSED',
      isPrivate
        ? `${hostOf(origin)} wants the token to be sent to ${hostname}, which is neither its own host nor a known one. If you trust it with your token, add ${hostname} to UPDATE_ASSET_HOSTS`
        : `${hostOf(origin)} wants the token to be sent to ${protocol}//${hostname}, where anyone on the way can read it: the registry has to name an https address`,
    );
  }

  async #fetchToken({ url }: Realm, signal: AbortSignal): Promise<void> {
    const { http, now, secrets, name } = this.#options;
    const credential = this.#credential();
    const { origin, hostname } = new URL(url);
    const realm = new Http({
      ...http.options,
      apiUrl: origin,
      assetHosts: [hostname],
      headersOf: (token) => ({ authorization: `Basic ${token}` }),
      token: () => this.#basic(),
    });
    const askedAtMs = now();
    const said = await askForText(url, { accept: 'application/json' }, signal, {
      http: realm,
      cache: KEPT_NOWHERE,
      identity: '',
      secrets: secrets(),
      origin: ORIGIN,
    });
    if (said.kind !== 'told')
      throw new Fault(
        'ANSWER_UNEXPECTED',
        `${hostname} gives out no tokens (404), though the registry names it: check UPDATE_SOURCE_URL`,
      );
    if (said.answer.status === 401 || said.answer.status === 403)
      throw denied(hostname, said.answer.status, name, credential !== null);
    if (said.answer.status !== 200)
      throw refusalOf(said.answer, said.text, {
        nowMs: now(),
        strikes: 0,
        hasToken: credential !== null,
        what: 'the repository',
      });
    const kind = { kind: 'a token of a registry', setting: 'UPDATE_SOURCE_URL' };
    const { value } = parseAnswer(said.text, tokenAnswer, url, kind);
    const seconds = value.expires_in ?? DEFAULT_LIFE_SECONDS;
    this.#held = {
      token: value.token || value.access_token || '',
      untilMs: askedAtMs + seconds * 1000 - LEEWAY_MS,
      credential,
    };
  }
}

/** The first challenge's `name="value"`; see RFC 9110, section 11.6.1. */
function parametersOf(challenge: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [, name = '', value = ''] of challenge.matchAll(/\b(\w+)="([^"]*)"/g))
    if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
  return parameters;
}

function denied(host: string, status: number, name: string, hasToken: boolean): Fault {
  return new Fault(
    'ACCESS_REFUSED',
    hasToken
      ? `${host} gave no token for ${name} (${status}): UPDATE_GH_TOKEN is wrong, or may not read packages there (ghcr.io: read:packages; GitLab: read_registry). Docker Hub and deploy tokens need UPDATE_GH_TOKEN=USER:TOKEN`
      : `${host} gave no token for ${name} (${status}): it does not exist there, or is private. Check UPDATE_SOURCE_URL, make the package public, or set UPDATE_GH_TOKEN`,
  );
}

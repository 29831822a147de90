/**
 * One HTTP request at a time, through `got`: retries off (the machine paces them), redirects
 * followed by hand, every body capped, every wait bounded, the token sent to the API's own origin
 * only.
 */
import type http from 'node:http';
import type https from 'node:https';
import type { Readable } from 'node:stream';
import type { Got, OptionsInit, Response } from 'got';
import { Fault } from '../../support/fault.ts';
import { proxyAuthFault } from '../github/refusal.ts';
import { loadGot, loadHttp } from '../packages.ts';
import { TUNNEL_CODE, tunnelAgent } from './tunnel.ts';

export type HttpOptions = {
  /** For errors and the User-Agent, which GitHub requires. */
  userAgent: string;
  apiUrl: string;
  /** The setting that `apiUrl` came from, for errors; GitHub's where it is left out. */
  setting?: string;
  /** Host names that may be asked beside the API's; `*.example.com` fits its subdomains. */
  assetHosts: readonly string[];
  /** Whether plain http is fine for this address. */
  mayBePlain: (url: string) => boolean;
  token: () => string | null;
  /** The headers that carry the token; a bearer token's where it is left out (RFC 6750). */
  headersOf?: (token: string) => Record<string, string>;
  proxyEnvironment: ProxyEnvironment;
  /**
   * From the call to the head of the last answer, whoever is between, and however often it is
   * redirected.
   */
  headWithinMs?: number;
};

type Agents = { http: http.Agent; https: https.Agent };
export type ProxyEnvironment = { HTTPS_PROXY?: string | undefined; NO_PROXY?: string | undefined };

/** got would follow ten; GitHub needs one or two. */
const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** The sum of the phases below. */
const HEAD_WITHIN_MS = 60_000;
/**
 * Slow retrieval: a proxy that takes the connection and does not answer CONNECT gives got no socket
 * to watch.
 */
const TUNNEL_WITHIN_MS = 30_000;
const TIMEOUTS = {
  lookup: 10_000,
  connect: 10_000,
  secureConnect: 10_000,
  send: 10_000,
  response: 20_000,
  socket: 30_000,
};

export type Answer = {
  stream: Readable;
  status: number;
  headers: Response['headers'];
  url: string;
};

export class Http {
  readonly options: HttpOptions;
  #agents: Agents | undefined;

  constructor(options: HttpOptions) {
    this.options = options;
  }

  /**
   * Asks, follows redirects to allowed hosts, and hands out the body as a stream. Without `follow`
   * a redirect is the answer; an answer to HEAD has no body. Throws `Fault`.
   */
  async get(
    url: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    {
      decompress,
      sameHost,
      follow = true,
      method = 'GET',
    }: {
      decompress: boolean;
      sameHost: boolean;
      follow?: boolean;
      method?: 'GET' | 'HEAD';
    },
  ): Promise<Answer> {
    let address = this.#allowed(url, null);
    // Slow retrieval: one limit for all of them. Each redirect would begin another minute, while an
    // app is down for the download.
    const until = performance.now() + this.#headWithinMs;
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#once(address, headers, signal, { decompress, until, method });
      const location = answer.headers.location;
      if (!follow || !REDIRECTS.has(answer.status) || location === undefined) return answer;
      answer.stream.destroy();
      if (redirects >= MAX_REDIRECTS)
        throw new Fault(
          'REDIRECT_REFUSED',
          `${hostOf(url)} redirected more than ${MAX_REDIRECTS} times: probably a loop at the server or a proxy`,
        );
      if (!URL.canParse(location, address))
        throw new Fault('REDIRECT_REFUSED', `${hostOf(address)} redirected to an invalid address`);
      const next = this.#allowed(new URL(location, address).href, address);
      if (sameHost && hostOf(next) !== hostOf(address))
        throw new Fault(
          'REDIRECT_REFUSED',
          `${hostOf(address)} redirected an API request to ${hostOf(next)}: check ${this.options.setting ?? 'UPDATE_GH_API_URL'}`,
        );
      address = next;
    }
  }

  get #headWithinMs(): number {
    return this.options.headWithinMs ?? HEAD_WITHIN_MS;
  }

  async #once(
    url: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    { decompress, until, method }: { decompress: boolean; until: number; method: 'GET' | 'HEAD' },
  ): Promise<Answer> {
    const token = this.options.token();
    // A file may be rewritten at any time; sent as it is, Node would quote it in its error.
    if (token !== null && !isSendable(token)) throw malformedToken();
    // Token theft: it goes to the API's own origin and nowhere else, whatever redirects say.
    const authorized =
      token !== null && new URL(url).origin === new URL(this.options.apiUrl).origin;
    const { headersOf = asBearer } = this.options;
    this.#agents ??= await agentsFor(this.options.proxyEnvironment, this.options.headWithinMs);
    const options: OptionsInit = {
      method,
      headers: {
        'user-agent': this.options.userAgent,
        ...headers,
        ...(authorized ? headersOf(token) : {}),
      },
      retry: { limit: 0 },
      followRedirect: false,
      throwHttpErrors: false,
      decompress,
      timeout: TIMEOUTS,
      agent: this.#agents,
      signal,
    };
    const { default: got } = await loadGot();
    const stream = got.stream(url, options as never);
    try {
      const response = await headOf(stream, url, { until, withinMs: this.#headWithinMs });
      // From here on the reader of the stream sees its errors; this keeps one that comes before it
      // reads from being fatal.
      stream.on('error', () => {});
      return { stream, status: response.statusCode, headers: response.headers, url };
    } catch (error) {
      throw networkFault(error, url);
    }
  }

  /** Whether this address may be asked at all. */
  allows(url: string): boolean {
    try {
      return this.#allowed(url, null) === url;
    } catch {
      return false;
    }
  }

  /** Malicious mirror: https only, no host that is not listed, no other protocol. */
  #allowed(url: string, from: string | null): string {
    const { protocol, hostname } = new URL(url);
    const origin = from === null ? 'the address' : `the redirect from ${hostOf(from)}`;
    // Downgrade: what https said would be followed where anyone on the way can change it. Also for
    // an address in an answer.
    if (protocol === 'http:' && new URL(from ?? this.options.apiUrl).protocol === 'https:') {
      throw new Fault(
        'REDIRECT_REFUSED',
        `${origin} leads from https to ${protocol}//${hostname}, which is never followed: the server must redirect to https`,
      );
    }
    if (protocol !== 'https:' && !(protocol === 'http:' && this.options.mayBePlain(url))) {
      throw new Fault(
        'REDIRECT_REFUSED',
        `${origin} leads to ${protocol}//${hostname}, and only https is accepted. UPDATE_INSECURE_HTTP=1 allows plain http`,
      );
    }
    if (!this.options.assetHosts.some((host) => hostFits(hostname, host))) {
      throw new Fault(
        'REDIRECT_REFUSED',
        `${origin} leads to ${hostname}, which is not an allowed host. If it is yours, add it to UPDATE_ASSET_HOSTS`,
      );
    }
    return url;
  }
}

/**
 * The limits for each phase begin with a socket. This one holds whatever is between: the app may be
 * down meanwhile. `until`: as `performance.now()`.
 */
async function headOf(
  stream: ReturnType<Got['stream']>,
  url: string,
  { until, withinMs }: { until: number; withinMs: number },
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  stream.once('response', resolve);
  stream.once('error', reject);
  const late = setTimeout(() => {
    reject(lateFault(url, withinMs));
    stream.destroy();
  }, until - performance.now());
  return promise.finally(() => clearTimeout(late));
}

const asBearer = (token: string) => ({ authorization: `Bearer ${token}` });

/**
 * Printable, without blanks: what a header can hold, and what every token of GitHub's is made of.
 */
export function isSendable(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token);
}

export function malformedToken(): Fault {
  return new Fault(
    'TOKEN_MALFORMED',
    'UPDATE_GH_TOKEN holds a space, a line break or a character that no token has; was more than the token copied? Set the token alone',
  );
}

/** Connections that end with their request, through the proxy that the environment names. */
export async function agentsFor(
  { HTTPS_PROXY, NO_PROXY = '' }: ProxyEnvironment,
  tunnelWithinMs = TUNNEL_WITHIN_MS,
): Promise<Agents> {
  const [{ default: http }, { default: https }] = await loadHttp();
  const plain = { http: new http.Agent({ keepAlive: false }) };
  if (HTTPS_PROXY === undefined) return { ...plain, https: new https.Agent({ keepAlive: false }) };
  return {
    ...plain,
    https: tunnelAgent(
      { http, https },
      { url: new URL(HTTPS_PROXY), noProxy: NO_PROXY },
      tunnelWithinMs,
    ),
  };
}

function hostFits(hostname: string, pattern: string): boolean {
  const name = pattern.toLowerCase().replace(/:\d+$/, '');
  return name.startsWith('*.') ? hostname.endsWith(name.slice(1)) : hostname === name;
}

/** The host alone: signed addresses carry secrets in their query. Of a file its path. */
export function hostOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return protocol === 'file:' ? pathname : host;
}

const REASONS: Record<string, string> = {
  ENOTFOUND: "its name can't be resolved: check the address and DNS",
  EAI_AGAIN: "its name can't be resolved now: check DNS and the network",
  ECONNREFUSED: 'the connection was refused. Nothing listens there, or a firewall is in the way',
  ECONNRESET: 'the connection was reset: by the server, a proxy or a firewall',
  ETIMEDOUT: 'there was no answer in time: check the network, a proxy or a firewall',
  EPIPE: 'the connection was closed',
  // An app that binds all of them stops every check.
  EADDRNOTAVAIL:
    'no local port was free. Something on this machine holds all of them, probably the app: restart it, and look for connections that it never closes',
  ERR_HTTP_CONTENT_LENGTH_MISMATCH: 'the connection was closed before everything had arrived',
  ERR_STREAM_PREMATURE_CLOSE: 'the connection was closed before everything had arrived',
};

/** What a proxy did instead of a tunnel is in the error's message alone. */
function tunnelFault(cause: Error, host: string): Fault {
  if (cause.message === 'answered 407') return proxyAuthFault(host);
  const advice = "it blocks the address, or can't reach it. Check HTTPS_PROXY and NO_PROXY";
  return new Fault('PROXY_FAILED', `the proxy ${cause.message} when asked for ${host}: ${advice}`, {
    cause,
  });
}

/**
 * A connection that went to another port than the address has was to a proxy. Null for any other
 * error.
 */
function refusedByProxy(error: Error, url: string): string | null {
  const { code } = error as NodeJS.ErrnoException;
  const { address, port } = (error.cause ?? error) as { address?: unknown; port?: unknown };
  const asked = new URL(url);
  const askedPort = Number(asked.port) || (asked.protocol === 'https:' ? 443 : 80);
  if (code !== 'ECONNREFUSED' || typeof address !== 'string' || port === askedPort) return null;
  return `the proxy at ${address} port ${port} refused the connection. Check HTTPS_PROXY, and that the proxy runs`;
}

/**
 * The certificate's dates and this machine's clock disagree; see X509_verify_cert_error_string(3).
 */
const CERTIFICATE_DATES: Record<string, string> = {
  CERT_NOT_YET_VALID: 'is not valid yet',
  CERT_HAS_EXPIRED: 'has expired',
};

/** An answer that has not ended in its time, however steadily it comes. */
export function lateFault(url: string, withinMs: number): Fault {
  return new Fault(
    'NETWORK_FAILED',
    `${hostOf(url)} can't be reached: its response did not end within ${withinMs / 1000} s; the connection is too slow, or the response is endless`,
  );
}

/**
 * Any error of a request as a fault. TLS trouble has codes of its own, since its remedies are
 * others.
 */
export function networkFault(error: unknown, url: string): Fault {
  if (error instanceof Fault) return error;
  // What we ended a stream with comes back wrapped.
  if (error instanceof Error && error.cause instanceof Fault) return error.cause;
  const cause = error instanceof Error ? error : new Error(String(error));
  const host = hostOf(url);
  const { code = '' } = cause as NodeJS.ErrnoException;
  if (code === TUNNEL_CODE) return tunnelFault(cause, host);
  const dates = CERTIFICATE_DATES[code];
  if (dates !== undefined) {
    const now = new Date().toISOString();
    const message = `the certificate of ${host} ${dates} by this machine's clock, which says ${now}: set the clock (NTP) if it is wrong; otherwise the certificate must be renewed`;
    return new Fault('CERTIFICATE_DATE', message, { cause });
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return new Fault(
      'TLS_FAILED',
      `the certificate of ${host} is for another name: check the address; a captive portal or proxy may answer in its place`,
      {
        cause,
      },
    );
  // Some failures of the handshake have no code but EPROTO.
  if (code === 'EPROTO' || /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/.test(code))
    return new Fault(
      'TLS_FAILED',
      `${host} or the proxy in front of it does not speak TLS there (${code}): check https and http in the address and in HTTPS_PROXY`,
      { cause },
    );
  if (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code)) {
    return new Fault(
      'TLS_FAILED',
      `${host} can't be trusted (${code}): if a corporate proxy or server is in between, name its CA file in NODE_EXTRA_CA_CERTS`,
      { cause },
    );
  }
  const reason =
    refusedByProxy(cause, url) ?? REASONS[code] ?? `the request failed (${code || cause.message})`;
  return new Fault('NETWORK_FAILED', `${host} can't be reached: ${reason}`, { cause });
}

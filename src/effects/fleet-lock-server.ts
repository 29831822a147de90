/**
 * One request to a server of the FleetLock protocol,
 * https://coreos.github.io/zincati/development/fleetlock/protocol (FleetLock protocol): only status
 * 200 means yes. Every wait is bounded, and so is what is read.
 */
import * as z from 'zod';
import { readStream } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import { agentsFor, hostOf, networkFault, type ProxyEnvironment } from './http/http.ts';
import { loadGot } from './packages.ts';

export type FleetLockOptions = {
  /** The base address; null where its file is not there. Read anew, since secrets rotate. */
  url: () => string | null;
  proxy: ProxyEnvironment;
  userAgent: string;
};

/** From the call to the end of the last answer, redirects included: an update waits for it. */
const ANSWER_WITHIN_MS = 20_000;
/** An error has two short texts. */
const MAX_ERROR_BYTES = 16 * 1024;
const MAX_REDIRECTS = 3;
/** Those that keep the method: another one would turn the request into a GET. */
const REDIRECTS = new Set([307, 308]);

/** "Errors on the service endpoints SHOULD be returned to the client as JSON objects". */
const errorSchema = z.object({ kind: z.string().min(1), value: z.string().min(1) });
export type Refusal = z.infer<typeof errorSchema>;

/** `said`: the server's own words, where they are an error of the protocol. */
type Refused = { status: number; said: Refusal | null; host: string };

/**
 * A request that is aborted may still be done by its server, after the next one: a return that
 * overtakes nothing has a moment to be answered.
 */
const GRACE_MS = 2000;

function afterGrace(outer: AbortSignal): AbortSignal {
  const late = new AbortController();
  const abort = () => void setTimeout(() => late.abort(), GRACE_MS).unref();
  if (outer.aborted) abort();
  else outer.addEventListener('abort', abort, { once: true });
  return late.signal;
}

type Headers = { location?: string; 'content-type'?: string };

export class FleetLockServer {
  readonly #options: FleetLockOptions;
  #before: Promise<unknown> = Promise.resolve();

  constructor(options: FleetLockOptions) {
    this.#options = options;
  }

  /**
   * Null for yes. One request at a time: a return and the next acquisition must not overtake each
   * other. Throws `Fault` (FLEET_LOCK_FAILED) where there was no answer.
   */
  ask(
    resource: '/v1/pre-reboot' | '/v1/steady-state',
    who: { id: string; group: string },
    signal: AbortSignal,
  ): Promise<Refused | null> {
    const answer = this.#before.then(() => askNow(resource, who, signal, this.#options));
    this.#before = answer.catch(() => {});
    return answer;
  }
}

async function askNow(
  resource: string,
  { id, group }: { id: string; group: string },
  outer: AbortSignal,
  options: FleetLockOptions,
): Promise<Refused | null> {
  outer.throwIfAborted();
  const base = options.url();
  if (base === null) throw lockFault('the file of UPDATE_FLEET_LOCK_URL_FILE is not there');
  if (!URL.canParse(base))
    throw lockFault('UPDATE_FLEET_LOCK_URL is no address: look at it, or at its file');
  if (id === '') throw lockFault('this container has no name for it: set UPDATE_FLEET_ID');
  const late = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const signal = AbortSignal.any([late, afterGrace(outer)]);
  const json = { client_params: { id, group } };
  let url = addressOf(base, resource);
  for (let redirects = 0; ; redirects++) {
    const answer = await post(url, json, signal, options).catch((error: unknown) => {
      throw late.aborted ? tooLate(url) : asLockFault(error, url);
    });
    try {
      const { location, 'content-type': type } = answer.headers;
      if (answer.status === 200) {
        // A captive portal says yes to everything, with a page.
        if (isPage(type)) throw notAServer(url);
        return null;
      }
      if (REDIRECTS.has(answer.status) && location !== undefined && redirects < MAX_REDIRECTS) {
        url = redirected(location, url);
        continue;
      }
      return { status: answer.status, said: await readRefusal(answer.stream), host: hostOf(url) };
    } finally {
      answer.stream.destroy();
    }
  }
}

async function post(
  url: string,
  json: object,
  signal: AbortSignal,
  { proxy, userAgent }: FleetLockOptions,
) {
  const [{ default: got }, agent] = await Promise.all([loadGot(), agentsFor(proxy)]);
  const stream = got.stream.post(url, {
    json,
    headers: { 'user-agent': userAgent, 'fleet-lock-protocol': 'true' },
    retry: { limit: 0 },
    followRedirect: false,
    throwHttpErrors: false,
    decompress: false,
    agent,
    signal,
  } as never);
  const response = await new Promise<{ statusCode: number; headers: Headers }>(
    (resolve, reject) => {
      stream.once('response', resolve);
      stream.once('error', reject);
    },
  );
  // From here on its reader sees errors; this keeps one that comes before from being fatal.
  stream.on('error', () => {});
  return { stream, status: response.statusCode, headers: response.headers };
}

/** What the server says of itself, if that is what the protocol allows. */
async function readRefusal(stream: Parameters<typeof readStream>[0]): Promise<Refusal | null> {
  const tooMuch = () => new Error('is no error of the protocol');
  const limits = {
    maxBytes: MAX_ERROR_BYTES,
    withinMs: ANSWER_WITHIN_MS,
    tooLarge: tooMuch,
    tooLate: tooMuch,
  };
  try {
    const text = (await readStream(stream, limits)).toString('utf8');
    return errorSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

/** Endpoints "are relative to a common deployment-specific base URL". */
function addressOf(base: string, resource: string): string {
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${resource}`;
  return url.href;
}

/**
 * Malicious redirect: the request, and a password in the address, go to the same server only, and
 * never from https to http.
 */
function redirected(location: string, from: string): string {
  const next = URL.canParse(location, from) ? new URL(location, from) : null;
  const { host, protocol, username, password } = new URL(from);
  if (next === null || next.host !== host || (protocol === 'https:' && next.protocol !== protocol))
    throw lockFault(
      `${host} redirects requests for the fleet's lock ${next === null ? 'to an invalid address' : `to ${next.origin}`}: set UPDATE_FLEET_LOCK_URL to the server itself`,
    );
  Object.assign(next, { username, password });
  return next.href;
}

/** What keeps us from a slot, or from giving it back. */
export function lockFault(message: string, cause?: Error): Fault {
  return new Fault('FLEET_LOCK_FAILED', message, { cause });
}

const isPage = (type: string | undefined) =>
  /^\s*(?:text\/html|application\/xhtml)/i.test(type ?? '');

function notAServer(url: string): Fault {
  return lockFault(
    `${hostOf(url)} answers a request for the fleet's lock with a page of HTML: set UPDATE_FLEET_LOCK_URL to the lock's server; or something in between asks to sign in`,
  );
}

function tooLate(url: string): Fault {
  return lockFault(
    `${hostOf(url)} did not answer about the fleet's lock within ${ANSWER_WITHIN_MS / 1000} s: is the server overloaded, or something in between?`,
  );
}

function asLockFault(error: unknown, url: string): Fault {
  if (error instanceof Fault && error.code === 'FLEET_LOCK_FAILED') return error;
  const fault = networkFault(error, url);
  return lockFault(`the fleet's lock can't be asked for: ${fault.message} [${fault.code}]`, fault);
}

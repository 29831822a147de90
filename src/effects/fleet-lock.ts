/**
 * `acquireFleetLock` and `returnFleetLock`: one request each to a server of the FleetLock protocol,
 * https://coreos.github.io/zincati/development/fleetlock/protocol (FleetLock protocol). Only status
 * 200 means yes. Nothing that the server says can do more than make us wait.
 */
import * as z from 'zod';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { readStream } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import { visible } from '../support/visible.ts';
import { agentsFor, hostOf, networkFault, type ProxyEnvironment } from './github/http.ts';
import { loadGot } from './packages.ts';

export type FleetLockDependencies = {
  fleet: {
    /** The base address; null where its file is not there. Read anew, since secrets rotate. */
    url: () => string | null;
    proxy: ProxyEnvironment;
    userAgent: string;
  };
  random: () => number;
};

/** From the call to the end of the last answer, redirects included: an update waits for it. */
const ANSWER_WITHIN_MS = 20_000;
/** An error has two short texts. */
const MAX_ERROR_BYTES = 16 * 1024;
const MAX_WORDS = 200;
const MAX_REDIRECTS = 3;
/** https://www.rfc-editor.org/rfc/rfc4918#section-11.3 (423 Locked) */
const LOCKED = 423;
/** Those that keep the method: another one would turn the request into a GET. */
const REDIRECTS = new Set([307, 308]);

/** "Errors on the service endpoints SHOULD be returned to the client as JSON objects". */
const errorSchema = z.object({ kind: z.string().min(1), value: z.string().min(1) });
type Refusal = z.infer<typeof errorSchema>;

export async function acquireFleetLock(
  input: EffectInputs['acquireFleetLock'],
  signal: AbortSignal,
  deps: FleetLockDependencies,
): Promise<Fact> {
  const refusal = await ask('/v1/pre-reboot', input, signal, deps);
  if (refusal === null) return { type: 'fleetLockAcquired' };
  const { status, said, host } = refusal;
  const words = said === null ? `status ${status}` : shortened(said.value);
  const isOthers = said !== null && isHeldByOthers(status, said);
  return {
    type: 'fleetLockRefused',
    code: isOthers ? 'FLEET_LOCK_HELD' : 'FLEET_LOCK_FAILED',
    message: isOthers
      ? `the fleet's lock is held by others (${words})`
      : `${host} did not give the fleet's lock (${words}): see the server's log, and check UPDATE_FLEET_LOCK_URL and UPDATE_FLEET_GROUP`,
    jitter: deps.random(),
  };
}

export async function returnFleetLock(
  input: EffectInputs['returnFleetLock'],
  signal: AbortSignal,
  deps: FleetLockDependencies,
): Promise<Fact> {
  const refusal = await ask('/v1/steady-state', input, signal, deps);
  if (refusal === null) return { type: 'fleetLockReturned' };
  const { status, said, host } = refusal;
  // poseidon/fleetlock answers so to whoever does not hold it: so it is not ours.
  if (status === LOCKED && said !== null) return { type: 'fleetLockReturned' };
  throw failed(
    `${host} did not take the fleet's lock back (${said === null ? `status ${status}` : shortened(said.value)}): see the server's log`,
  );
}

/**
 * Whether the server says itself that the slots are taken: airlock answers 500 for that as for its
 * own trouble, also where two asked at once ("conflict on semaphore"), poseidon/fleetlock 423.
 */
function isHeldByOthers(status: number, { kind, value }: Refusal): boolean {
  const isTaken = /\b(?:full|locked|held|conflict)\b/i.test(`${kind} ${value}`);
  return status === LOCKED || status === 409 || isTaken;
}

type Headers = { location?: string; 'content-type'?: string };
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

/** One request at a time, for the same reason. */
let before: Promise<unknown> = Promise.resolve();

type Refused = { status: number; said: Refusal | null; host: string };

/** Null for yes. Throws `Fault` where there was no answer. */
function ask(...request: Parameters<typeof askNow>): Promise<Refused | null> {
  const answer = before.then(() => askNow(...request));
  before = answer.catch(() => {});
  return answer;
}

async function askNow(
  resource: string,
  { id, group }: EffectInputs['acquireFleetLock'],
  outer: AbortSignal,
  { fleet }: FleetLockDependencies,
): Promise<Refused | null> {
  outer.throwIfAborted();
  const base = fleet.url();
  if (base === null) throw failed('the file of UPDATE_FLEET_LOCK_URL_FILE is not there');
  if (!URL.canParse(base))
    throw failed('UPDATE_FLEET_LOCK_URL is no address: look at it, or at its file');
  if (id === '') throw failed('this container has no name for it: set UPDATE_FLEET_ID');
  const late = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const signal = AbortSignal.any([late, afterGrace(outer)]);
  const json = { client_params: { id, group } };
  let url = addressOf(base, resource);
  for (let redirects = 0; ; redirects++) {
    const answer = await post(url, json, signal, fleet).catch((error: unknown) => {
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
  { proxy, userAgent }: FleetLockDependencies['fleet'],
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
    throw failed(
      `${host} redirects requests for the fleet's lock ${next === null ? 'to an invalid address' : `to ${next.origin}`}: set UPDATE_FLEET_LOCK_URL to the server itself`,
    );
  Object.assign(next, { username, password });
  return next.href;
}

function shortened(words: string): string {
  const shown = visible(words);
  return shown.length > MAX_WORDS ? `${shown.slice(0, MAX_WORDS)}…` : shown;
}

function failed(message: string, cause?: Error): Fault {
  return new Fault('FLEET_LOCK_FAILED', message, { cause });
}

const isPage = (type: string | undefined) =>
  /^\s*(?:text\/html|application\/xhtml)/i.test(type ?? '');

function notAServer(url: string): Fault {
  return failed(
    `${hostOf(url)} answers a request for the fleet's lock with a page of HTML: set UPDATE_FLEET_LOCK_URL to the lock's server; or something in between asks to sign in`,
  );
}

function tooLate(url: string): Fault {
  return failed(
    `${hostOf(url)} did not answer about the fleet's lock within ${ANSWER_WITHIN_MS / 1000} s: is the server overloaded, or something in between?`,
  );
}

function asLockFault(error: unknown, url: string): Fault {
  if (error instanceof Fault && error.code === 'FLEET_LOCK_FAILED') return error;
  const fault = networkFault(error, url);
  return failed(`the fleet's lock can't be asked for: ${fault.message} [${fault.code}]`, fault);
}

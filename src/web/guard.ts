/** Access control: hosts, origins, token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import type { WebContext } from './context.ts';
import { failure } from './failure.ts';
import { mayBeOf } from './peer.ts';
import { ownerOf } from './shares.ts';

/**
 * DNS rebinding: a page of anybody's can have its own name point here, and then reads as if it were
 * ours. Such a name has a dot; addresses, `localhost` and the short names of a private network
 * can't be had by a stranger. Others have to be listed.
 */
export function knownHosts(listed: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header('host');
    // HTTP/1.0 has none; a browser, which is what is guarded against, always sends one.
    if (host !== undefined && !isKnownHost(host, listed))
      return failure(
        c,
        403,
        'HOST_REFUSED',
        `${JSON.stringify(host.slice(0, 100))} is not a known name of this server: if it should be, add it to UPDATE_HTTP_HOSTS`,
      );
    return next();
  };
}

function isKnownHost(header: string, listed: readonly string[]): boolean {
  if (!URL.canParse(`http://${header}/`)) return false;
  const { hostname, host } = new URL(`http://${header}/`);
  if (hostname.startsWith('[') || isIP(hostname) !== 0) return true;
  if (hostname.endsWith('.localhost') || !hostname.includes('.')) return true;
  return listed.some((name) => name.toLowerCase() === hostname || name.toLowerCase() === host);
}

/**
 * Whose place a request takes. Behind a proxy that is the proxy: what it says of its clients anyone
 * could say.
 */
export function addressOf(c: Context): string {
  return ownerOf((c.env as HttpBindings).incoming.socket.remoteAddress);
}

/** Cross-site requests: what a browser sends on behalf of another site's page says so. */
export const sameOrigin: MiddlewareHandler = async (c, next) => {
  const site = c.req.header('sec-fetch-site');
  const origin = c.req.header('origin');
  const elsewhere =
    origin !== undefined &&
    !(URL.canParse(origin) && new URL(origin).host === c.req.header('host')?.toLowerCase());
  if (elsewhere || (site !== undefined && site !== 'same-origin' && site !== 'none'))
    return failure(
      c,
      403,
      'CROSS_SITE',
      'actions are accepted from this server’s own page and from programs, not from pages of other sites',
    );
  return next();
};

/**
 * The operator's token, in the Authorization header alone: no cookie that a browser would send by
 * itself.
 */
export function operatorOnly({
  token,
  hasToken,
}: Pick<WebContext, 'token' | 'hasToken'>): MiddlewareHandler {
  return async (c, next) => {
    const wanted = token();
    // Fail closed: a token's file that was emptied opens nothing.
    if (wanted === null && hasToken)
      return failure(
        c,
        503,
        'SECRET_MISSING',
        'the file of UPDATE_HTTP_TOKEN is empty or missing: write the token into it',
      );
    if (wanted === null)
      return failure(
        c,
        403,
        'ACTIONS_OFF',
        'actions are off without UPDATE_HTTP_TOKEN: set it, or use `self-update` in the container',
      );
    const given = /^Bearer +(.+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (given !== undefined && isSame(given, wanted)) return next();
    c.header('www-authenticate', 'Bearer realm="self-update"');
    return given === undefined
      ? failure(c, 401, 'TOKEN_MISSING', 'send the token: Authorization: Bearer …')
      : failure(
          c,
          401,
          'TOKEN_REJECTED',
          'the token is wrong: it must be that of UPDATE_HTTP_TOKEN',
        );
  };
}

/**
 * Reading: with UPDATE_HTTP_READ=token only with the token, otherwise for everybody who reaches the
 * address.
 */
export function readersOnly(
  context: Pick<WebContext, 'token' | 'hasToken' | 'readingNeedsToken'>,
): MiddlewareHandler {
  const guarded = operatorOnly(context);
  return (c, next) => (context.readingNeedsToken ? guarded(c, next) : next());
}

/**
 * The journal is kept from the app, which shares the container's network: loopback is no border,
 * and the kernel knows whose a socket is.
 */
export function notTheApp({ appUid }: Pick<WebContext, 'appUid'>): MiddlewareHandler {
  return async (c, next) => {
    if (appUid !== null && mayBeOf(appUid, (c.env as HttpBindings).incoming.socket))
      return failure(
        c,
        403,
        'APP_REFUSED',
        'the app may not read the journal: in the container use `self-update events`, as root',
      );
    return next();
  };
}

/** Timing: digests are compared, so neither length nor content shows in the time it takes. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}

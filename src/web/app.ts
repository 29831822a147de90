/** The routes, put together. */
import { Hono, type MiddlewareHandler } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import { addActions } from './actions.ts';
import type { WebContext } from './context.ts';
import { Api } from './describe.ts';
import { addEvents } from './events.ts';
import { failure, failureOf } from './failure.ts';
import { addressOf, knownHosts, notTheApp, readersOnly } from './guard.ts';
import { knownMethods, methodsOf } from './methods.ts';
import { addMetrics } from './metrics.ts';
import { dashboard } from './page.ts';
import { addReading } from './reading.ts';
import { Turns, takesTurns } from './turns.ts';
import { addWebhook } from './webhook.ts';

/** Asked by load balancers and by GitHub under whatever name; they tell nothing, or are signed. */
const ANY_HOST = new Set(['/healthz', '/readyz', '/hooks/github']);

/** The same for everybody, and in the documentation. */
const DESCRIPTION = '/api/openapi.json';

const TURNS = { maxWaiting: 32, maxTurnMs: 10_000 };

/** What tells of the journal. */
const JOURNAL = ['/api/facts', '/api/events', '/api/history', '/api/replay', '/api/command'];

export function createApp(context: WebContext): Hono {
  const app = new Hono();
  const api = new Api(app);
  const known = knownHosts(context.hosts);
  app.use(
    secureHeaders({
      referrerPolicy: 'no-referrer',
      xFrameOptions: 'DENY',
      // Plain http is for loopback and private networks; a proxy that adds TLS says this itself.
      strictTransportSecurity: false,
    }),
    (c, next) => (ANY_HOST.has(c.req.path) ? next() : known(c, next)),
    async (c, next) => {
      await next();
      if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store');
      // The page has a policy of its own.
      if (!c.res.headers.has('content-security-policy'))
        c.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    },
    knownMethods(app),
    inTurn(new Turns(TURNS)),
  );
  const readers = readersOnly(context);
  app.use('/api/*', (c, next) =>
    c.req.path === DESCRIPTION || methodsOf(app, c.req.path).length === 0
      ? next()
      : readers(c, next),
  );
  const strangers = notTheApp(context);
  for (const place of JOURNAL) app.use(place, strangers);
  addReading(api, context);
  addEvents(api, context);
  addMetrics(api, context);
  addActions(app, api, context);
  addWebhook(app, api, context);
  const info = {
    title: 'self-update',
    version: context.programVersion,
    description: 'Dashboard, metrics and API: docs/observability.md',
  };
  app.get(DESCRIPTION, (c) => c.json(api.document(info)));
  app.get('/', async (c) => {
    const { html, policy } = await dashboard();
    c.header('content-security-policy', policy);
    return c.html(html);
  });
  app.notFound((c) => failure(c, 404, 'NOT_FOUND', 'not found: /api/openapi.json lists all paths'));
  app.onError(failureOf);
  return app;
}

/**
 * Flood of dear questions: they are answered one after another, and none of an address that waits
 * for many already.
 */
function inTurn(turns: Turns): MiddlewareHandler {
  return async (c, next) => {
    if (!takesTurns(c.req.method, c.req.path)) return next();
    const end = await turns.take(addressOf(c));
    if (end === null) {
      c.header('retry-after', '1');
      return failure(
        c,
        429,
        'TOO_MANY_REQUESTS',
        `${TURNS.maxWaiting} requests of this address are waiting: send fewer at a time`,
      );
    }
    return next().finally(end);
  };
}

/** The routes, put together. */
import { OpenAPIHono } from '@hono/zod-openapi';
import { secureHeaders } from 'hono/secure-headers';
import { addActions } from './actions.ts';
import type { WebContext } from './context.ts';
import { addEvents } from './events.ts';
import { failure, failureOf } from './failure.ts';
import { knownHosts } from './guard.ts';
import { addMetrics } from './metrics.ts';
import { dashboard } from './page.ts';
import { addReading } from './reading.ts';
import { addWebhook } from './webhook.ts';

/** Asked by load balancers and by GitHub under whatever name; they tell nothing, or are signed. */
const ANY_HOST = new Set(['/healthz', '/readyz', '/hooks/github']);

export function createApp(context: WebContext): OpenAPIHono {
  const app = new OpenAPIHono({
    defaultHook: (result, c) => {
      if (result.success) return;
      const [issue] = result.error.issues;
      return failure(c, 400, 'REQUEST_REFUSED', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'does not fit'}`);
    },
  });
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
      if (!c.res.headers.has('content-security-policy')) c.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    },
  );
  addReading(app, context);
  addEvents(app, context);
  addMetrics(app, context);
  addActions(app, context);
  addWebhook(app, context);
  app.doc31('/api/openapi.json', {
    openapi: '3.1.0',
    info: { title: 'self-update', version: context.programVersion, description: 'See it and steer it: docs/sight.md' },
    servers: [{ url: '/' }],
  });
  app.get('/', async (c) => {
    const { html, policy } = await dashboard();
    c.header('content-security-policy', policy);
    return c.html(html);
  });
  app.notFound((c) => failure(c, 404, 'NOT_FOUND', 'there is nothing here: /api/openapi.json says what there is'));
  app.onError(failureOf);
  return app;
}

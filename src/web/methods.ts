/**
 * What a path can be asked: 405 with `Allow` for other methods, 204 with it for OPTIONS. See RFC
 * 9110, sections 9.3.7 and 15.5.6.
 */
import type { Hono, MiddlewareHandler } from 'hono';
import { failure } from './failure.ts';

/** Before any token or body is looked at. A path that is not there passes, and becomes a 404. */
export function knownMethods(app: Hono): MiddlewareHandler {
  return async (c, next) => {
    const methods = methodsOf(app, c.req.path);
    if (methods.length === 0 || methods.includes(c.req.method)) return next();
    c.header('allow', [...methods, 'OPTIONS'].join(', '));
    if (c.req.method === 'OPTIONS') return c.body(null, 204);
    return failure(
      c,
      405,
      'METHOD_REFUSED',
      `${c.req.path} takes ${methods.join(', ')}, not ${c.req.method}`,
    );
  };
}

/** None where there is nothing. */
export function methodsOf(app: Hono, path: string): string[] {
  const methods = app.routes
    .filter((route) => route.path === path && route.method !== 'ALL')
    .map(({ method }) => method);
  return methods.includes('GET') ? [...methods, 'HEAD'] : methods;
}

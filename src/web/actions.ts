/** The operator's commands over HTTP: placed in the inbox, as the command line places them. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import type { OperatorFact } from '../machines/facts.ts';
import { sightOf, type WebContext } from './context.ts';
import { failure } from './failure.ts';
import { operatorOnly, sameOrigin } from './guard.ts';
import { acceptedSchema, failureSchema } from './schemas.ts';

const MOST_BODY_BYTES = 16 * 1024;

const force = z.boolean().optional().describe('whatever says "not now"');
const version = z.string().min(1).max(255);
const nothing = z.object({});
const aVersion = z.object({ version });

const bare = (text: string) => text.replace(/^v(?=\d)/, '');
const forced = (given: boolean | undefined) => (given ? { force: true } : {});

/** Each with what it takes, and the command that goes into the inbox. */
export const ACTIONS = {
  check: action('Check now', nothing, () => ({ type: 'checkNow' })),
  update: action('Check and update now', z.object({ force }), (body) => ({ type: 'updateRequested', ...forced(body.force) })),
  install: action('Install this very tag, and hold it', z.object({ tag: z.string().min(1).max(255), force }), (body) => ({
    type: 'installRequested',
    tag: body.tag,
    file: null,
    ...forced(body.force),
  })),
  release: action('End a hold', nothing, () => ({ type: 'holdReleased' })),
  restart: action('Restart the app, no update', nothing, () => ({ type: 'restartRequested' })),
  pause: action('No updates until resume', nothing, () => ({ type: 'paused' })),
  resume: action('End a pause', nothing, () => ({ type: 'resumed' })),
  approve: action('This version may interrupt the app', aVersion, (body) => ({ type: 'versionApproved', version: bare(body.version) })),
  deny: action('Never run this version', aVersion, (body) => ({ type: 'versionDenied', version: bare(body.version) })),
  retry: action('Give a denied version another chance', aVersion, (body) => ({ type: 'versionRetried', version: bare(body.version) })),
} as const;

type Command = OperatorFact | { type: 'checkNow' };

function action<S extends z.ZodType>(summary: string, schema: S, command: (body: z.infer<S>) => Command) {
  return { summary, schema: schema as z.ZodType, command: command as (body: unknown) => Command };
}

const json = <S extends z.ZodType>(schema: S, description: string) => ({ description, content: { 'application/json': { schema } } });

export function addActions(app: OpenAPIHono, context: WebContext): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'operator', { type: 'http', scheme: 'bearer', description: 'UPDATE_HTTP_TOKEN' });
  app.use(
    '/api/actions/*',
    sameOrigin,
    operatorOnly(context.token),
    bodyLimit({ maxSize: MOST_BODY_BYTES, onError: (c) => failure(c, 413, 'BODY_TOO_LARGE', `at most ${MOST_BODY_BYTES} bytes are taken`) }),
  );
  for (const [name, { summary, schema, command }] of Object.entries(ACTIONS)) {
    const route = createRoute({
      method: 'post',
      path: `/api/actions/${name}`,
      summary,
      security: [{ operator: [] }],
      request: { body: { content: { 'application/json': { schema } }, required: false } },
      responses: {
        202: json(acceptedSchema, 'the command is in the inbox'),
        400: json(failureSchema, 'the body does not fit'),
        401: json(failureSchema, 'no token, or a wrong one'),
        403: json(failureSchema, 'from another site, or there are no actions'),
        413: json(failureSchema, 'too large'),
        415: json(failureSchema, 'not JSON'),
        503: json(failureSchema, 'the updater is not there yet'),
        507: json(failureSchema, 'the inbox can not be written'),
      },
    });
    app.openapi(route, async (c) => {
      const sight = sightOf(context);
      const text = await c.req.text();
      const body = schema.safeParse(text === '' ? {} : parse(text));
      if (!body.success) {
        const [issue] = body.error.issues;
        return failure(c, 400, 'BODY_REFUSED', `${issue?.path.join('.') || 'the body'}: ${issue?.message ?? 'does not fit'}`) as never;
      }
      return c.json({ ok: true as const, id: sight.submit(command(body.data)) }, 202);
    });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

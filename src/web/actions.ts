/** The operator's commands over HTTP: placed in the inbox, as the command line places them. */
import type { Hono } from 'hono';
import * as z from 'zod';
import type { OperatorFact } from '../machines/facts.ts';
import { visible } from '../support/visible.ts';
import { isJson, parseJson, readBody } from './body.ts';
import { viewOf, type WebContext } from './context.ts';
import { type Api, json, refusal } from './describe.ts';
import { failure } from './failure.ts';
import { operatorOnly, sameOrigin } from './guard.ts';
import { acceptedSchema } from './schemas.ts';

const MAX_BODY_BYTES = 16 * 1024;

const force = z.boolean().optional().describe('whatever says "not now"');
/**
 * No tag holds control characters (git-check-ref-format(1)): they would only be meant for
 * somebody's terminal.
 */
const name = z
  .string()
  .min(1)
  .max(255)
  .refine((text) => visible(text) === text, 'contains control characters, which no tag does');

const nothing = z.object({});
const aVersion = z.object({ version: name });

const bare = (text: string) => text.replace(/^v(?=\d)/, '');
const forced = (given: boolean | undefined) => (given ? { force: true } : {});

/** Each with what it takes, and the command that goes into the inbox. */
export const ACTIONS = {
  check: action('Check now', nothing, () => ({ type: 'checkNow' })),
  update: action('Check and update now', z.object({ force }), (body) => ({
    type: 'updateRequested',
    ...forced(body.force),
  })),
  install: action(
    'Install exactly this tag, and hold it',
    z.object({ tag: name, force }),
    (body) => ({
      type: 'installRequested',
      tag: body.tag,
      file: null,
      ...forced(body.force),
    }),
  ),
  release: action('End a hold', nothing, () => ({ type: 'holdReleased' })),
  restart: action('Restart the app, without an update', nothing, () => ({
    type: 'restartRequested',
  })),
  pause: action('Suspend updates until resume', nothing, () => ({ type: 'paused' })),
  resume: action('End a pause', nothing, () => ({ type: 'resumed' })),
  approve: action('This version may interrupt the app', aVersion, (body) => ({
    type: 'versionApproved',
    version: bare(body.version),
  })),
  deny: action('Never run this version', aVersion, (body) => ({
    type: 'versionDenied',
    version: bare(body.version),
  })),
  retry: action('Allow a denied version again', aVersion, (body) => ({
    type: 'versionRetried',
    version: bare(body.version),
  })),
  'fleet-release': action("Give back the fleet's lock that is kept", nothing, () => ({
    type: 'fleetReleaseRequested',
  })),
} as const;

type Command = OperatorFact | { type: 'checkNow' };

const responses = {
  202: json(acceptedSchema, 'the command is in the inbox'),
  400: refusal('the body is invalid'),
  401: refusal('no token, or a wrong one'),
  403: refusal('from another site, or actions are off'),
  413: refusal('too large'),
  415: refusal('not JSON'),
  503: refusal('the updater is starting'),
  507: refusal("the inbox can't be written"),
};

function action<S extends z.ZodType>(
  summary: string,
  schema: S,
  command: (body: z.infer<S>) => Command,
) {
  return { summary, schema: schema as z.ZodType, command: command as (body: unknown) => Command };
}

export function addActions(app: Hono, api: Api, context: WebContext): void {
  app.use('/api/actions/*', sameOrigin, operatorOnly(context));
  for (const [name, { summary, schema, command }] of Object.entries(ACTIONS)) {
    api.add(
      {
        method: 'post',
        path: `/api/actions/${name}`,
        summary,
        operator: true,
        body: schema,
        responses,
      },
      async (c) => {
        const view = viewOf(context);
        const text = await readBody(c, MAX_BODY_BYTES);
        if (typeof text !== 'string') return text;
        if (text !== '' && !isJson(c))
          return failure(
            c,
            415,
            'NOT_JSON',
            'the body is not declared as JSON: send it with Content-Type: application/json',
          );
        const value = text === '' ? {} : parseJson(text);
        if (value === undefined) return failure(c, 400, 'BODY_REFUSED', 'the body is not JSON');
        const body = schema.safeParse(value);
        if (!body.success) {
          const [issue] = body.error.issues;
          return failure(
            c,
            400,
            'BODY_REFUSED',
            `${issue?.path.join('.') || 'the body'}: ${issue?.message ?? 'is invalid'}`,
          );
        }
        return c.json({ ok: true, id: view.submit(command(body.data)) }, 202);
      },
    );
  }
}

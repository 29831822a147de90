/**
 * Routes with their description: what `/api/openapi.json` says is what was registered. See the
 * OpenAPI Specification 3.1, whose schemas are JSON Schema.
 */
import type { Context, Handler, Hono } from 'hono';
import * as z from 'zod';
import { Fault } from '../support/fault.ts';
import { failureSchema } from './schemas.ts';
import { takesTurns } from './turns.ts';

type Answer = { description: string; schema?: z.ZodType; type?: string };

export type Route = {
  method: 'get' | 'post';
  path: string;
  summary: string;
  description?: string;
  query?: z.ZodObject;
  headers?: z.ZodObject;
  body?: z.ZodType;
  /** Needs the operator's token. */
  operator?: boolean;
  responses: Readonly<Record<number, Answer>>;
};

export const json = (schema: z.ZodType, description: string): Answer => ({ description, schema });
/** A refusal, in the shape that all of them have. */
export const refusal = (description: string): Answer => json(failureSchema, description);

export class Api {
  readonly #app: Hono;
  readonly #routes: Route[] = [];

  constructor(app: Hono) {
    this.#app = app;
  }

  add(route: Route, handler: Handler): void {
    // Reading asks for the token where one is set.
    const always = route.path.startsWith('/api/')
      ? { 401: refusal('no token, or a wrong one'), 503: refusal('the updater is starting') }
      : {};
    const inTurn = takesTurns(route.method, route.path)
      ? { 429: refusal('too many requests of this address are waiting') }
      : {};
    this.#routes.push({ ...route, responses: { ...always, ...inTurn, ...route.responses } });
    this.#app.on(route.method.toUpperCase(), route.path, handler);
  }

  /** The OpenAPI document. */
  document(info: { title: string; version: string; description: string }): object {
    const paths: Record<string, Record<string, object>> = {};
    for (const route of this.#routes)
      paths[route.path] = { ...paths[route.path], [route.method]: operation(route) };
    const components = {
      securitySchemes: {
        operator: { type: 'http', scheme: 'bearer', description: 'UPDATE_HTTP_TOKEN' },
      },
    };
    return { openapi: '3.1.0', info, servers: [{ url: '/' }], paths, components };
  }
}

/** The query as its schema has it. Throws `Fault` `REQUEST_REFUSED`. */
export function queryOf<S extends z.ZodObject>(c: Context, schema: S): z.infer<S> {
  const result = schema.safeParse(c.req.query());
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Fault(
    'REQUEST_REFUSED',
    `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is invalid'}`,
  );
}

function operation({
  summary,
  description,
  query,
  headers,
  body,
  operator,
  responses,
}: Route): object {
  return {
    summary,
    ...(description === undefined ? {} : { description }),
    ...(operator ? { security: [{ operator: [] }] } : {}),
    parameters: [...parameters(query, 'query'), ...parameters(headers, 'header')],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: false,
            content: { 'application/json': { schema: schemaOf(body) } },
          },
        }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, answer]) => [status, responseOf(answer)]),
    ),
  };
}

function parameters(shape: z.ZodObject | undefined, place: 'query' | 'header'): object[] {
  return Object.entries(shape?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: place,
    required: false,
    schema: schemaOf(schema as z.ZodType),
  }));
}

function responseOf({ description, schema, type = 'application/json' }: Answer): object {
  return {
    description,
    ...(schema === undefined ? {} : { content: { [type]: { schema: schemaOf(schema) } } }),
  };
}

function schemaOf(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}

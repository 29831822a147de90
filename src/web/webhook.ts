/**
 * GitHub's webhook: a release is looked for within a second instead of within SLEEP. What it says
 * is only a hint, since the check asks GitHub itself. See "Validating webhook deliveries",
 * https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
 */

import type { HttpBindings } from '@hono/node-server';
import { verify } from '@octokit/webhooks-methods';
import type { Hono } from 'hono';
import * as z from 'zod';
import { Allowance } from './allowance.ts';
import { isJson, parseJson, readBody } from './body.ts';
import { viewOf, type WebContext } from './context.ts';
import { type Api, json, type Route, refusal } from './describe.ts';
import { failure } from './failure.ts';
import { addressOf } from './guard.ts';
import { webhookSchema } from './schemas.ts';
import { Shares } from './shares.ts';

/**
 * A release with a thousand assets is 2 MB. GitHub's limit is 25 MB; strangers must not make the
 * server hold that much.
 */
const MAX_BODY_BYTES = 3 * 1024 * 1024;
const MAX_BODIES = 8;
/**
 * A release tells of itself a handful of times (created, published, edited). Then one check in the
 * time of a poll, which looks by itself.
 */
const CHECKS_AT_ONCE = 20;
const MIN_REFILL_MS = 60_000;
const SIGNATURE = /^sha256=[0-9a-f]{64}$/;
const UNSIGNED =
  'X-Hub-Signature-256 does not match the body: the secrets differ, or something in between changed it';

const SECRET_MISSING =
  'the file of UPDATE_WEBHOOK_SECRET is empty or missing: write the secret into it';

const payloadSchema = z.object({
  action: z.string(),
  repository: z.object({ full_name: z.string() }),
});

export function addWebhook(app: Hono, api: Api, context: WebContext): void {
  const { webhookSecret, repository } = context;
  const bodies = new Shares(MAX_BODIES);
  const allowance = new Allowance(CHECKS_AT_ONCE, Math.max(context.pollIntervalMs, MIN_REFILL_MS));
  app.use('/hooks/github', async (c, next) => {
    if (!context.takesWebhooks)
      return failure(
        c,
        404,
        'WEBHOOK_OFF',
        'webhooks are accepted once UPDATE_WEBHOOK_SECRET is set',
      );
    if (webhookSecret() === null) return failure(c, 503, 'SECRET_MISSING', SECRET_MISSING);
    // Endless data: whoever can't even look signed has no body held, and of the others only so many
    // at a time. Slow bodies: whoever sends most of them loses one to a newcomer.
    if (!SIGNATURE.test(c.req.header('x-hub-signature-256') ?? ''))
      return failure(c, 401, 'SIGNATURE_REFUSED', UNSIGNED);
    const leave = bodies.enter(addressOf(c), () => (c.env as HttpBindings).incoming.destroy());
    try {
      return await next();
    } finally {
      leave();
    }
  });
  const route: Route = {
    method: 'post',
    path: '/hooks/github',
    summary: "GitHub's webhook: `release` events start a check",
    responses: {
      200: json(webhookSchema, 'accepted, nothing to do'),
      202: json(webhookSchema, 'a check was requested'),
      400: refusal('the body is empty or not JSON'),
      401: refusal('the signature does not match'),
      404: refusal('no UPDATE_WEBHOOK_SECRET is set'),
      413: refusal('too large'),
      415: refusal('not JSON'),
      503: refusal('the updater is starting, or the secret is missing'),
    },
  };
  api.add(route, async (c) => {
    // The raw body, before anything reads it.
    const body = await readBody(c, MAX_BODY_BYTES);
    if (typeof body !== 'string') return body;
    if (body === '') return failure(c, 400, 'BODY_REFUSED', 'the body is empty');
    const signature = c.req.header('x-hub-signature-256') ?? '';
    const secret = webhookSecret();
    if (secret === null) return failure(c, 503, 'SECRET_MISSING', SECRET_MISSING);
    if (!(await verify(secret, body, signature)))
      return failure(c, 401, 'SIGNATURE_REFUSED', UNSIGNED);
    if (!isJson(c))
      return failure(c, 415, 'NOT_JSON', "choose application/json as the webhook's content type");
    const parsed = parseJson(body);
    if (parsed === undefined)
      return failure(c, 400, 'BODY_REFUSED', 'the body is signed, but not JSON');
    const payload = payloadSchema.safeParse(parsed);
    const concerns =
      payload.success &&
      payload.data.repository.full_name.toLowerCase() === repository.toLowerCase();
    if (c.req.header('x-github-event') !== 'release' || !concerns)
      return c.json({ ok: true, outcome: 'ignored' }, 200);
    const { deliveries, submit } = viewOf(context);
    // Replay: the delivery's id is not signed, but the body is, and GitHub never sends the same one
    // for another event.
    if (deliveries.has(signature)) return c.json({ ok: true, outcome: 'duplicate' }, 200);
    deliveries.add(signature);
    // Replay, of what is so old that it was forgotten: all that it can cause is a check, and checks
    // use up GitHub's limit.
    if (!allowance.take()) return c.json({ ok: true, outcome: 'limited' }, 200);
    submit({ type: 'checkNow' });
    return c.json({ ok: true, outcome: 'checking' }, 202);
  });
}

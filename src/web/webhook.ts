/**
 * GitHub's webhook: a release is looked for within a second instead of within SLEEP. What it says is only a hint, since
 * the check asks GitHub itself. See "Validating webhook deliveries",
 * https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
 */
import { verify } from '@octokit/webhooks-methods';
import type { Hono } from 'hono';
import * as z from 'zod';
import { isJson, parseJson, readBody } from './body.ts';
import { sightOf, type WebContext } from './context.ts';
import { type Api, json, type Route, refusal } from './describe.ts';
import { failure } from './failure.ts';
import { webhookSchema } from './schemas.ts';

/** A release with a thousand assets is 2 MB. GitHub caps at 25, which nobody who is not GitHub is to make us hold. */
const MAX_BODY_BYTES = 5 * 1024 * 1024;

const MAX_BODIES = 4;
const SIGNATURE = /^sha256=[0-9a-f]{64}$/;
const UNSIGNED = 'X-Hub-Signature-256 does not fit the body: the secrets differ, or something on the way changed it';

const payloadSchema = z.object({ action: z.string(), repository: z.object({ full_name: z.string() }) });

export function addWebhook(app: Hono, api: Api, context: WebContext): void {
  const { webhookSecret, repository } = context;
  let held = 0;
  app.use('/hooks/github', async (c, next) => {
    if (webhookSecret() === null) return failure(c, 404, 'WEBHOOK_OFF', 'webhooks are taken once UPDATE_WEBHOOK_SECRET is set');
    // Endless data: whoever can't even look signed has no body held, and of the others only so many at a time.
    if (!SIGNATURE.test(c.req.header('x-hub-signature-256') ?? '')) return failure(c, 401, 'SIGNATURE_REFUSED', UNSIGNED);
    if (held >= MAX_BODIES) return failure(c, 503, 'BUSY', 'other webhooks are being read: deliver it again');
    held += 1;
    try {
      return await next();
    } finally {
      held -= 1;
    }
  });
  const route: Route = {
    method: 'post',
    path: '/hooks/github',
    summary: "GitHub's webhook: `release` events start a check",
    responses: {
      200: json(webhookSchema, 'understood, and nothing to do'),
      202: json(webhookSchema, 'a check is on its way'),
      400: refusal('the body is empty or not JSON'),
      401: refusal('the signature does not fit'),
      404: refusal('no UPDATE_WEBHOOK_SECRET is set'),
      413: refusal('too large'),
      415: refusal('not JSON'),
      503: refusal('the updater is not there yet, or busy'),
    },
  };
  api.add(route, async (c) => {
    // The raw body, before anything reads it.
    const body = await readBody(c, MAX_BODY_BYTES);
    if (typeof body !== 'string') return body;
    if (body === '') return failure(c, 400, 'BODY_REFUSED', 'the body is empty');
    const signature = c.req.header('x-hub-signature-256') ?? '';
    const secret = webhookSecret();
    if (secret === null || !(await verify(secret, body, signature))) return failure(c, 401, 'SIGNATURE_REFUSED', UNSIGNED);
    if (!isJson(c)) return failure(c, 415, 'NOT_JSON', "choose application/json as the webhook's content type");
    const parsed = parseJson(body);
    if (parsed === undefined) return failure(c, 400, 'BODY_REFUSED', 'the body is signed, and not JSON');
    const payload = payloadSchema.safeParse(parsed);
    const concerns = payload.success && payload.data.repository.full_name.toLowerCase() === repository.toLowerCase();
    if (c.req.header('x-github-event') !== 'release' || !concerns) return c.json({ ok: true, outcome: 'ignored' }, 200);
    const { deliveries, submit } = sightOf(context);
    // Replay: the delivery's id is not signed, but the body is, and GitHub never sends the same one for another event.
    if (deliveries.has(signature)) return c.json({ ok: true, outcome: 'duplicate' }, 200);
    submit({ type: 'checkNow' });
    deliveries.add(signature);
    return c.json({ ok: true, outcome: 'checking' }, 202);
  });
}

/**
 * A request's body, in whatever form it comes: with a length, in chunks, or with neither, which is
 * how `curl -X POST` says that there is none. It is read from the connection itself, because Hono's
 * own limit needs a global Request, which breaks got.
 */
import type { IncomingMessage } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { failure } from './failure.ts';

/**
 * The body as text; or the refusal to answer with: 400 when it is not UTF-8, 413 when it is longer
 * than `maxBytes`, 415 when it is compressed.
 */
export async function readBody(c: Context, maxBytes: number): Promise<string | Response> {
  const encoding = c.req.header('content-encoding') ?? 'identity';
  if (encoding.toLowerCase() !== 'identity')
    return failure(c, 415, 'NOT_JSON', `send the body without Content-Encoding: ${encoding}`);
  const tooLarge = () =>
    failure(c, 413, 'BODY_TOO_LARGE', `at most ${maxBytes} bytes are accepted`);
  if (Number(c.req.header('content-length') ?? 0) > maxBytes) return tooLarge();
  const bytes = await readBytes((c.env as HttpBindings).incoming, maxBytes);
  if (bytes === null) return tooLarge();
  try {
    // With its BOM, if it has one: a signature is over all of the bytes.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return failure(c, 400, 'BODY_REFUSED', 'the body is not UTF-8');
  }
}

/** Null when there is more than `maxBytes`. */
async function readBytes(incoming: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  // The connection has to stay open for the answer.
  for await (const chunk of incoming.iterator({
    destroyOnReturn: false,
  }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Whether the body is declared to be JSON, whatever the case and the parameters. */
export function isJson(c: Context): boolean {
  return c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase() === 'application/json';
}

/**
 * Undefined, which no schema takes, when it is not JSON. A BOM before it is passed over, as RFC
 * 8259 allows.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch {
    return undefined;
  }
}

/** Refusals, in the shape that the command line's `--json` has. */
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { toFault } from '../support/fault.ts';
import { visible } from '../support/visible.ts';

export function failure(
  c: Context,
  status: ContentfulStatusCode,
  code: string,
  message: string,
): Response {
  return c.json({ ok: false, error: { code, message: visible(message) } }, status);
}

/**
 * Anything thrown: 503 while the updater starts, 507 and the like for the disk, 500 for what nobody
 * expected.
 */
export function failureOf(error: unknown, c: Context): Response {
  // What Hono's own guards refuse with; some have an answer of their own.
  if (error instanceof HTTPException)
    return error.res
      ? error.getResponse()
      : failure(c, error.status, 'REQUEST_REFUSED', error.message);
  const { code, message } = toFault(error, 'UNEXPECTED');
  if (code === 'STARTING') c.header('retry-after', '5');
  return failure(c, STATUS[code] ?? 500, code, message);
}

const STATUS: Record<string, ContentfulStatusCode> = {
  REQUEST_REFUSED: 400,
  STARTING: 503,
  NO_SPACE: 507,
  READ_ONLY: 507,
  DISK_ERROR: 507,
  JOURNAL_BUSY: 503,
};

/**
 * The dashboard's page: built beside the program; run from the sources, it is built at the first
 * visit.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Fault } from '../support/fault.ts';

export type Page = { html: string; policy: string };

/** Written by `npm run build`. */
const BUILT = path.join(import.meta.dirname, 'dashboard.json.gz');
/** Ten times what it has. */
const MAX_PAGE_BYTES = 1024 * 1024;
/** Not named in an import, so that the bundle of the program does not hold the builder. */
const BUILDER = '../../scripts/dashboard.ts';

let built: Promise<Page> | undefined;

export async function dashboard(): Promise<Page> {
  built ??= existsSync(BUILT) ? readFile(BUILT).then(unpacked) : buildNow();
  return built;
}

function unpacked(bytes: Buffer): Page {
  return JSON.parse(
    gunzipSync(bytes, { maxOutputLength: MAX_PAGE_BYTES }).toString('utf8'),
  ) as Page;
}

async function buildNow(): Promise<Page> {
  try {
    const { buildDashboard } = (await import(BUILDER)) as { buildDashboard: () => Promise<Page> };
    return await buildDashboard();
  } catch (cause) {
    built = undefined;
    throw new Fault(
      'DASHBOARD_MISSING',
      'the dashboard was not built, and its builder is not installed: run `npm ci` and `npm run build`',
      { cause },
    );
  }
}

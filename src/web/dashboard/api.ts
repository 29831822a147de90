/** What the server says, and how it is asked. The shapes are those of /api/openapi.json. */
import type { Update } from '../../report/history.ts';
import type { Status } from '../../report/status.ts';

export type { Status, Update };
export type Event = { seq: number; at: string; type: string; state: string; text: string; code?: string };
export type History = { updates: Update[]; way: string[] };
export type Progress = { receivedBytes: number; totalBytes: number } | null;
/** What the machine remembered: as much of it as is shown. */
export type Context = {
  current: { version: string } | null;
  previous: { version: string } | null;
  lastGood: { version: string } | null;
  candidate: { release: { version: string; tag: string }; attempt: number } | null;
  denied: { version: string; reason: string }[];
  hold: { version: string } | null;
  paused: boolean;
  lastError: { code: string; message: string } | null;
};
export type Replay = { seq: number; state: string; value: unknown; outstanding: string[]; context: Context };

/** A state with the one inside it: `running.settled`. */
export function pathOf(value: unknown): string {
  return typeof value === 'string'
    ? value
    : Object.entries(value as object)
        .flat()
        .join('.');
}

/** Throws an `Error` whose message is the server's own. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return answerOf<T>(await fetch(path, signal === undefined ? {} : { signal }));
}

export async function act(name: string, token: string, body: object): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  await answerOf(await fetch(`api/actions/${name}`, { method: 'POST', headers, body: JSON.stringify(body) }));
}

async function answerOf<T>(response: Response): Promise<T> {
  const body = (await response.json().catch(() => null)) as (T & { error?: { message?: string } }) | null;
  if (response.ok && body !== null) return body;
  throw new Error(body?.error?.message ?? `the server answered ${response.status}`);
}

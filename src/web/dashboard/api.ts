/** What the server says, and how it is asked. The shapes are those of /api/openapi.json. */
import type { Update } from '../../report/history.ts';
import type { Status } from '../../report/status.ts';

export type { Status, Update };
export type Event = {
  seq: number;
  at: string;
  type: string;
  state: string;
  text: string;
  code?: string;
};
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
export type Replay = {
  seq: number;
  state: string;
  value: unknown;
  outstanding: string[];
  context: Context;
};

/** A state with the one inside it: `running.settled`. */
export function pathOf(value: unknown): string {
  return typeof value === 'string'
    ? value
    : Object.entries(value as object)
        .flat()
        .join('.');
}

/** The server asks for the token. */
export class Locked extends Error {}

/** Throws an `Error` whose message is the server's own. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return answerOf<T>(
    await fetch(path, { headers: authorization(), ...(signal === undefined ? {} : { signal }) }),
  );
}

export type Message = { event: string; data: string };

/** Server-sent events. Not by EventSource, which can't send a token. Ends with the stream. */
export async function* listen(path: string, signal: AbortSignal): AsyncGenerator<Message> {
  const response = await fetch(path, { headers: authorization(), signal });
  if (response.status !== 200 || response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const blocks = (rest + piece.value).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(
        block
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      const data = fields.get('data');
      if (data !== undefined) yield { event: fields.get('event') ?? 'message', data };
    }
  }
}

const STORED = 'self-update-token';

/** It stays in this tab. */
export function storedToken(): string {
  return sessionStorage.getItem(STORED) ?? '';
}

export function storeToken(token: string): void {
  sessionStorage.setItem(STORED, token);
}

function authorization(): Record<string, string> {
  const token = storedToken();
  return token === '' ? {} : { authorization: `Bearer ${token}` };
}

export async function act(name: string, body: object): Promise<void> {
  const headers = { ...authorization(), 'content-type': 'application/json' };
  await answerOf(
    await fetch(`api/actions/${name}`, { method: 'POST', headers, body: JSON.stringify(body) }),
  );
}

async function answerOf<T>(response: Response): Promise<T> {
  const body = (await response.json().catch(() => null)) as
    | (T & { error?: { message?: string } })
    | null;
  if (response.ok && body !== null) return body;
  const message = body?.error?.message ?? `the server answered ${response.status}`;
  throw response.status === 401 ? new Locked(message) : new Error(message);
}

/**
 * What an app writes before it ends, for one that ends again and again: its next start has its
 * output led into a file, once. No errno can be seen from outside.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The supervisor pauses for a second before it starts it again. */
const RESTART_PATIENCE_MS = 3000;
/** Long enough for what tries a port several times; a program that binds says so soon. */
const END_PATIENCE_MS = 5000;
const LOOK_MS = 20;
/** The end of what was written. */
const MAX_WORDS_BYTES = 64 * 1024;
/** What writes more than this is ended, so that it does not fill the disk. */
const MAX_FILE_BYTES = 1024 * 1024;

/** `isTaken`: a start has the file. `isOver`: … and has ended. */
export type Take = { file: string; isTaken: () => boolean; isOver: () => boolean };

/** Waits for the next start, and for its end. Returns what was written until then. */
export async function wordsOf(take: Take, signal: AbortSignal): Promise<string> {
  const { file, isTaken, isOver } = take;
  await until(isTaken, RESTART_PATIENCE_MS, signal);
  if (!isTaken()) return '';
  await until(() => isOver() || sizeOf(file) > MAX_FILE_BYTES, END_PATIENCE_MS, signal);
  return tailOf(file);
}

async function until(isSo: () => boolean, patienceMs: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!isSo() && performance.now() < deadline) await sleep(LOOK_MS, undefined, { signal });
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** The app may write on meanwhile; no more than this is read. */
function tailOf(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const start = Math.max(0, fstatSync(descriptor).size - MAX_WORDS_BYTES);
    const words = Buffer.alloc(MAX_WORDS_BYTES);
    return words.toString('utf8', 0, readSync(descriptor, words, 0, MAX_WORDS_BYTES, start));
  } finally {
    closeSync(descriptor);
  }
}

/** As the C library, Node, Python, Rust, Java, Spring and gunicorn say it. */
const IN_USE =
  /EADDRINUSE|AddrInUse|address (?:is )?(?:already )?in use|connection in use|errno 98|os error 98|port \d+ (?:is|was) already in use/i;
/** A port by its looks: no part of a time. */
const PORT = /(?::|\bport[ =:]*|, ?)(\d{3,5})\b/gi;

/**
 * The held port that the words say is in use; the first one where they name none, and null where
 * they say nothing of the kind, or name only others.
 */
export function heldPortIn(words: string, held: readonly number[]): number | null {
  const lines = words.split('\n').filter((line) => IN_USE.test(line));
  if (lines.length === 0) return null;
  const named = lines.flatMap((line) =>
    [...line.matchAll(PORT)].map(([, digits]) => Number(digits)),
  );
  const all = [...words.matchAll(PORT)].map(([, digits]) => Number(digits));
  const port = held.find((port) => named.includes(port)) ?? null;
  if (port !== null || named.length > 0) return port;
  return held.find((port) => all.includes(port)) ?? held[0] ?? null;
}

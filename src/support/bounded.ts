/**
 * Whatever is read from outside ends: a file, an answer's body, what a process writes. One place,
 * and `test/support/bounded.test.ts` holds the rest of the source to it. A read that waits (a FIFO
 * that nobody writes, a terminal) is never begun; one that grows for ever is cut off.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { Fault } from './fault.ts';
import { visible } from './visible.ts';

/** A FIFO is opened at once, with or without a writer, and a terminal does not become ours. */
const AT_ONCE = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const PIECE_BYTES = 64 * 1024;

/** A secret, a setting's file, a note of ours, a line of /proc: a page of text. */
export const MAX_NOTE_BYTES = 64 * 1024;
/**
 * What the kernel tells of a process, or a table of locks: large with a large environment, and
 * never larger than this by itself.
 */
export const MAX_PROC_BYTES = 8 * 1024 * 1024;
/** What a helper program of ours prints. */
export const MAX_OUTPUT_BYTES = 1024 * 1024;

/**
 * A regular file, whole. Links are followed: secrets are mounted by them. Throws `Fault`
 * `NOT_A_FILE` or `FILE_TOO_LARGE`, and errors of the system as they are.
 */
export function readBounded(file: string, maxBytes: number): Buffer {
  const descriptor = openSync(file, AT_ONCE);
  try {
    assertRegular(file, fstatSync(descriptor));
    return readDescriptor(descriptor, file, maxBytes);
  } finally {
    closeSync(descriptor);
  }
}

/** The first bytes of a regular file, no more than these: of a table whose end may be far away. */
export function readBeginning(file: string, maxBytes: number): Buffer {
  const descriptor = openSync(file, AT_ONCE);
  try {
    assertRegular(file, fstatSync(descriptor));
    return readUpTo(descriptor, maxBytes);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * A long table of the kernel's, in texts of whole lines, of which only one is in memory at a time.
 * Whoever found what was looked for leaves the loop. Throws as `readBounded` does.
 */
export function* readTable(file: string, maxBytes: number): Generator<string> {
  const descriptor = openSync(file, AT_ONCE);
  try {
    assertRegular(file, fstatSync(descriptor));
    let rest = '';
    for (let size = 0; ; ) {
      const piece = readPiece(descriptor, maxBytes + 1 - size);
      if (piece.length === 0) break;
      size += piece.length;
      if (size > maxBytes) throw tooLarge(file, maxBytes);
      const text = rest + piece.toString('latin1');
      const end = text.lastIndexOf('\n') + 1;
      rest = text.slice(end);
      yield text.slice(0, end);
    }
    yield rest;
  } finally {
    closeSync(descriptor);
  }
}

/** Throws `Fault` `FILE_TOO_LARGE`. */
export function readDescriptor(descriptor: number, file: string, maxBytes: number): Buffer {
  const bytes = readUpTo(descriptor, maxBytes + 1);
  if (bytes.length > maxBytes) throw tooLarge(file, maxBytes);
  return bytes;
}

function tooLarge(file: string, maxBytes: number): Fault {
  return new Fault(
    'FILE_TOO_LARGE',
    `${file} is larger than ${maxBytes} bytes: is it the right file?`,
  );
}

/**
 * To the end, or to so many bytes. What the file says of its size is not believed: /proc says 0,
 * and a log grows.
 */
function readUpTo(descriptor: number, maxBytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let size = 0; size < maxBytes; ) {
    const piece = readPiece(descriptor, maxBytes - size);
    if (piece.length === 0) break;
    size += piece.length;
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

/**
 * One for all reads. A new one for each piece is memory that only a garbage collection gives back,
 * and one look at the process table reads hundreds: with many processes it was 10 MB of a resident
 * updater, which the C library kept. Made at the first read, so that it is not in the snapshot.
 */
let sharedPiece: Buffer | null = null;

/** Empty at the end. Valid until the next piece is read, of whatever file. */
function readPiece(descriptor: number, maxBytes: number): Buffer {
  sharedPiece ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
  const read = readSync(descriptor, sharedPiece, 0, Math.min(PIECE_BYTES, maxBytes), null);
  return sharedPiece.subarray(0, read);
}

export function assertRegular(file: string, stats: Stats): void {
  if (!stats.isFile())
    throw new Fault('NOT_A_FILE', `${file} is ${kindOf(stats)}, and not a regular file`);
}

export function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isDirectory()) return 'a directory';
  if (stats.isSocket()) return 'a socket';
  if (stats.isSymbolicLink()) return 'a link';
  return stats.isFile() ? 'a file' : 'a device';
}

/**
 * A stream to its end. `tooLarge` and `tooLate` are what it is ended with; bytes count as they come
 * out of it, so decompressed.
 */
export async function readStream(
  stream: Readable,
  {
    maxBytes,
    withinMs,
    tooLarge,
    tooLate,
  }: { maxBytes: number; withinMs: number; tooLarge: () => Error; tooLate: () => Error },
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  // A byte now and then would keep every shorter timeout from its end.
  const deadline = setTimeout(() => stream.destroy(tooLate()), withinMs);
  try {
    for await (const piece of stream) {
      size += (piece as Buffer).length;
      if (size > maxBytes) throw tooLarge();
      pieces.push(piece as Buffer);
    }
    return Buffer.concat(pieces);
  } finally {
    clearTimeout(deadline);
    stream.destroy();
  }
}

const MAX_LINE_CHARACTERS = 1000;
const MAX_LINES = 1000;

/**
 * Lines out of a stream of somebody else's bytes: neither a line without an end nor one without a
 * pause may fill memory or the log.
 */
export class LineReader {
  readonly #say: (line: string) => void;
  readonly #maxLines: number;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #lines = 0;

  constructor(say: (line: string) => void, maxLines = MAX_LINES) {
    this.#say = say;
    this.#maxLines = maxLines;
  }

  push(chunk: Buffer): void {
    const parts = (this.#rest + this.#decoder.write(chunk)).split(/\r?\n/);
    this.#rest = (parts.pop() ?? '').slice(0, MAX_LINE_CHARACTERS);
    for (const part of parts) this.#emit(part);
  }

  end(): void {
    if (this.#rest !== '') this.#emit(this.#rest);
    this.#rest = '';
  }

  #emit(line: string): void {
    this.#lines += 1;
    if (this.#lines > this.#maxLines) return;
    // Visible before it is cut: a zero becomes six characters.
    this.#say(
      this.#lines === this.#maxLines
        ? '… (more output omitted)'
        : visible(line).slice(0, MAX_LINE_CHARACTERS),
    );
  }
}

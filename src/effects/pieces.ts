/**
 * A large file, piece by piece, in two buffers: pieces of their own would be garbage, 30 MB of it
 * before V8 looks.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';

const PIECE_BYTES = 256 * 1024;

/**
 * The next piece is read while this one is looked at, and overwritten by the one after it: copy
 * what is to be kept.
 */
export async function* piecesOf(file: string): AsyncGenerator<Buffer> {
  yield* piecesFrom(await open(file, 'r'));
}

/**
 * Closes the handle. `maxBytes`: no more than so many are read, for a file that may grow meanwhile.
 */
export async function* piecesFrom(
  handle: FileHandle,
  maxBytes = Number.POSITIVE_INFINITY,
): AsyncGenerator<Buffer> {
  let [current, other] = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)];
  const read = (into: Buffer) => {
    const reading = handle.read(into, 0, PIECE_BYTES, null);
    // Heard when it is awaited; if the caller stops before, by nobody.
    reading.catch(() => {});
    return reading;
  };
  let reading = read(current);
  let leftBytes = maxBytes;
  try {
    for (;;) {
      const { bytesRead } = await reading;
      if (bytesRead === 0 || leftBytes === 0) return;
      reading = read(other);
      const wanted = Math.min(bytesRead, leftBytes);
      leftBytes -= wanted;
      yield current.subarray(0, wanted);
      [current, other] = [other, current];
    }
  } finally {
    await reading.catch(() => {});
    await handle.close();
  }
}

/** What is in a file; sha256 in lower-case hex. */
export function sumOf(file: string): Promise<{ sizeBytes: number; sha256: string }> {
  return sumOfPieces(piecesOf(file));
}

/** The same of pieces. Throws where `signal` is aborted meanwhile. */
export async function sumOfPieces(
  pieces: AsyncIterable<Buffer>,
  signal: AbortSignal | null = null,
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    hash.update(piece);
    sizeBytes += piece.length;
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

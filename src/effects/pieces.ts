/** A large file, piece by piece, in one buffer: pieces of their own would be garbage, 30 MB of it before V8 looks. */
import { open } from 'node:fs/promises';

const PIECE_BYTES = 256 * 1024;

/** Each piece is overwritten by the next one: whoever wants to keep something of it copies it. */
export async function* piecesOf(file: string): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  const handle = await open(file, 'r');
  try {
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, PIECE_BYTES, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

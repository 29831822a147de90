/**
 * Files that an operator names. What is there may be anything, and may change while it is read: it
 * is opened without waiting for another end (a FIFO), looked at on its descriptor, and read no
 * further than it reached then.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Fault } from '../support/fault.ts';

const PIECE_BYTES = 256 * 1024;
/** Sums and signatures have a few kB. */
const MAX_SMALL_BYTES = 16 * 1024 * 1024;

/** Throws `Fault` `FILE_MISSING` for what is no regular file; close the handle. */
export async function openLocal(file: string): Promise<{ handle: FileHandle; sizeBytes: number }> {
  const missing = (cause: unknown) =>
    new Fault(
      'FILE_MISSING',
      `${file} is not a file that the updater can read: give the path as the updater sees it`,
      { cause },
    );
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: unknown) => {
      throw missing(error);
    },
  );
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw missing(null);
    return { handle, sizeBytes: stats.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Copies a file into a new one. Throws `Fault` `LENGTH_MISMATCH` where it is no longer as large as
 * it was.
 */
export async function copyLocal(
  from: string,
  to: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const { handle } = await openLocal(from);
  try {
    const output = await open(to, 'w', 0o600);
    try {
      const piece = Buffer.alloc(PIECE_BYTES);
      let bytes = 0;
      for (;;) {
        signal.throwIfAborted();
        const { bytesRead } = await handle.read(piece, 0, PIECE_BYTES, null);
        if (bytesRead === 0) break;
        bytes += bytesRead;
        if (bytes > sizeBytes) break;
        await output.writeFile(piece.subarray(0, bytesRead));
      }
      if (bytes !== sizeBytes)
        throw new Fault(
          'LENGTH_MISMATCH',
          `${from} was changed while it was read, or is being written still: install it again once it is whole`,
        );
    } finally {
      await output.close();
    }
  } finally {
    await handle.close();
  }
}

/** Sums or a signature. Throws `Fault` `FILE_MISSING`, also where it is far too large. */
export async function readLocal(file: string): Promise<Buffer> {
  return readOpened(await openLocal(file), MAX_SMALL_BYTES, (sizeBytes) => {
    return new Fault(
      'FILE_MISSING',
      `${file} has ${sizeBytes} bytes, which no list of sums or signature has`,
    );
  });
}

/** All of what `openLocal` opened, which is closed. Throws what `tooLarge` makes. */
export async function readOpened(
  { handle, sizeBytes }: { handle: FileHandle; sizeBytes: number },
  maxBytes: number,
  tooLarge: (sizeBytes: number) => Error,
): Promise<Buffer> {
  try {
    if (sizeBytes > maxBytes) throw tooLarge(sizeBytes);
    const bytes = Buffer.alloc(sizeBytes);
    const { bytesRead } = await handle.read(bytes, 0, sizeBytes, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

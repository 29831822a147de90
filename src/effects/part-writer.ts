/** Writes what arrives: many small pieces in one call while the disk is busy, and none held back while it is not. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { WriteStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { finished } from 'node:stream/promises';

/** What may wait for the disk before the network has to wait. */
const MOST_WAITING_BYTES = 1024 * 1024;

export class PartWriter {
  readonly #stream: WriteStream;
  readonly #hash = createHash('sha256');
  #error: unknown = null;

  /** Takes the handle over. */
  constructor(handle: FileHandle) {
    this.#stream = handle.createWriteStream({ highWaterMark: MOST_WAITING_BYTES });
    this.#stream.on('error', (error) => {
      this.#error ??= error;
    });
  }

  /** Throws the error of this or of an earlier piece. */
  async write(piece: Buffer): Promise<void> {
    if (this.#error !== null) throw this.#error;
    this.#hash.update(piece);
    if (!this.#stream.write(piece)) await once(this.#stream, 'drain');
  }

  /** Everything is with the kernel afterwards. Throws like `write`. */
  async close(): Promise<void> {
    this.#stream.end();
    await finished(this.#stream).catch((error: unknown) => {
      throw this.#error ?? error;
    });
  }

  /** sha256 of all pieces, in lower-case hex. */
  sum(): string {
    return this.#hash.digest('hex');
  }
}

/**
 * Writes what arrives: many small pieces in one call while the disk is busy, and none held back
 * while it is not.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { WriteStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { finished } from 'node:stream/promises';

/** What may wait for the disk before the network has to wait. */
const MAX_WAITING_BYTES = 1024 * 1024;
/**
 * No power cut takes more of a download than this, and what passed meanwhile; and the sync at its
 * end has little left to do.
 */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024;

export class PartWriter {
  readonly #handle: FileHandle;
  readonly #stream: WriteStream;
  readonly #hash = createHash('sha256');
  #error: unknown = null;
  #syncing: Promise<void> | null = null;
  #syncFailed = false;
  #unsyncedBytes = 0;

  /** Takes the handle over. */
  constructor(handle: FileHandle) {
    this.#handle = handle;
    this.#stream = handle.createWriteStream({ highWaterMark: MAX_WAITING_BYTES });
    this.#stream.on('error', (error) => {
      this.#error ??= error;
    });
  }

  /** Throws the error of this or of an earlier piece. */
  async write(piece: Buffer): Promise<void> {
    if (this.#error !== null) throw this.#error;
    this.#hash.update(piece);
    if (!this.#stream.write(piece)) await once(this.#stream, 'drain');
    this.#unsyncedBytes += piece.length;
    if (this.#unsyncedBytes >= SYNC_EVERY_BYTES && this.#syncing === null) this.#sync();
  }

  /** Beside what goes on being written. */
  #sync(): void {
    this.#unsyncedBytes = 0;
    this.#syncing = this.#handle
      .datasync()
      .catch((error: unknown) => {
        this.#error ??= error;
        this.#syncFailed = true;
      })
      .finally(() => {
        this.#syncing = null;
      });
  }

  /** Everything is with the kernel afterwards. Throws like `write`. */
  async close(): Promise<void> {
    // The stream's end closes the handle.
    await this.#syncing;
    this.#stream.end();
    await finished(this.#stream).catch((error: unknown) => {
      this.#error ??= error;
    });
    if (this.#error !== null) throw this.#error;
  }

  /**
   * Pages may be marked clean that never reached the disk (fsyncgate): the file is of no use,
   * whatever else is said.
   */
  get mustBeDiscarded(): boolean {
    return this.#syncFailed;
  }

  /** sha256 of all pieces, in lower-case hex. */
  sum(): string {
    return this.#hash.digest('hex');
  }
}

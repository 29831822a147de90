/**
 * Writes what an archive brings, entry by entry. Synchronously: a write ends in the page cache
 * after microseconds, where a round trip through the thread pool takes ten times that for each of
 * the three calls of a small file. The caller reads and decompresses in the thread pool meanwhile,
 * and the event loop has its turn between two pieces. Nothing goes on after the call that failed.
 */
import {
  closeSync,
  fchmodSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { tellGarbage } from '../memory.ts';

export class TreeWriter {
  readonly #root: string;
  readonly #made = new Set<string>();
  readonly #links: { file: string; target: string }[] = [];
  #open: { descriptor: number; mode: number } | null = null;

  /** `root`: an empty directory of our own. */
  constructor(root: string) {
    this.#root = root;
  }

  makeDirectory(name: string): void {
    this.#ensure(path.join(this.#root, name));
  }

  /** The next pieces are this file's, until it is closed. */
  openFile(name: string, mode: number): void {
    // "x": what is there already was not brought by this entry.
    this.#open = { descriptor: openSync(this.#place(name), 'wx', 0o600), mode };
  }

  write(piece: Uint8Array): void {
    if (this.#open !== null) writeFileSync(this.#open.descriptor, piece);
  }

  /** For a file with holes: the piece's place in it, in bytes. */
  writeAt(piece: Uint8Array, position: number): void {
    if (this.#open === null) return;
    for (let at = 0; at < piece.length; )
      at += writeSync(this.#open.descriptor, piece, at, piece.length - at, position + at);
  }

  /** What was not written up to here is a hole, and reads as zeros. */
  setSize(sizeBytes: number): void {
    if (this.#open !== null) ftruncateSync(this.#open.descriptor, sizeBytes);
  }

  closeFile(): void {
    if (this.#open === null) return;
    const { descriptor, mode } = this.#open;
    this.#open = null;
    try {
      // After the last write, since some network file systems look at it for each; and whatever the
      // umask takes away.
      fchmodSync(descriptor, mode);
    } finally {
      closeSync(descriptor);
    }
  }

  linkFile(name: string, existing: string): void {
    linkSync(path.join(this.#root, existing), this.#place(name));
  }

  /** Made last, by `finish`: while files are written, none is there to be followed. */
  addLink(name: string, target: string): void {
    this.#links.push({ file: name, target });
  }

  finish(): void {
    for (const { file, target } of this.#links) symlinkSync(target, this.#place(file));
  }

  #place(name: string): string {
    const file = path.join(this.#root, name);
    this.#ensure(path.dirname(file));
    return file;
  }

  #ensure(directory: string): void {
    if (this.#made.has(directory)) return;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    this.#made.add(directory);
  }
}

/**
 * Writes a file that is not there yet, for an archive that is read entry by entry. Rejects with
 * what `pieces` or the disk says.
 */
export async function writePieces(
  pieces: AsyncIterable<Buffer>,
  file: string,
  mode: number,
  signal: AbortSignal,
): Promise<void> {
  // "x": what is there already was not brought by this entry.
  const output = openSync(file, 'wx', mode);
  try {
    for await (const piece of pieces) {
      signal.throwIfAborted();
      writeFileSync(output, piece);
      tellGarbage(piece.length);
    }
  } finally {
    closeSync(output);
  }
}

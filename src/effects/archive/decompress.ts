/**
 * What is in a compressed file, piece by piece, to its very end: several members or frames are read
 * whole, and nothing may follow them.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Transform } from 'node:stream';
import { createGunzip, createZstdDecompress, type Zlib } from 'node:zlib';
import { piecesOf } from '../pieces.ts';
import { corrupt } from './rules.ts';
import { throughTool } from './tool.ts';
import { cutAtFrames } from './zstd-frames.ts';

export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2';

/**
 * What each begins with, in hex: RFC 1952, RFC 8878 (also a skippable frame), xz-file-format
 * 2.1.1.1, and bzip2's two letters, kind and block size.
 */
const MAGIC: Record<Compression, RegExp> = {
  gzip: /^1f8b/,
  zstd: /^(?:28b52ffd|5.2a4d18)/,
  xz: /^fd377a585a00/,
  bzip2: /^425a683[1-9](?:314159265359|177245385090)/,
};
const MAX_MAGIC_BYTES = 10;

export function compressionOf(head: Buffer): Compression | null {
  const hex = head.toString('hex', 0, MAX_MAGIC_BYTES);
  return (Object.keys(MAGIC) as Compression[]).find((name) => MAGIC[name].test(hex)) ?? null;
}

/**
 * A piece of decompressed data: large enough that the calls between two do not count, small enough
 * for a container's memory.
 */
export const PIECE_BYTES = 256 * 1024;

export function decompressed(
  file: string,
  compression: Compression,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  switch (compression) {
    case 'gzip':
      return gunzipped(file);
    case 'zstd':
      return through(cutAtFrames(piecesOf(file)), createZstdDecompress({ chunkSize: PIECE_BYTES }));
    case 'xz':
    case 'bzip2':
      return throughTool(compression, file, signal);
    default:
      return compression satisfies never;
  }
}

/** As with GNU gzip, zeros may follow: tapes and block devices fill up with them. */
async function* gunzipped(file: string): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: PIECE_BYTES });
  yield* through(piecesOf(file), gunzip);
  if (gunzip.bytesWritten === (await stat(file)).size) return;
  for await (const rest of createReadStream(file, { start: gunzip.bytesWritten }))
    if ((rest as Buffer).some((byte) => byte !== 0)) throw corrupt('there is data after its end');
}

/** What `engine` makes of the pieces. Rejects with what went wrong at either. */
export async function* through(
  source: AsyncIterable<Buffer>,
  engine: Transform & Zlib,
): AsyncGenerator<Buffer> {
  let failure: unknown = null;
  const feeding = feed(source, engine).catch((error: unknown) => {
    failure = error;
    engine.destroy();
  });
  try {
    yield* engine as AsyncIterable<Buffer>;
  } catch (error) {
    await feeding;
    throw failure ?? error;
  } finally {
    engine.destroy();
    await feeding;
  }
  if (failure !== null) throw failure;
}

/** One piece at a time: the next is read from the file once this one was decompressed. */
async function feed(source: AsyncIterable<Buffer>, engine: Transform & Zlib): Promise<void> {
  let fedBytes = 0;
  // After an error nobody calls back. One listener for all pieces: a promise that each races
  // against would keep something of each.
  let goOn = () => {};
  engine.once('close', () => goOn());
  for await (const piece of source) {
    await new Promise<void>((resolve, reject) => {
      goOn = resolve;
      if (engine.destroyed) resolve();
      else engine.write(piece, (error) => (error ? reject(error) : resolve()));
    });
    if (engine.destroyed) return;
    fedBytes += piece.length;
    // It saw the end, and takes no more.
    if (engine.bytesWritten < fedBytes) return;
  }
  engine.end();
}

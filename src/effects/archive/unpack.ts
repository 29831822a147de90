/**
 * Unpacks into an empty private directory. The bytes say what a file is, whatever it is called:
 * only a name that is no archive's (`app.jar`, which is a zip) is kept as it is.
 */
import { chmodSync, createReadStream } from 'node:fs';
import { copyFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { formatOfName } from '../../machines/asset-format.ts';
import { loadTar, loadZip } from '../packages.ts';
import { headOf, isProgram } from '../program.ts';
import { type Compression, compressionOf, decompressed } from './decompress.ts';
import { removeDesktopFiles } from './desktop-files.ts';
import { explain } from './errors.ts';
import {
  checkBareName,
  checkRatio,
  corrupt,
  installedMode,
  type Limits,
  tooLarge,
} from './rules.ts';
import { writePieces } from './tree-writer.ts';

/**
 * `asset`: what the file is called where it was published. `program`: what a bare program is called
 * in the tree.
 */
export type Names = { asset: string; program: string };

/** As much as is needed to tell a tar: its first header. */
const HEAD_BYTES = 512;

/** Throws `Fault`; what was unpacked by then is left to the caller. */
export async function unpack(
  file: string,
  into: string,
  names: Names,
  limits: Limits,
  signal: AbortSignal,
): Promise<void> {
  const head = headOf(file, HEAD_BYTES);
  const { format } = formatOfName(names.asset);
  const compression = compressionOf(head);
  const { isTar, unpackTar } = await loadTar();
  if (format === 'file') return keep(file, into, names.asset, head);
  if (compression !== null) return unpackCompressed(file, compression, into, names, limits, signal);
  if (isZip(head))
    return removeDesktopFiles(into, await (await loadZip()).unpackZip(file, into, limits, signal));
  if (isTar(head)) {
    const { size } = await stat(file);
    return removeDesktopFiles(
      into,
      await unpackTar(
        createReadStream(file, { highWaterMark: 256 * 1024 }),
        size,
        into,
        limits,
        signal,
      ),
    );
  }
  if (isProgram(head)) return keep(file, into, names.program, head);
  // Nothing in its name says that it is packed, and a command may know what to do with it.
  if (format === 'none') return keep(file, into, names.asset, head);
  throw corrupt('unknown format');
}

/** APPNOTE.TXT 4.3.7, and 4.3.16 for an empty one. */
const isZip = (head: Buffer): boolean => /^504b(?:0304|0506)/.test(head.toString('hex', 0, 4));

async function keep(file: string, into: string, name: string, head: Buffer): Promise<void> {
  const target = path.join(into, checkBareName(name));
  await copyFile(file, target).catch((error: unknown) => {
    throw explain(error);
  });
  chmodSync(target, installedMode('file', isProgram(head) ? 0o755 : 0o644));
}

/** A tree, or one program or file, under a compression of its own. */
async function unpackCompressed(
  file: string,
  compression: Compression,
  into: string,
  names: Names,
  limits: Limits,
  signal: AbortSignal,
): Promise<void> {
  const { size: packedBytes } = await stat(file);
  const { isTar, unpackTar } = await loadTar();
  const source = decompressed(file, compression, signal);
  try {
    const head = await headOfStream(source);
    const pieces = chain(head, source);
    // Decompression bomb: a second layer would come out behind the back of the count.
    if (compressionOf(head) !== null || isZip(head)) throw corrupt('it is compressed twice');
    if (isTar(head))
      return removeDesktopFiles(into, await unpackTar(pieces, packedBytes, into, limits, signal));
    const { format, stem } = formatOfName(names.asset);
    const inner = format === 'compressed' ? formatOfName(stem).format : 'none';
    const isFile =
      inner === 'file' || (format === 'compressed' && inner === 'none' && !isProgram(head));
    if (!isFile && !isProgram(head))
      throw corrupt('it contains neither a tar archive nor a program');
    const target = path.join(into, isFile ? checkBareName(stem) : names.program);
    await writePieces(bounded(pieces, packedBytes, limits), target, 0o644, signal);
    chmodSync(target, installedMode('file', isProgram(head) ? 0o755 : 0o644));
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error);
  } finally {
    await source.return(undefined);
  }
}

async function* bounded(
  pieces: AsyncIterable<Buffer>,
  packedBytes: number,
  { maxUnpackedBytes }: Limits,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > maxUnpackedBytes)
      throw tooLarge(`more than ${maxUnpackedBytes} bytes unpacked`, 'UPDATE_MAX_UNPACKED_BYTES');
    checkRatio(bytes, packedBytes);
    yield piece;
  }
}

/** What is there of the first bytes once they suffice. */
async function headOfStream(source: AsyncGenerator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < HEAD_BYTES) {
    const { done, value } = await source.next();
    if (done) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
  }
  return head;
}

async function* chain(head: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield head;
  yield* rest;
}

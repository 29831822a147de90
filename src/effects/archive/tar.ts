/** Unpacks tar archives by `tar`, strictly, behind the gate. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Parser, type ReadEntry } from 'tar';
import { Fault, isErrno, toFault } from '../../support/fault.ts';
import { tellGarbage } from '../memory.ts';
import { piecesOf } from '../pieces.ts';
import { checkRatio, corrupt, type Entry, Gate, installedMode, type Limits, refused, tooLarge } from './rules.ts';
import { TreeWriter } from './tree-writer.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** Headers, padding and PAX records come on top of what is unpacked. */
const OVERHEAD_BYTES_AN_ENTRY = 4096;

/** What gzip and zstd begin with. */
const COMPRESSED = [Buffer.from('1f8b', 'hex'), Buffer.from('28b52ffd', 'hex')];

const TYPES: Partial<Record<string, Entry['type']>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  GNUDumpDir: 'other',
  SymbolicLink: 'link',
  Link: 'hardlink',
};

/** A piece of decompressed data: large enough that the calls between two do not count, small enough for a container's memory. */
const PIECE_BYTES = 256 * 1024;

/** Unpacks `file` into the empty directory `into`. Throws `Fault`; what was unpacked by then is left to the caller. */
export async function unpackTar(file: string, compression: Compression, into: string, limits: Limits, signal: AbortSignal): Promise<void> {
  const gate = new Gate(limits);
  const { size: packedBytes } = await stat(file);
  const tree = new TreeWriter(into);
  const parser = parserInto(tree, gate);
  let bytes = 0;
  const consume = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
    for await (const piece of pieces) {
      // Decompression bomb: node-tar would unpack a second layer by itself, behind the back of this count.
      if (bytes === 0 && COMPRESSED.some((magic) => piece.subarray(0, magic.length).equals(magic))) throw corrupt('it is compressed twice');
      bytes += piece.length;
      // What really comes out, whatever the headers claim.
      if (bytes > limits.maxUnpackedBytes + OVERHEAD_BYTES_AN_ENTRY * (gate.entries + 1))
        throw tooLarge(`more than ${limits.maxUnpackedBytes} bytes unpacked`, 'UPDATE_MAX_UNPACKED_BYTES');
      checkRatio(bytes, packedBytes);
      parser.write(piece);
      tellGarbage(piece.length);
    }
    parser.end();
    tree.finish();
  };
  try {
    await pipeline([...decompressed(file, compression), consume] as never, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error);
  } finally {
    tree.closeFile();
  }
}

/** Everything in it is synchronous: what goes wrong is thrown by the parser's own `write` and `end`. */
function parserInto(tree: TreeWriter, gate: Gate): Parser {
  return new Parser({
    // Bad entries only warn by default.
    strict: true,
    filter: (_path, entry) => {
      gate.admit(describe(entry as ReadEntry));
      return true;
    },
    onReadEntry: (entry) => write(entry, tree),
  })
    .on('error', (error: unknown) => {
      throw error;
    })
    .on('ignoredEntry', (entry: ReadEntry) => {
      // Complete versions only: what node-tar passes over in silence (sparse files, kinds it does not know) is missing afterwards.
      throw refused(`${JSON.stringify(entry.path.slice(0, 100))} is of a kind that can't be unpacked (${entry.type})`);
    });
}

function write(entry: ReadEntry, tree: TreeWriter): void {
  const { path: name, linkpath = '' } = entry;
  switch (TYPES[entry.type]) {
    case 'directory':
      tree.makeDirectory(name);
      break;
    case 'file':
      // Not setuid, not writable: what it is to be when installed.
      tree.openFile(name, installedMode('file', entry.mode ?? 0o644));
      entry.on('data', (piece) => tree.write(piece));
      entry.on('end', () => tree.closeFile());
      return;
    case 'hardlink':
      tree.linkFile(name, linkpath);
      break;
    case 'link':
      tree.addLink(name, linkpath);
      break;
    default:
      throw refused(`${JSON.stringify(name.slice(0, 100))} is of a kind that can't be unpacked (${entry.type})`);
  }
  entry.resume();
}

function decompressed(file: string, compression: Compression): [AsyncIterable<Buffer>, Transform] | [Readable] {
  // One piece at a time is taken in, and read anew once it was decompressed.
  const options = { chunkSize: PIECE_BYTES, writableHighWaterMark: 0 };
  switch (compression) {
    case 'gzip':
      return [piecesOf(file), createGunzip(options)];
    case 'zstd':
      return [piecesOf(file), createZstdDecompress(options)];
    case 'none':
      // node-tar keeps what a piece has of the next header.
      return [createReadStream(file, { highWaterMark: PIECE_BYTES })];
    default:
      return compression satisfies never;
  }
}

function describe(entry: ReadEntry): Entry {
  const type = TYPES[entry.type] ?? 'other';
  // A size that is no number would count as none, and what follows as the next header.
  if (type === 'file' && !(Number.isSafeInteger(entry.header.size) && (entry.header.size ?? -1) >= 0))
    throw corrupt(`the size of ${JSON.stringify(entry.path.slice(0, 100))} is none`);
  return { path: entry.path, type, mode: entry.mode ?? 0, sizeBytes: type === 'file' ? entry.size : 0, linkTarget: entry.linkpath ?? '' };
}

/** Errors of the disk stay what they are; everything else is the archive's. */
function explain(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const { syscall, code } = error as NodeJS.ErrnoException;
  if (syscall === 'link' && code === 'ENOENT') return refused('it has a hard link to something that is no file of it');
  // In an empty directory of our own that is no trouble of the disk's.
  if (isErrno(error, 'EEXIST', 'EISDIR', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG')) return refused("some of its entries are in each other's way");
  const known = toFault(error, 'ARCHIVE_CORRUPT');
  if (known.code !== 'ARCHIVE_CORRUPT') return known;
  if (syscall !== undefined) return new Fault('DISK_ERROR', known.message, { cause: error });
  return corrupt(known.message.split('\n')[0] ?? '', error);
}

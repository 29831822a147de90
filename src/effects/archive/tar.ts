/** Unpacks tar archives by `tar`, strictly, behind the gate. */
import { createReadStream } from 'node:fs';
import { mkdir, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type ReadEntry, Unpack } from 'tar';
import { Fault, isErrno, toFault } from '../../support/fault.ts';
import { checkRatio, corrupt, type Entry, Gate, installedMode, type Limits, refused, tooLarge } from './rules.ts';

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

/** Unpacks `file` into the empty directory `into`. Throws `Fault`; what was unpacked by then is left to the caller. */
export async function unpackTar(file: string, compression: Compression, into: string, limits: Limits, signal: AbortSignal): Promise<void> {
  const gate = new Gate(limits);
  const { size: packedBytes } = await stat(file);
  const failing = new AbortController();
  let fault: Fault | null = null;
  const links: { file: string; target: string }[] = [];
  const admit = (entry: ReadEntry): boolean => {
    try {
      gate.admit(describe(entry));
      // node-tar keeps setuid even with preserveOwner: false.
      const type = TYPES[entry.type];
      // node-tar refuses a link to a link, which real trees have (libx.so → libx.so.1 → libx.so.1.2). Made last, none is there to be
      // followed while files are written.
      if (type === 'link') {
        links.push({ file: path.join(into, entry.path), target: entry.linkpath ?? '' });
        return false;
      }
      if (type === 'file' || type === 'directory') entry.mode = installedMode(type, entry.mode ?? 0o644) | 0o200;
      return true;
    } catch (error) {
      fault ??= toFault(error, 'ARCHIVE_REFUSED');
      failing.abort(fault);
      return false;
    }
  };
  const unpack = new Unpack({
    cwd: into,
    // Bad entries only warn by default.
    strict: true,
    // As root, node-tar would chown to whatever the archive says.
    preserveOwner: false,
    preservePaths: false,
    processUmask: 0,
    filter: (_path, entry) => admit(entry as ReadEntry),
  });
  // It goes on for a moment after it was stopped, and what it then meets (its directory is gone) is nobody's: unheard, it would end us.
  unpack.on('error', () => {});
  // Complete versions only: what node-tar passes over in silence (sparse files, kinds it does not know) is missing afterwards.
  unpack.on('ignoredEntry', (entry: ReadEntry) => {
    if (TYPES[entry.type] === 'link') return;
    fault ??= refused(`${JSON.stringify(entry.path.slice(0, 100))} is of a kind that can't be unpacked (${entry.type})`);
    failing.abort(fault);
  });
  const counted = countBytes((bytes, first) => {
    // Decompression bomb: node-tar would unpack a second layer by itself, behind the back of this count.
    if (first && COMPRESSED.some((magic) => first.subarray(0, magic.length).equals(magic))) throw corrupt('it is compressed twice');
    // What really comes out, whatever the headers claim.
    if (bytes > limits.maxUnpackedBytes + OVERHEAD_BYTES_AN_ENTRY * (gate.entries + 1))
      throw tooLarge(`more than ${limits.maxUnpackedBytes} bytes unpacked`, 'UPDATE_MAX_UNPACKED_BYTES');
    checkRatio(bytes, packedBytes);
  });
  const stages = [createReadStream(file, { highWaterMark: 256 * 1024 }), ...decompressor(compression), counted, unpack];
  try {
    await pipeline(stages as never, { signal: AbortSignal.any([signal, failing.signal]) });
    if (fault) throw fault;
    for (const { file: link, target } of links) {
      await mkdir(path.dirname(link), { recursive: true, mode: 0o755 });
      await symlink(target, link);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (fault) throw fault;
    throw explain(error);
  }
}

function decompressor(compression: Compression): Transform[] {
  switch (compression) {
    case 'gzip':
      return [createGunzip()];
    case 'zstd':
      return [createZstdDecompress()];
    case 'none':
      return [];
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

/** `check` is told the total, and the first bytes once. */
function countBytes(check: (total: number, first: Buffer | null) => void): Transform {
  let total = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      const first = total === 0 ? chunk : null;
      total += chunk.length;
      try {
        check(total, first);
        callback(null, chunk);
      } catch (error) {
        callback(error as Error);
      }
    },
  });
}

/** Errors of the disk stay what they are; everything else is the archive's. */
function explain(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const { syscall, code } = error as NodeJS.ErrnoException;
  if (code === 'TAR_SYMLINK_ERROR') return refused('it unpacks a file through a link');
  // In an empty directory of our own that is no trouble of the disk's.
  if (isErrno(error, 'EEXIST', 'EISDIR', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG')) return refused("some of its entries are in each other's way");
  const known = toFault(error, 'ARCHIVE_CORRUPT');
  if (known.code !== 'ARCHIVE_CORRUPT') return known;
  if (syscall !== undefined) return new Fault('DISK_ERROR', known.message, { cause: error });
  return corrupt(known.message.split('\n')[0] ?? '', error);
}

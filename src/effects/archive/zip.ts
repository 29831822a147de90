/**
 * Unpacks zip archives by `yauzl`, behind the gate. Sums are compared, since yauzl leaves that to
 * its caller.
 */
import { mkdir, open as openFile, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { crc32, createInflateRaw } from 'node:zlib';
import * as yauzl from 'yauzl';
import { PIECE_BYTES, through } from './decompress.ts';
import { explain } from './errors.ts';
import {
  checkRatio,
  corrupt,
  type Entry,
  Gate,
  installedMode,
  type Limits,
  refused,
} from './rules.ts';
import { writePieces } from './tree-writer.ts';

/**
 * st_mode's file type, in the upper half of the external attributes where Unix made the archive.
 */
const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
/** zlib takes no smaller one. */
const MIN_PIECE_BYTES = 64;
/**
 * What may follow the last entry: its signature, the end record of Zip64, the end record. See
 * APPNOTE.TXT 4.3.13 to 4.3.16.
 */
const ENDS = ['504b0505', '504b0606', '504b0506'];
const SIGNATURE_BYTES = 4;
/** PATH_MAX: no link's target is longer. */
const MAX_LINK_BYTES = 4096;

/** Returns the names of files that a desktop may have added. */
export async function unpackZip(
  file: string,
  into: string,
  limits: Limits,
  signal: AbortSignal,
): Promise<string[]> {
  const { size: packedBytes } = await stat(file);
  const gate = new Gate(limits, packedBytes);
  let announced = 0;
  try {
    const zip = await open(file);
    try {
      for await (const entry of entriesOf(zip)) {
        signal.throwIfAborted();
        announced += entry.uncompressedSize;
        checkRatio(announced, packedBytes);
        await unpackEntry(zip, entry, into, gate, signal);
      }
      await checkEnd(file, zip);
    } finally {
      zip.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error);
  }
  return gate.desktopFiles;
}

/**
 * Complete versions only: where the end record counts fewer entries than there are, the rest would
 * be missing in silence.
 */
async function checkEnd(file: string, zip: yauzl.ZipFile): Promise<void> {
  // A number, whatever @types/yauzl says.
  const position = zip.readEntryCursor as unknown as number;
  const handle = await openFile(file);
  try {
    const { buffer } = await handle.read(
      Buffer.alloc(SIGNATURE_BYTES),
      0,
      SIGNATURE_BYTES,
      position,
    );
    if (!ENDS.includes(buffer.toString('hex')))
      throw corrupt('its directory has more entries than its end record says');
  } finally {
    await handle.close();
  }
}

async function unpackEntry(
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  into: string,
  gate: Gate,
  signal: AbortSignal,
): Promise<void> {
  const described = describe(entry);
  if (described.type === 'link') {
    if (entry.uncompressedSize > MAX_LINK_BYTES) throw corrupt('a link is too long');
    described.linkTarget = (
      await readAll(checked((await openEntry(zip, entry)) as AsyncIterable<Buffer>, entry))
    ).toString('utf8');
  }
  // A link called `x/`, or a file: what it holds would be missing in silence.
  if (described.type === 'directory' && entry.uncompressedSize > 0)
    throw corrupt(`${JSON.stringify(described.path.slice(0, 100))} is a directory with content`);
  gate.admit(described);
  checkReadable(entry);
  const target = path.join(into, described.path);
  await mkdir(described.type === 'directory' ? target : path.dirname(target), {
    recursive: true,
    mode: 0o755,
  });
  if (described.type === 'link') await symlink(described.linkTarget, target);
  if (described.type !== 'file') return;
  await writePieces(
    checked(await contentOf(zip, entry), entry),
    target,
    installedMode('file', described.mode) | 0o200,
    signal,
  );
}

function describe(entry: yauzl.Entry): Entry {
  const madeByUnix = entry.versionMadeBy >>> 8 === 3;
  const mode = madeByUnix ? entry.externalFileAttributes >>> 16 : 0o644;
  const kind = mode & S_IFMT;
  const isDirectory = entry.fileName.endsWith('/') || kind === S_IFDIR;
  const type = isDirectory
    ? 'directory'
    : kind === S_IFLNK
      ? 'link'
      : kind === S_IFREG || kind === 0
        ? 'file'
        : 'other';
  return { path: entry.fileName, type, mode, sizeBytes: entry.uncompressedSize, linkTarget: '' };
}

/**
 * Ways to compress an entry besides storing and deflating, which are all that is read. See
 * APPNOTE.TXT 4.4.5.
 */
const OTHER_METHODS: Record<number, string> = {
  9: 'Deflate64',
  12: 'BZip2',
  14: 'LZMA',
  93: 'Zstandard',
  95: 'XZ',
  98: 'PPMd',
};
const [STORED, DEFLATED] = [0, 8];

function checkReadable({
  compressionMethod: method,
  fileName,
  generalPurposeBitFlag,
}: yauzl.Entry): void {
  const name = JSON.stringify(fileName.slice(0, 100));
  if ((generalPurposeBitFlag & 1) !== 0) throw refused(`${name} is encrypted`);
  if (method !== STORED && method !== DEFLATED)
    throw refused(
      `${name} is compressed by ${OTHER_METHODS[method] ?? `method ${method}`}, and of a .zip only Deflate is read`,
    );
}

/** Rejects where an entry brings more than it announces, or less, or something else. */
async function* checked(
  pieces: AsyncIterable<Buffer>,
  { crc32: announced, uncompressedSize, fileName }: yauzl.Entry,
): AsyncGenerator<Buffer> {
  const name = JSON.stringify(fileName.slice(0, 100));
  let [sum, bytes] = [0, 0];
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > uncompressedSize) throw corrupt(`${name} is larger than it says`);
    sum = crc32(piece, sum);
    yield piece;
  }
  if (bytes < uncompressedSize) throw corrupt(`${name} is smaller than it says`);
  if (sum !== announced) throw corrupt(`the checksum of ${name} is wrong`);
}

/** In larger pieces than `yauzl` makes: the calls between two of them took as long as the rest. */
async function contentOf(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<AsyncIterable<Buffer>> {
  if (entry.compressionMethod !== DEFLATED)
    return (await openEntry(zip, entry)) as AsyncIterable<Buffer>;
  const packed = (await zip.openReadStreamPromise(entry, {
    decodeFileData: false,
  })) as AsyncIterable<Buffer>;
  return through(
    packed,
    createInflateRaw({
      chunkSize: Math.min(Math.max(entry.uncompressedSize, MIN_PIECE_BYTES), PIECE_BYTES),
    }),
  );
}

function open(file: string): Promise<yauzl.ZipFile> {
  // Old .NET and PowerShell write `dist\\app`: read as `dist/app`, and then held to the gate's
  // rules as any other name.
  const options = {
    lazyEntries: true,
    autoClose: false,
    strictFileNames: false,
    validateEntrySizes: true,
  };
  return new Promise((resolve, reject) =>
    yauzl.open(file, options, (error, zip) =>
      error ? reject(error) : resolve(zip as yauzl.ZipFile),
    ),
  );
}

function openEntry(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<NodeJS.ReadableStream> {
  return new Promise((resolve, reject) =>
    zip.openReadStream(entry, (error, stream) =>
      error ? reject(error) : resolve(stream as NodeJS.ReadableStream),
    ),
  );
}

async function readAll(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of pieces) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* entriesOf(zip: yauzl.ZipFile): AsyncGenerator<yauzl.Entry> {
  for (let i = 0; i < zip.entryCount; i++) {
    yield await new Promise<yauzl.Entry>((resolve, reject) => {
      zip.once('entry', resolve);
      zip.once('error', reject);
      zip.once('end', () => reject(new Error('the list of entries is truncated')));
      zip.readEntry();
    }).finally(() => zip.removeAllListeners());
  }
}

/**
 * `xz` and `bzip2` of the platform, for the two formats that Node.js does not know: busybox's in
 * the image, elsewhere what is on PATH. The tool reads the file itself and writes into a pipe: a
 * full pipe makes it wait. It is killed and reaped together with its reader.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, createReadStream, realpathSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { formatOfName } from '../../machines/asset-format.ts';
import { Fault } from '../../support/fault.ts';
import { corrupt } from './rules.ts';

export type Tool = 'xz' | 'bzip2';

const PACKAGES: Record<Tool, string> = { xz: 'xz-utils', bzip2: 'bzip2' };
/**
 * XZ Utils takes what the archive asks for, up to this: `xz -9` asks for 65 MiB, and busybox's xz
 * stops there.
 */
const MAX_MEMORY = '256MiB';
/** Of what it says, so much is kept. */
const MAX_SAID_BYTES = 300;

/** What a file of this name is unpacked by; null where Node.js does it. */
export function toolFor(name: string): Tool | null {
  const { ending } = formatOfName(name);
  return /xz$/.test(ending) ? 'xz' : /bz2?$/.test(ending) ? 'bzip2' : null;
}

/** Throws `Fault` `TOOL_MISSING`. `searchPath`: directories, as in PATH. */
export function findTool(tool: Tool, searchPath = process.env['PATH'] ?? ''): string {
  const found = searchPath
    .split(path.delimiter)
    .filter((directory) => directory.startsWith('/'))
    .map((directory) => path.join(directory, tool))
    .filter(isProgram);
  // Busybox's comes first in the image, and knows less: where somebody installed the real one, that
  // one serves.
  const complete = found.find((file) => !isBusybox(file));
  const file = complete ?? found[0];
  if (file !== undefined) return file;
  throw new Fault(
    'TOOL_MISSING',
    `the archive needs \`${tool}\`, and this machine has none on its PATH: install it (Debian's package ${PACKAGES[tool]}), or choose another format by UPDATE_ASSET`,
  );
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

const isBusybox = (file: string): boolean =>
  path.basename(realpathSync.native(file)).startsWith('busybox');

/**
 * What the tool makes of the file. Throws `Fault` `TOOL_MISSING`, `TOOL_FAILED` (this machine's
 * trouble) or `ARCHIVE_CORRUPT`.
 */
export async function* throughTool(
  tool: Tool,
  file: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const program = findTool(tool);
  const handle = await open(file, 'r');
  try {
    const { sizeBytes, isPadded } = await endOfData(tool, handle);
    // Busybox's xz fails at padding: that is kept from it.
    const isFed = tool === 'xz' && isPadded;
    const child = spawn(program, ['-d', '-c'], {
      stdio: [isFed ? 'pipe' : handle.fd, 'pipe', 'pipe'],
      cwd: '/',
      env: {
        PATH: process.env['PATH'] ?? '',
        LC_ALL: 'C',
        XZ_DEFAULTS: `--memlimit-decompress=${MAX_MEMORY}`,
      },
    });
    const { stdout, stderr } = child as unknown as { stdout: Readable; stderr: Readable };
    const closed = once(child, 'close');
    // Heard where it is awaited; if the caller stops before, by nobody.
    closed.catch(() => {});
    // Where the tool ends first, its status says why.
    if (isFed && child.stdin !== null)
      pipeline(createReadStream(file, { end: sizeBytes - 1 }), child.stdin).catch(() => {});
    const kill = () => child.kill('SIGKILL');
    signal.addEventListener('abort', kill);
    let said = '';
    stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('latin1')).slice(0, MAX_SAID_BYTES);
    });
    try {
      for await (const piece of stdout) yield piece as Buffer;
      const [status, killedBy] = (await closed) as [number | null, string | null];
      signal.throwIfAborted();
      if (status !== 0) throw await explain(tool, { program, handle, said: said.trim(), killedBy });
    } finally {
      signal.removeEventListener('abort', kill);
      stdout.destroy();
      kill();
      await closed.catch(() => {});
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall?.startsWith('spawn') !== true) throw error;
    throw new Fault(
      'TOOL_FAILED',
      `${program} can't be started (${(error as Error).message}): check memory, and the limit of processes`,
      { cause: error },
    );
  } finally {
    await handle.close();
  }
}

type Failure = { program: string; handle: FileHandle; said: string; killedBy: string | null };

async function explain(tool: Tool, { program, handle, said, killedBy }: Failure): Promise<Fault> {
  if (killedBy !== null || /memory exhausted|out of memory|cannot allocate/i.test(said))
    return new Fault(
      'TOOL_FAILED',
      `${program} stopped early (${killedBy ?? said}): probably out of memory. Give the container more`,
    );
  const demand = tool === 'xz' && isBusybox(program) ? await xzDemand(handle) : null;
  if (demand !== null)
    return new Fault(
      'TOOL_FAILED',
      `the archive was made with ${demand}, which busybox's xz can't read: install XZ Utils in the image (Debian's package xz-utils), or publish it as \`xz -9\` makes it`,
    );
  return corrupt(
    `${tool} says ${JSON.stringify(said.split('\n')[0]?.replace(/^\S*(?:xz|bzip2): /, '') ?? '')}`,
  );
}

/**
 * Where the data ends: zeros may follow, since bsdtar fills up what it writes into a pipe. Both
 * tools pass over anything else that follows, some without a word, so each format's mark is looked
 * for: `YZ` (xz-file-format 2.1.2.4), or the square root of pi, a sum, and the rest of a byte
 * (bzip2). Throws `Fault` `ARCHIVE_CORRUPT`.
 */
async function endOfData(
  tool: Tool,
  handle: FileHandle,
): Promise<{ sizeBytes: number; isPadded: boolean }> {
  const { size } = await handle.stat();
  const piece = Buffer.alloc(SCAN_BYTES);
  let end = size;
  for (let rest = size; rest > 0 && end === rest; ) {
    const from = Math.max(rest - SCAN_BYTES, 0);
    await handle.read(piece, 0, rest - from, from);
    const last = piece.subarray(0, rest - from).findLastIndex((byte) => byte !== 0);
    end = from + last + 1;
    rest = from;
  }
  const tail = Buffer.alloc(32);
  const from = Math.max(end - 16, 0);
  await handle.read(tail, 0, tail.length, from);
  const isWhole =
    tool === 'xz'
      ? tail.toString('latin1', end - from - 2, end - from) === 'YZ'
      : endsLikeBzip2(tail, Math.min(size, end + 5) - from, end - from);
  if (!isWhole) throw corrupt(`it is truncated, or there is data after its end`);
  return { sizeBytes: end, isPadded: end < size };
}

const SCAN_BYTES = 64 * 1024;
const BZIP2_END = 0x177245385090n;
const BZIP2_END_BYTES = 11;

/** The sum may end with zeros, which look like padding. */
function endsLikeBzip2(tail: Buffer, latest: number, earliest: number): boolean {
  for (let end = earliest; end <= latest; end++) {
    const last = BigInt(
      `0x0${tail.subarray(Math.max(end - BZIP2_END_BYTES, 0), end).toString('hex')}`,
    );
    for (let fill = 0n; fill < 8n; fill++)
      if (((last >> (fill + 32n)) & 0xffffffffffffn) === BZIP2_END) return true;
  }
  return false;
}

/** What a file asks for that busybox's xz lacks; null where that is nothing, and for no .xz. */
export async function xzDemandOf(file: string): Promise<string | null> {
  const handle = await open(file, 'r');
  try {
    const { buffer } = await handle.read(Buffer.alloc(XZ_MAGIC.length), 0, XZ_MAGIC.length, 0);
    return buffer.equals(XZ_MAGIC) ? await xzDemand(handle) : null;
  } finally {
    await handle.close();
  }
}

/** xz-file-format 2.1.1.1 */
const XZ_MAGIC = Buffer.from('fd377a585a00', 'hex');
const XZ_LZMA2 = 0x21;
const BUSYBOX_DICTIONARY_BYTES = 64 * 1024 * 1024;

/**
 * What the first block asks for that busybox lacks; null where that is nothing. See xz-file-format
 * 3.1 and 5.3.1.
 */
async function xzDemand(handle: FileHandle): Promise<string | null> {
  const header = Buffer.alloc(64);
  await handle.read(header, 0, header.length, 12);
  const flags = header[1] ?? 0;
  let at = 2;
  const skipNumber = () => {
    while (((header[at++] ?? 0) & 0x80) !== 0);
  };
  if ((flags & 0x40) !== 0) skipNumber();
  if ((flags & 0x80) !== 0) skipNumber();
  if (header[at] !== XZ_LZMA2) return 'a filter (`xz --x86`, `--delta` or the like)';
  const bits = header[at + 2] ?? 0;
  const dictionaryBytes = (2 | (bits & 1)) * 2 ** (Math.floor(bits / 2) + 11);
  return dictionaryBytes > BUSYBOX_DICTIONARY_BYTES
    ? `a dictionary of ${Math.round(dictionaryBytes / 2 ** 20)} MiB`
    : null;
}

/**
 * `xz` and `bzip2` of the platform, for the two formats that Node.js does not know: busybox's in the image, elsewhere what is on PATH. The
 * tool reads the file itself and writes into a pipe: a full pipe makes it wait. It is killed and reaped with whoever reads from it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { formatOfName } from '../../machines/asset-format.ts';
import { Fault } from '../../support/fault.ts';
import { corrupt } from './rules.ts';

export type Tool = 'xz' | 'bzip2';

const PACKAGES: Record<Tool, string> = { xz: 'xz-utils', bzip2: 'bzip2' };
/** XZ Utils takes what the archive asks for, up to this: `xz -9` asks for 65 MiB, and busybox's xz stops there. */
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
  // Busybox's comes first in the image, and knows less: where somebody installed the real one, that one serves.
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

const isBusybox = (file: string): boolean => path.basename(realpathSync.native(file)).startsWith('busybox');

/** What the tool makes of the file. Throws `Fault` `TOOL_MISSING`, `TOOL_FAILED` (this machine's trouble) or `ARCHIVE_CORRUPT`. */
export async function* throughTool(tool: Tool, file: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const program = findTool(tool);
  const handle = await open(file, 'r');
  try {
    await checkEnd(tool, handle);
    const child = spawn(program, ['-d', '-c'], {
      stdio: [handle.fd, 'pipe', 'pipe'],
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', XZ_DEFAULTS: `--memlimit-decompress=${MAX_MEMORY}` },
    });
    const { stdout, stderr } = child as unknown as { stdout: Readable; stderr: Readable };
    const closed = once(child, 'close');
    // Heard where it is awaited; if the caller stops before, by nobody.
    closed.catch(() => {});
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
    throw new Fault('TOOL_FAILED', `${program} can't be started (${(error as Error).message}): check memory, and the limit of processes`, { cause: error });
  } finally {
    await handle.close();
  }
}

type Failure = { program: string; handle: FileHandle; said: string; killedBy: string | null };

async function explain(tool: Tool, { program, handle, said, killedBy }: Failure): Promise<Fault> {
  if (killedBy !== null || /memory exhausted|out of memory|cannot allocate/i.test(said))
    return new Fault('TOOL_FAILED', `${program} ended before its time (${killedBy ?? said}): too little memory, most likely. Give the container more`);
  const demand = tool === 'xz' && isBusybox(program) ? await xzDemand(handle) : null;
  if (demand !== null)
    return new Fault(
      'TOOL_FAILED',
      `the archive was made with ${demand}, which busybox's xz can't read: install XZ Utils in the image (Debian's package xz-utils), or publish it as \`xz -9\` makes it`,
    );
  return corrupt(`${tool} says ${JSON.stringify(said.split('\n')[0]?.replace(/^\S*(?:xz|bzip2): /, '') ?? '')}`);
}

/**
 * Both tools pass over whatever follows the end, some without a word. Each format ends with a mark: xz with `YZ`, behind which zeros in
 * fours are allowed (xz-file-format 2.1.2.4 and 2.2), bzip2 with the square root of pi and a sum, filled up to a byte.
 */
async function checkEnd(tool: Tool, handle: FileHandle): Promise<void> {
  const { size } = await handle.stat();
  const end = Buffer.alloc(Math.min(size, 1024));
  await handle.read(end, 0, end.length, size - end.length);
  const isWhole = tool === 'xz' ? endsLikeXz(end) : endsLikeBzip2(end);
  if (!isWhole) throw corrupt(`it is cut off, or something follows the end of its ${tool} data`);
}

function endsLikeXz(end: Buffer): boolean {
  let length = end.length;
  while (length >= 4 && end.readUInt32LE(length - 4) === 0) length -= 4;
  return end.toString('latin1', length - 2, length) === 'YZ';
}

const BZIP2_END = 0x177245385090n;

function endsLikeBzip2(end: Buffer): boolean {
  const last = BigInt(`0x0${end.subarray(-11).toString('hex')}`);
  for (let fill = 0n; fill < 8n; fill++) if (((last >> (fill + 32n)) & 0xffffffffffffn) === BZIP2_END) return true;
  return false;
}

const XZ_LZMA2 = 0x21;
const BUSYBOX_DICTIONARY_BYTES = 64 * 1024 * 1024;

/** What the first block asks for that busybox lacks; null where that is nothing. See xz-file-format 3.1 and 5.3.1. */
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
  return dictionaryBytes > BUSYBOX_DICTIONARY_BYTES ? `a dictionary of ${Math.round(dictionaryBytes / 2 ** 20)} MiB` : null;
}

/** Which platform a file's first bytes are for, and whether this machine can run it. */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
} from 'node:fs';
import path from 'node:path';
import { Fault } from '../support/fault.ts';

export type ProgramKind = 'elf' | 'script' | 'mach-o' | 'windows';

/**
 * The first `bytes` of a file, or all of it. Of what is no regular file, nothing: a FIFO that the
 * app puts in a file's place would hold us here.
 */
export function headOf(file: string, bytes: number): Buffer {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(descriptor).isFile()) return Buffer.alloc(0);
    const head = Buffer.alloc(bytes);
    return head.subarray(0, readSync(descriptor, head, 0, bytes, 0));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * elf(5), execve(2); Mach-O's header in its 64-bit form; `MZ`, but for Actually Portable
 * Executables, which a shell can run.
 */
export function kindOf(head: Buffer): ProgramKind | null {
  const hex = head.toString('hex', 0, 8);
  if (hex.startsWith('7f454c46')) return 'elf';
  if (hex.startsWith('2321')) return 'script';
  if (hex.startsWith('cffaedfe')) return 'mach-o';
  if (hex.startsWith('4d5a') && !head.toString('latin1', 0, 8).startsWith('MZqFpD'))
    return 'windows';
  return null;
}

/** Whether the kernel starts what begins like this. */
export function isProgram(head: Buffer): boolean {
  const kind = kindOf(head);
  return (
    kind === 'elf' || kind === 'script' || (kind === 'mach-o' && process.platform === 'darwin')
  );
}

/**
 * e_machine by Node's name of the processor, and what else such a processor may run by itself. See
 * <elf.h>.
 */
const MACHINES: Partial<
  Record<
    NodeJS.Architecture,
    { own: number; others?: readonly number[]; bits: 32 | 64; bigEndian?: boolean }
  >
> = {
  x64: { own: 62, others: [3], bits: 64 },
  ia32: { own: 3, bits: 32 },
  arm64: { own: 183, others: [40], bits: 64 },
  arm: { own: 40, bits: 32 },
  ppc64: { own: 21, bits: 64 },
  s390x: { own: 22, bits: 64, bigEndian: true },
  riscv64: { own: 243, bits: 64 },
  loong64: { own: 258, bits: 64 },
};
/** What an ELF file for this processor says; undefined where that is not known. */
export const elfMachineOf = (arch: NodeJS.Architecture): number | undefined => MACHINES[arch]?.own;

const MACHINE_NAMES: Record<number, string> = {
  2: 'SPARC',
  3: '386',
  8: 'MIPS',
  20: '32-bit PowerPC',
  21: 'ppc64',
  22: 's390x',
  40: '32-bit ARM',
  43: 'SPARC',
  62: 'amd64',
  183: 'arm64',
  243: 'RISC-V',
  258: 'loong64',
};
const EI_CLASS_64 = 2;
const EI_DATA_BIG = 2;
const PT_INTERP = 3;
/** As much as holds the program headers of any linker's, and the interpreter's name. */
const HEAD_BYTES = 4096;
const MAX_PROGRAM_HEADERS = 64;

/**
 * Emulators that the kernel starts by itself, for programs of other machines: qemu-user, Rosetta.
 */
const EMULATORS_DIR = '/proc/sys/fs/binfmt_misc';

/**
 * The machine that a program is to run on. `exists`: whether its image has a file of this path;
 * left out for this machine's own.
 */
export type Machine = {
  os: NodeJS.Platform;
  arch: NodeJS.Architecture;
  emulators: string;
  exists?: (file: string) => boolean;
};
const HERE: Machine = {
  os: process.platform,
  arch: process.arch,
  emulators: EMULATORS_DIR,
};

/**
 * Compares a program with this machine, before anything is stopped for it. Throws `Fault`
 * `WRONG_PLATFORM` where these bytes can't run on it, and `INTERPRETER_MISSING` where something is
 * missing that the image could have. `searchPath` is the app's PATH.
 */
export function checkPlatform(
  file: string,
  searchPath: string | undefined,
  platform: Machine = HERE,
): void {
  if (platform.os !== 'linux') return;
  const head = headOf(file, HEAD_BYTES);
  const name = path.basename(file);
  const kind = kindOf(head);
  if (kind === 'elf') checkElf(head, file, platform);
  if (kind === 'script') checkScript(head, name, searchPath, platform);
  if (kind === 'mach-o') throw wrongPlatform(name, 'macOS', platform);
  if (kind === 'windows') throw wrongPlatform(name, 'Windows', platform);
}

function wrongPlatform(name: string, madeFor: string, { os, arch }: Machine): Fault {
  return new Fault(
    'WRONG_PLATFORM',
    `${name} is a program for ${madeFor}, and this machine is ${os}/${arch}: the release's file for another platform was chosen. Set UPDATE_ASSET to a pattern that matches the right one`,
  );
}

function checkElf(head: Buffer, file: string, platform: Machine): void {
  const name = path.basename(file);
  const isBig = head[5] === EI_DATA_BIG;
  const read16 = (at: number) =>
    at + 2 > head.length ? 0 : isBig ? head.readUInt16BE(at) : head.readUInt16LE(at);
  const machine = read16(18);
  const bits = head[4] === EI_CLASS_64 ? 64 : 32;
  const known = MACHINES[platform.arch];
  if (known === undefined) return;
  const isOwn =
    machine === known.own && bits === known.bits && isBig === (known.bigEndian ?? false);
  const isOther = known.others?.includes(machine) === true && bits === 32 && !isBig;
  if (!isOwn && !isOther && !hasEmulators(platform.emulators))
    throw wrongPlatform(
      name,
      `${MACHINE_NAMES[machine] ?? `machine ${machine}`} (${bits} bits)`,
      platform,
    );
  if (!isOwn) return;
  const interpreter = interpreterOf(head, { bits, isBig });
  if (interpreter === null || (platform.exists ?? existsSync)(interpreter)) return;
  const libc = interpreter.includes('musl') ? 'musl' : 'glibc';
  throw new Fault(
    'INTERPRETER_MISSING',
    `${name} is linked against ${libc} (${interpreter}), which this image lacks: choose a static build or one for another libc by UPDATE_ASSET, or install it in the image`,
  );
}

function hasEmulators(directory: string): boolean {
  try {
    return readdirSync(directory).some((name) => name !== 'register' && name !== 'status');
  } catch {
    return false;
  }
}

/** The dynamic linker's path; null for a static program, and where that can't be told. */
function interpreterOf(
  head: Buffer,
  { bits, isBig }: { bits: 32 | 64; isBig: boolean },
): string | null {
  const read = (at: number, bytes: 2 | 4 | 8): number => {
    if (at + bytes > head.length) return 0;
    if (bytes === 8) return Number(isBig ? head.readBigUInt64BE(at) : head.readBigUInt64LE(at));
    return isBig ? head.readUIntBE(at, bytes) : head.readUIntLE(at, bytes);
  };
  const is64 = bits === 64;
  const tableAt = is64 ? read(32, 8) : read(28, 4);
  const size = read(is64 ? 54 : 42, 2);
  const count = Math.min(read(is64 ? 56 : 44, 2), MAX_PROGRAM_HEADERS);
  for (let index = 0; index < count; index++) {
    // Endless loop: an offset of 2^63 plus 56 is that offset again, so it is not what is counted
    // by.
    const at = tableAt + index * size;
    if (at >= head.length) return null;
    if (read(at, 4) !== PT_INTERP) continue;
    const from = is64 ? read(at + 8, 8) : read(at + 4, 4);
    const to = head.indexOf(0, from);
    return from > 0 && from < head.length && to > from ? head.toString('utf8', from, to) : null;
  }
  return null;
}

/** execve(2): `#!`, an interpreter, one argument. `env` looks for the program on the PATH. */
function checkScript(
  head: Buffer,
  name: string,
  searchPath: string | undefined,
  { exists = existsSync }: Machine,
): void {
  const line = head.toString('utf8', 2).split('\n', 1)[0] ?? '';
  const [interpreter = '', ...args] = line.trim().split(/[ \t]+/);
  // Without a slash it is looked for in the working directory, which nobody means; the kernel says
  // so.
  const missing = (what: string) =>
    new Fault(
      'INTERPRETER_MISSING',
      `${name} begins with ${JSON.stringify(`#!${line.slice(0, 100)}`)}, and there is no ${what} in this image: install it in the image, or set UPDATE_APP_COMMAND`,
    );
  if (line.endsWith('\r'))
    throw new Fault(
      'INTERPRETER_MISSING',
      `${name} has line ends of Windows, so that its interpreter is "${interpreter}\\r", which is not found: publish it with line ends of Unix, or set UPDATE_APP_COMMAND`,
    );
  if (interpreter.startsWith('/') && !exists(interpreter)) throw missing(interpreter);
  if (path.basename(interpreter) !== 'env' || searchPath === undefined) return;
  const wanted = args.find((word) => !word.startsWith('-') && !word.includes('='));
  if (wanted === undefined || wanted.includes('/')) return;
  if (!searchPath.split(':').some((directory) => exists(path.join(directory, wanted))))
    throw missing(wanted);
}

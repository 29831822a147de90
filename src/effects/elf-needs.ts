/**
 * What an ELF file needs of the system that it starts on: its loader, its libraries, and the newest
 * glibc among the versions of symbols that it is bound to. Formats: System V ABI, "Program Header"
 * and "Dynamic Section"; Linux Standard Base, "Symbol Versioning" (Elf_Verneed, Elf_Vernaux).
 *
 * The file may be hostile. Every offset is held against its size, every list ends after a fixed
 * number of steps, and a list that does not lead onwards ends there.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { compareGlibc } from '../support/glibc.ts';

export type ElfNeeds = {
  /** e_machine of the file; see <elf.h>. */
  machine: number;
  /** Path of the dynamic loader; null for a static program or a library. */
  interpreter: string | null;
  /** DT_NEEDED, in the file's order. */
  libraries: string[];
  /** The newest `GLIBC_x.y` that it is bound to, as `2.34`; null where there is none. */
  glibc: string | null;
};

const EI_CLASS_64 = 2;
const EI_DATA_BIG = 2;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_VERNEED = 0x6ffffffe;
/** The library may lack this version: the loader starts the program all the same. */
const VER_FLG_WEAK = 2;
/** Bound to by what was linked with `-z pack-relative-relocs`; it came with glibc 2.36. */
const RELR = { name: 'GLIBC_ABI_DT_RELR', glibc: '2.36' };

/** Real files have a dozen program headers, 40 dynamic entries, 10 libraries and 30 versions. */
const MAX_PROGRAM_HEADERS = 256;
const MAX_DYNAMIC_ENTRIES = 4096;
const MAX_LIBRARIES = 512;
const MAX_VERSIONS = 4096;
const MAX_NAME_BYTES = 256;
const HEADER_BYTES = 64;

/** Null for what is no ELF file that can be read. */
export function elfNeedsOf(file: string): ElfNeeds | null {
  // Not waiting for another end: what has this name may be a FIFO.
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) return null;
    const elf = Elf.open((at, length) => {
      // Offsets of 2^63 and beyond are no place in a file.
      if (!Number.isSafeInteger(at) || at < 0 || at >= stats.size) return null;
      const bytes = Buffer.alloc(Math.min(length, stats.size - at));
      return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, at));
    });
    return elf === null ? null : needsOf(elf);
  } finally {
    closeSync(descriptor);
  }
}

/** Up to `length` bytes at an offset; null outside of the file. */
type Read = (at: number, length: number) => Buffer | null;
type Segment = { type: number; offset: number; address: number; size: number };

/** Numbers in the file's own width and order; 0 where it ends before them. */
class Elf {
  readonly #read: Read;
  readonly #isBig: boolean;
  readonly is64: boolean;
  readonly segments: readonly Segment[];
  readonly machine: number;

  private constructor(read: Read, header: Buffer) {
    this.#read = read;
    this.is64 = header[4] === EI_CLASS_64;
    this.#isBig = header[5] === EI_DATA_BIG;
    this.machine = this.number(header, 18, 2);
    this.segments = this.#segments(header);
  }

  static open(read: Read): Elf | null {
    const header = read(0, HEADER_BYTES);
    if (header === null || header.length < 52 || header.toString('latin1', 0, 4) !== '\x7fELF')
      return null;
    return new Elf(read, header);
  }

  number(bytes: Buffer, at: number, width: 2 | 4 | 8): number {
    if (at + width > bytes.length) return 0;
    if (width === 8)
      return Number(this.#isBig ? bytes.readBigUInt64BE(at) : bytes.readBigUInt64LE(at));
    return this.#isBig ? bytes.readUIntBE(at, width) : bytes.readUIntLE(at, width);
  }

  bytes(at: number, length: number): Buffer | null {
    const bytes = this.#read(at, length);
    return bytes === null || bytes.length < length ? null : bytes;
  }

  /** Up to its zero byte. Null where there is none near, or what was named is no text. */
  text(at: number): string | null {
    const bytes = this.#read(at, MAX_NAME_BYTES);
    const end = bytes?.indexOf(0) ?? -1;
    const text = bytes?.toString('latin1', 0, end) ?? '';
    return end > 0 && /^[ -~]+$/.test(text) ? text : null;
  }

  /** Where in the file an address of the running program comes from. */
  offsetOf(address: number): number | null {
    const segment = this.segments.find(
      ({ type, address: from, size }) =>
        type === PT_LOAD && address >= from && address < from + size,
    );
    return segment === undefined ? null : segment.offset + (address - segment.address);
  }

  #segments(header: Buffer): Segment[] {
    const word = this.is64 ? 8 : 4;
    const tableAt = this.number(header, this.is64 ? 32 : 28, word);
    const entryBytes = this.is64 ? 56 : 32;
    const count = this.number(header, this.is64 ? 56 : 44, 2);
    const segments: Segment[] = [];
    for (let index = 0; index < Math.min(count, MAX_PROGRAM_HEADERS); index++) {
      const bytes = this.bytes(tableAt + index * entryBytes, entryBytes);
      if (bytes === null) break;
      segments.push({
        type: this.number(bytes, 0, 4),
        offset: this.number(bytes, this.is64 ? 8 : 4, word),
        address: this.number(bytes, this.is64 ? 16 : 8, word),
        size: this.number(bytes, this.is64 ? 32 : 16, word),
      });
    }
    return segments;
  }
}

function needsOf(elf: Elf): ElfNeeds {
  const named = elf.segments.find(({ type }) => type === PT_INTERP);
  const tags = dynamicOf(elf);
  const textsAt = elf.offsetOf(tags.find(({ tag }) => tag === DT_STRTAB)?.value ?? -1);
  const nameAt = (offset: number) => (textsAt === null ? null : elf.text(textsAt + offset));
  const versions = versionsOf(elf, tags.find(({ tag }) => tag === DT_VERNEED)?.value, nameAt);
  return {
    machine: elf.machine,
    interpreter: named === undefined ? null : elf.text(named.offset),
    libraries: tags
      .filter(({ tag }) => tag === DT_NEEDED)
      .slice(0, MAX_LIBRARIES)
      .flatMap(({ value }) => nameAt(value) ?? []),
    glibc: highestGlibc(versions),
  };
}

function dynamicOf(elf: Elf): { tag: number; value: number }[] {
  const segment = elf.segments.find(({ type }) => type === PT_DYNAMIC);
  if (segment === undefined) return [];
  const word = elf.is64 ? 8 : 4;
  const entries: { tag: number; value: number }[] = [];
  for (let index = 0; index < MAX_DYNAMIC_ENTRIES; index++) {
    const bytes = elf.bytes(segment.offset + index * word * 2, word * 2);
    const tag = bytes === null ? 0 : elf.number(bytes, 0, word);
    // DT_NULL ends the list.
    if (bytes === null || tag === 0) break;
    entries.push({ tag, value: elf.number(bytes, word, word) });
  }
  return entries;
}

/** The names of all versions that the file is bound to, of any library. */
function versionsOf(
  elf: Elf,
  address: number | undefined,
  nameAt: (offset: number) => string | null,
): string[] {
  const names: string[] = [];
  let at = address === undefined ? null : elf.offsetOf(address);
  let left = MAX_VERSIONS;
  for (let library = 0; at !== null && library < MAX_LIBRARIES; library++) {
    const need = elf.bytes(at, 16);
    if (need === null) break;
    let auxiliaryAt = at + elf.number(need, 8, 4);
    for (let count = elf.number(need, 2, 2); count > 0 && left > 0; count--) {
      left -= 1;
      const auxiliary = elf.bytes(auxiliaryAt, 16);
      if (auxiliary === null) break;
      const name = nameAt(elf.number(auxiliary, 8, 4));
      if (name !== null && (elf.number(auxiliary, 4, 2) & VER_FLG_WEAK) === 0) names.push(name);
      const step = elf.number(auxiliary, 12, 4);
      // Endless loop: 0 would lead to itself, and steps are unsigned, so each one leads onwards.
      if (step === 0) break;
      auxiliaryAt += step;
    }
    const step = elf.number(need, 12, 4);
    at = step === 0 ? null : at + step;
  }
  return names;
}

function highestGlibc(names: readonly string[]): string | null {
  const versions = names.flatMap(
    (name) =>
      (name === RELR.name ? RELR.glibc : /^GLIBC_(\d{1,3}(?:\.\d{1,3}){1,2})$/.exec(name)?.[1]) ??
      [],
  );
  return versions.toSorted((a, b) => compareGlibc(b, a))[0] ?? null;
}

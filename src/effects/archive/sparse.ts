/**
 * Files with holes in PAX archives, as macOS's tar and GNU tar write them: GNU.sparse 0.0, 0.1 and
 * 1.0. node-tar knows none of them, and would unpack the map as content. See "Storing Sparse Files"
 * in GNU tar's manual.
 */
import { corrupt } from './rules.ts';
import type { TreeWriter } from './tree-writer.ts';

/** Where a run of data lies in the file. */
type Run = { offset: number; bytes: number };
/**
 * `runs`: null where the map stands before the data (1.0). `path`: null where the entry carries its
 * own (0.0).
 */
export type Sparse = { path: string | null; sizeBytes: number; runs: Run[] | null };

/** A map of more runs than that is no app's. */
const MAX_RUNS = 100_000;
const MAX_DIGITS = 20;
const BLOCK_BYTES = 512;
const NEWLINE = 0x0a;

/**
 * What a PAX header says about holes in the entry that follows; null if nothing. Throws `Fault`
 * `ARCHIVE_CORRUPT`.
 */
export function sparseOf(header: string): Sparse | null {
  if (!header.includes('GNU.sparse.')) return null;
  const records = [...header.matchAll(/^\d+ GNU\.sparse\.([a-z]+)=(.*)$/gm)].map(
    ([, key = '', value = '']) => ({ key, value }),
  );
  if (records.length === 0) return null;
  const told = (wanted: string) => records.findLast(({ key }) => key === wanted)?.value;
  const sizeBytes = numberOf(told('realsize') ?? told('size'));
  const name = told('name');
  // Its own text: a piece of the header's would keep all of that in memory.
  const path = name === undefined ? null : Buffer.from(name).toString();
  if (told('major') !== undefined) {
    if (told('major') === '1' && told('minor') === '0') return { path, sizeBytes, runs: null };
    throw corrupt(
      `a file with holes is described in version ${told('major')}.${told('minor')} of GNU's format, which is unknown`,
    );
  }
  const map =
    told('map')?.split(',') ??
    records.flatMap(({ key, value }) => (key === 'offset' || key === 'numbytes' ? [value] : []));
  return { path, sizeBytes, runs: runsOf(map.map(numberOf)) };
}

function numberOf(text: string | undefined): number {
  const value = /^\d{1,15}$/.test(text ?? '') ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    throw corrupt('the map of a file with holes has no sensible numbers');
  return value;
}

function runsOf(numbers: readonly number[]): Run[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MAX_RUNS)
    throw corrupt('the map of a file with holes has a wrong length');
  return Array.from({ length: numbers.length / 2 }, (_, at) => ({
    offset: numbers[2 * at] ?? 0,
    bytes: numbers[2 * at + 1] ?? 0,
  }));
}

/** Puts the data of one entry where its map says. */
export class SparseWriter {
  readonly #sparse: Sparse;
  readonly #tree: TreeWriter;
  #runs: Run[] | null = null;
  /**
   * What is read of a map that stands before the data: its numbers, the current one, and all of its
   * bytes.
   */
  readonly #numbers: number[] = [];
  #digits = '';
  #mapBytes = 0;
  #run = 0;
  #written = 0;

  constructor(sparse: Sparse, tree: TreeWriter) {
    this.#sparse = sparse;
    this.#tree = tree;
    if (sparse.runs !== null) this.#begin(sparse.runs);
  }

  write(piece: Buffer): void {
    let rest = this.#runs === null ? this.#readMap(piece) : piece;
    while (rest.length > 0) {
      const run = this.#runs?.[this.#run];
      if (run === undefined) throw corrupt('a file with holes brings more data than its map says');
      const part = rest.subarray(0, run.bytes - this.#written);
      this.#tree.writeAt(part, run.offset + this.#written);
      this.#written += part.length;
      rest = rest.subarray(part.length);
      this.#skipFull();
    }
  }

  end(): void {
    if (this.#runs === null || this.#run < this.#runs.length)
      throw corrupt('a file with holes brings less data than its map says');
    this.#tree.setSize(this.#sparse.sizeBytes);
    this.#tree.closeFile();
  }

  #skipFull(): void {
    for (
      let run = this.#runs?.[this.#run];
      run !== undefined && this.#written === run.bytes;
      run = this.#runs?.[this.#run]
    ) {
      this.#run += 1;
      this.#written = 0;
    }
  }

  /**
   * In 1.0: a count, then offset and length of each run, a number a line, filled up to a block.
   * Returns the data behind it. Byte by byte: a map that comes in a million pieces would be copied
   * a million times.
   */
  #readMap(piece: Buffer): Buffer {
    for (let at = 0; at < piece.length; at++) {
      if (this.#isMapRead && this.#mapBytes % BLOCK_BYTES === 0) {
        this.#begin(runsOf(this.#numbers.slice(1)));
        return piece.subarray(at);
      }
      this.#mapBytes += 1;
      if (!this.#isMapRead) this.#readDigit(piece[at] ?? 0);
    }
    if (this.#isMapRead && this.#mapBytes % BLOCK_BYTES === 0)
      this.#begin(runsOf(this.#numbers.slice(1)));
    return Buffer.alloc(0);
  }

  get #isMapRead(): boolean {
    const [runs] = this.#numbers;
    return runs !== undefined && this.#numbers.length === 1 + 2 * runs;
  }

  #readDigit(byte: number): void {
    if (byte !== NEWLINE) {
      this.#digits += String.fromCharCode(byte);
      if (this.#digits.length > MAX_DIGITS)
        throw corrupt('the map of a file with holes has no end');
      return;
    }
    this.#numbers.push(numberOf(this.#digits));
    this.#digits = '';
    if ((this.#numbers[0] ?? 0) > MAX_RUNS)
      throw corrupt(`the map of a file with holes has more than ${MAX_RUNS} parts`);
  }

  /** In order, apart from one another, and within the file. */
  #begin(runs: Run[]): void {
    let end = 0;
    for (const { offset, bytes } of runs) {
      if (offset < end) throw corrupt('the parts of a file with holes overlap');
      end = offset + bytes;
    }
    if (end > this.#sparse.sizeBytes)
      throw corrupt('a part of a file with holes lies behind its end');
    this.#runs = runs;
    this.#skipFull();
  }
}

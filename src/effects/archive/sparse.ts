/**
 * Files with holes in PAX archives, as macOS's tar and GNU tar write them: GNU.sparse 0.0, 0.1 and 1.0. node-tar knows none of them, and
 * would unpack the map as content. See "Storing Sparse Files" in GNU tar's manual.
 */
import { corrupt } from './rules.ts';
import type { TreeWriter } from './tree-writer.ts';

/** Where a run of data lies in the file. */
type Run = { offset: number; bytes: number };
/** `runs`: null where the map stands before the data (1.0). `path`: null where the entry carries its own (0.0). */
export type Sparse = { path: string | null; sizeBytes: number; runs: Run[] | null };

/** A map of more runs than that is no app's. */
const MAX_RUNS = 100_000;
const MAX_MAP_BYTES = 4 * 1024 * 1024;
const BLOCK_BYTES = 512;
const NEWLINE = 0x0a;

/** What a PAX header says about holes in the entry that follows; null if nothing. Throws `Fault` `ARCHIVE_CORRUPT`. */
export function sparseOf(header: string): Sparse | null {
  if (!header.includes('GNU.sparse.')) return null;
  const records = [...header.matchAll(/^\d+ GNU\.sparse\.([a-z]+)=(.*)$/gm)].map(([, key = '', value = '']) => ({ key, value }));
  if (records.length === 0) return null;
  const told = (wanted: string) => records.findLast(({ key }) => key === wanted)?.value;
  const sizeBytes = numberOf(told('realsize') ?? told('size'));
  const path = told('name') ?? null;
  if (told('major') !== undefined) {
    if (told('major') === '1' && told('minor') === '0') return { path, sizeBytes, runs: null };
    throw corrupt(`a file with holes is described in version ${told('major')}.${told('minor')} of GNU's format, which is unknown`);
  }
  const map = told('map')?.split(',') ?? records.flatMap(({ key, value }) => (key === 'offset' || key === 'numbytes' ? [value] : []));
  return { path, sizeBytes, runs: runsOf(map.map(numberOf)) };
}

function numberOf(text: string | undefined): number {
  const value = /^\d{1,15}$/.test(text ?? '') ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw corrupt('the map of a file with holes has no sensible numbers');
  return value;
}

function runsOf(numbers: readonly number[]): Run[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MAX_RUNS) throw corrupt('the map of a file with holes has a wrong length');
  return Array.from({ length: numbers.length / 2 }, (_, at) => ({ offset: numbers[2 * at] ?? 0, bytes: numbers[2 * at + 1] ?? 0 }));
}

/** Puts the data of one entry where its map says. */
export class SparseWriter {
  readonly #sparse: Sparse;
  readonly #tree: TreeWriter;
  #runs: Run[] | null = null;
  #map = Buffer.alloc(0);
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
    if (this.#runs === null || this.#run < this.#runs.length) throw corrupt('a file with holes brings less data than its map says');
    this.#tree.setSize(this.#sparse.sizeBytes);
    this.#tree.closeFile();
  }

  #skipFull(): void {
    for (let run = this.#runs?.[this.#run]; run !== undefined && this.#written === run.bytes; run = this.#runs?.[this.#run]) {
      this.#run += 1;
      this.#written = 0;
    }
  }

  /** In 1.0: a count, then offset and length of each run, a number a line, filled up to a block. Returns the data behind it. */
  #readMap(piece: Buffer): Buffer {
    this.#map = Buffer.concat([this.#map, piece]);
    const first = this.#map.indexOf(NEWLINE);
    if (this.#map.length > MAX_MAP_BYTES || (first < 0 && this.#map.length > 20)) throw corrupt('the map of a file with holes has no end');
    if (first < 0) return Buffer.alloc(0);
    const count = numberOf(this.#map.toString('latin1', 0, first));
    if (count > MAX_RUNS) throw corrupt(`the map of a file with holes has more than ${MAX_RUNS} parts`);
    let end = first + 1;
    for (let left = 2 * count; left > 0; left--) {
      const next = this.#map.indexOf(NEWLINE, end);
      if (next < 0) return Buffer.alloc(0);
      end = next + 1;
    }
    const whole = Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES;
    if (this.#map.length < whole) return Buffer.alloc(0);
    const lines = this.#map
      .toString('latin1', first + 1, end)
      .split('\n')
      .slice(0, -1);
    const data = this.#map.subarray(whole);
    this.#map = Buffer.alloc(0);
    this.#begin(runsOf(lines.map(numberOf)));
    return data;
  }

  /** In order, apart from one another, and within the file. */
  #begin(runs: Run[]): void {
    let end = 0;
    for (const { offset, bytes } of runs) {
      if (offset < end) throw corrupt('the parts of a file with holes overlap');
      end = offset + bytes;
    }
    if (end > this.#sparse.sizeBytes) throw corrupt('a part of a file with holes lies behind its end');
    this.#runs = runs;
    this.#skipFull();
  }
}

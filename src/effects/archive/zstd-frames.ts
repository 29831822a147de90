/**
 * Cuts zstd data at the ends of its frames. Node's decompressor drops whatever follows a frame in the same write, and fails at the next
 * one: pzstd, seekable archives and skippable frames would be read in part. A write that ends with a frame is decompressed whole.
 * Format: RFC 8878, 3.1.
 */
import { corrupt } from './rules.ts';

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAGIC_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;
const RLE_BLOCK = 1;
const CHECKSUM_BYTES = 4;
/** By Dictionary_ID_flag, and by Frame_Content_Size_flag. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/** The same bytes; no part reaches over the end of a frame. Throws `Fault` `ARCHIVE_CORRUPT` where no frame begins that should. */
export async function* cutAtFrames(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const frames = new FrameReader();
  let hasBegun = false;
  let isPadding = false;
  for await (const piece of pieces) {
    let from = 0;
    // No frame begins with a zero: bsdtar fills up what it writes into a pipe.
    const mayPad = () => hasBegun && frames.isComplete && piece[from] === 0;
    isPadding ||= mayPad();
    for (const end of isPadding ? [] : frames.endsIn(piece)) {
      yield piece.subarray(from, end);
      from = end;
      hasBegun = true;
      isPadding = mayPad();
      if (isPadding) break;
    }
    if (isPadding && piece.subarray(from).some((byte) => byte !== 0)) throw corrupt('something follows its end');
    if (!isPadding && from < piece.length) yield piece.subarray(from);
  }
  if (!frames.isComplete) throw corrupt('it ends in the middle of a zstd frame');
}

class FrameReader {
  /** What is read of the header at hand. */
  #header = Buffer.alloc(0);
  #at: 'frame' | 'block' = 'frame';
  /** Content still to be passed over. */
  #contentBytes = 0;
  #isLastBlock = false;
  #hasChecksum = false;

  get isComplete(): boolean {
    return this.#at === 'frame' && this.#header.length === 0 && this.#contentBytes === 0;
  }

  /** Offsets in this piece behind the last byte of a frame. */
  *endsIn(piece: Buffer): Generator<number> {
    let at = 0;
    while (at < piece.length) {
      const wanted = this.#contentBytes || this.#headerBytes() - this.#header.length;
      const part = piece.subarray(at, at + wanted);
      at += part.length;
      if (this.#contentBytes > 0) this.#contentBytes -= part.length;
      else {
        this.#header = Buffer.concat([this.#header, part]);
        if (this.#header.length < this.#headerBytes()) continue;
        this.#readHeader();
      }
      if (this.#contentBytes > 0 || !this.#isLastBlock) continue;
      this.#at = 'frame';
      this.#isLastBlock = false;
      yield at;
    }
  }

  /** How long the header at hand is, as far as that can be told from what is read of it. */
  #headerBytes(): number {
    if (this.#at === 'block') return BLOCK_HEADER_BYTES;
    if (this.#header.length < MAGIC_BYTES) return MAGIC_BYTES;
    const magic = this.#header.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) return MAGIC_BYTES + 4;
    if (magic !== MAGIC) throw corrupt('something follows its end that is no zstd frame');
    const descriptor = this.#header[MAGIC_BYTES];
    if (descriptor === undefined) return MAGIC_BYTES + 1;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const contentSize = CONTENT_SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3] || (isSingleSegment ? 1 : 0);
    return MAGIC_BYTES + 1 + (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3] + contentSize;
  }

  #readHeader(): void {
    const header = this.#header;
    this.#header = Buffer.alloc(0);
    if (this.#at === 'frame') {
      const isSkippable = header.readUInt32LE(0) !== MAGIC;
      this.#contentBytes = isSkippable ? header.readUInt32LE(MAGIC_BYTES) : 0;
      this.#isLastBlock = isSkippable;
      this.#hasChecksum = !isSkippable && ((header[MAGIC_BYTES] ?? 0) & 4) !== 0;
      this.#at = isSkippable ? 'frame' : 'block';
      return;
    }
    const block = header.readUIntLE(0, BLOCK_HEADER_BYTES);
    this.#isLastBlock = (block & 1) === 1;
    this.#contentBytes = ((block >> 1) & 3) === RLE_BLOCK ? 1 : block >> 3;
    if (this.#isLastBlock && this.#hasChecksum) this.#contentBytes += CHECKSUM_BYTES;
  }
}

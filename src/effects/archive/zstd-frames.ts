/**
 * Cuts zstd data at the ends of its frames. Node's decompressor drops whatever follows a frame in
 * the same write, and fails at the next one: pzstd, seekable archives and skippable frames would be
 * read in part. A write that ends with a frame is decompressed whole. Format: RFC 8878, 3.1.
 */
import { corrupt, refused } from './rules.ts';

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAGIC_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;
const RLE_BLOCK = 1;
const CHECKSUM_BYTES = 4;
/** By Dictionary_ID_flag, and by Frame_Content_Size_flag. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/**
 * Endless frames: each is a round trip through the thread pool, whatever is in it. Chunked archives
 * have frames of some kB.
 */
const MAX_TINY_FRAMES = 100_000;
const MIN_MEAN_FRAME_BYTES = 1024;

/**
 * The same bytes without skippable frames, which hold no data; no part reaches over the end of a
 * frame. Throws `Fault` `ARCHIVE_CORRUPT` where no frame begins that should, and `ARCHIVE_REFUSED`
 * for more frames than data of that size has.
 */
export async function* cutAtFrames(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const frames = new FrameReader();
  for await (const piece of pieces) yield* frames.partsOf(piece);
  if (!frames.isComplete) throw corrupt('it ends in the middle of a zstd frame');
}

const NOTHING = Buffer.alloc(0);

class FrameReader {
  /** The part of the current header that was read. */
  #header: Buffer = NOTHING;
  /** In a frame's header, in a frame of data, or in the content of a skippable frame. */
  #at: 'frame' | 'block' | 'skippable' = 'frame';
  #frameHeader: Buffer = NOTHING;
  #isPadding = false;
  #frames = 0;
  /** That came so far. */
  #bytes = 0;
  /** Content still to be passed over. */
  #contentBytes = 0;
  #isLastBlock = false;
  #hasChecksum = false;

  get isComplete(): boolean {
    return this.#at === 'frame' && this.#header.length === 0 && this.#contentBytes === 0;
  }

  *partsOf(piece: Buffer): Generator<Buffer> {
    this.#bytes += piece.length;
    // Of a header that begins in an earlier piece nothing was passed on yet: it may be that of a
    // skippable frame.
    let held = this.#at === 'frame' ? this.#header.length : 0;
    let [at, from] = [0, 0];
    while (at < piece.length) {
      // No frame begins with a zero: bsdtar fills up what it writes into a pipe.
      if (this.#isPadding || (this.#frames > 0 && this.isComplete && piece[at] === 0))
        return this.#pad(piece.subarray(at));
      const wasAt = this.#at;
      const end = this.#take(piece, at);
      const isHeader = wasAt === 'frame' && this.#at !== 'frame';
      if (isHeader && held > 0 && this.#at === 'block') yield this.#frameHeader.subarray(0, held);
      if (isHeader) held = 0;
      at = end;
      if (this.#at === 'skippable') from = at;
      if (this.#at === 'frame' || this.#contentBytes > 0 || !this.#isLastBlock) continue;
      if (from < at) yield piece.subarray(from, at);
      from = at;
      this.#endFrame();
    }
    if (from < at && this.#at === 'block') yield piece.subarray(from);
  }

  #pad(rest: Buffer): void {
    this.#isPadding = true;
    if (rest.some((byte) => byte !== 0)) throw corrupt('there is data after its end');
  }

  #endFrame(): void {
    this.#at = 'frame';
    this.#isLastBlock = false;
    this.#frames += 1;
    if (this.#frames > MAX_TINY_FRAMES && this.#bytes < this.#frames * MIN_MEAN_FRAME_BYTES)
      throw refused(
        `it has more than ${MAX_TINY_FRAMES} zstd frames, of less than ${MIN_MEAN_FRAME_BYTES} bytes on average`,
      );
  }

  /** Content, or as much of a header as there is. Returns where the next begins. */
  #take(piece: Buffer, at: number): number {
    if (this.#contentBytes > 0) {
      const taken = Math.min(this.#contentBytes, piece.length - at);
      this.#contentBytes -= taken;
      return at + taken;
    }
    const part = piece.subarray(at, at + this.#headerBytes() - this.#header.length);
    // Most are whole: a copy for each block would be most of the work.
    this.#header = this.#header.length === 0 ? part : Buffer.concat([this.#header, part]);
    if (this.#header.length === this.#headerBytes()) this.#readHeader();
    // The piece is overwritten by the one after the next.
    else if (at + part.length === piece.length) this.#header = Buffer.from(this.#header);
    return at + part.length;
  }

  /** The length of the current header, as far as it is known from the part that was read. */
  #headerBytes(): number {
    if (this.#at === 'block') return BLOCK_HEADER_BYTES;
    if (this.#header.length < MAGIC_BYTES) return MAGIC_BYTES;
    const magic = this.#header.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) return MAGIC_BYTES + 4;
    if (magic !== MAGIC) throw corrupt('there is data after its end that is not a zstd frame');
    const descriptor = this.#header[MAGIC_BYTES];
    if (descriptor === undefined) return MAGIC_BYTES + 1;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const contentSize =
      CONTENT_SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3] || (isSingleSegment ? 1 : 0);
    return (
      MAGIC_BYTES +
      1 +
      (isSingleSegment ? 0 : 1) +
      DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3] +
      contentSize
    );
  }

  #readHeader(): void {
    const header = this.#header;
    this.#header = NOTHING;
    if (this.#at === 'frame') {
      const isSkippable = header.readUInt32LE(0) !== MAGIC;
      this.#contentBytes = isSkippable ? header.readUInt32LE(MAGIC_BYTES) : 0;
      this.#isLastBlock = isSkippable;
      this.#hasChecksum = !isSkippable && ((header[MAGIC_BYTES] ?? 0) & 4) !== 0;
      this.#at = isSkippable ? 'skippable' : 'block';
      this.#frameHeader = header;
      return;
    }
    const block = header.readUIntLE(0, BLOCK_HEADER_BYTES);
    this.#isLastBlock = (block & 1) === 1;
    this.#contentBytes = ((block >> 1) & 3) === RLE_BLOCK ? 1 : block >> 3;
    if (this.#isLastBlock && this.#hasChecksum) this.#contentBytes += CHECKSUM_BYTES;
  }
}

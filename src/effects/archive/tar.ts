/** Unpacks tar archives by `tar`, strictly, behind the gate. */
import { Parser, type ReadEntry } from 'tar';
import type { Fault } from '../../support/fault.ts';
import { tellGarbage } from '../memory.ts';
import { explain } from './errors.ts';
import {
  checkRatio,
  corrupt,
  type Entry,
  Gate,
  installedMode,
  type Limits,
  refused,
  tooLarge,
} from './rules.ts';
import { type Sparse, SparseWriter, sparseOf } from './sparse.ts';
import { TreeWriter } from './tree-writer.ts';

/** Headers, padding and PAX records come on top of what is unpacked. */
const OVERHEAD_BYTES_AN_ENTRY = 4096;
const BLOCK_BYTES = 512;
/** pixz puts its index behind the end of the tar; see "File index" in its source, pixz.h. */
const PIXZ_INDEX = Buffer.from('a64c322ed614aedb', 'hex');

const TYPES: Partial<Record<string, Entry['type']>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  GNUDumpDir: 'other',
  SymbolicLink: 'link',
  Link: 'hardlink',
};

/**
 * A tar, whatever its age: the sum over its first header fits (POSIX.1-1988, and every tar since
 * Unix version 7), or it is empty.
 */
export function isTar(head: Buffer): boolean {
  if (head.length < BLOCK_BYTES) return false;
  const block = head.subarray(0, BLOCK_BYTES);
  if (block.every((byte) => byte === 0)) return true;
  const told = Number.parseInt(
    block
      .toString('latin1', 148, 156)
      .replace(/[\0 ]+/g, ' ')
      .trim(),
    8,
  );
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  return sum === told;
}

/**
 * Unpacks into the empty directory `into`. `packedBytes`: what the pieces were made from. Returns
 * the names of files that a desktop may have added. Throws `Fault`; what was unpacked by then is
 * left to the caller.
 */
export async function unpackTar(
  pieces: AsyncIterable<Buffer>,
  packedBytes: number,
  into: string,
  limits: Limits,
  signal: AbortSignal,
): Promise<string[]> {
  const gate = new Gate(limits, packedBytes);
  const tree = new TreeWriter(into);
  const reader = new TarReader(tree, gate);
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      signal.throwIfAborted();
      bytes += piece.length;
      // What really comes out, whatever the headers claim.
      if (bytes > limits.maxUnpackedBytes + OVERHEAD_BYTES_AN_ENTRY * (gate.entries + 1))
        throw tooLarge(
          `more than ${limits.maxUnpackedBytes} bytes unpacked`,
          'UPDATE_MAX_UNPACKED_BYTES',
        );
      checkRatio(bytes, packedBytes);
      reader.write(piece);
      tellGarbage(piece.length);
    }
    reader.end();
    tree.finish();
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error);
  } finally {
    tree.closeFile();
  }
  return gate.desktopFiles;
}

/**
 * Everything in it is synchronous: what goes wrong is thrown by the parser's own `write` and `end`.
 * The parser gets headers and bodies one by one, so that the place is known where the archive ends:
 * it would keep in memory whatever follows.
 */
class TarReader {
  readonly #tree: TreeWriter;
  readonly #parser: Parser;
  #entry: ReadEntry | null = null;
  #offset = 0;
  /** `indexed`: what follows is nobody's content. */
  #state: 'reading' | 'ended' | 'indexed' = 'reading';
  /** From the PAX header before an entry. */
  #sparse: Sparse | null = null;

  constructor(tree: TreeWriter, gate: Gate) {
    this.#tree = tree;
    this.#parser = new Parser({
      // Bad entries only warn by default.
      strict: true,
      filter: (_path, given) => {
        const entry = given as ReadEntry;
        // node-tar cuts them from the text of a PAX header, which may have a megabyte and stays in
        // memory as long as a piece of it.
        entry.path = ownText(entry.path);
        if (entry.linkpath !== undefined) entry.linkpath = ownText(entry.linkpath);
        gate.admit(describe(entry, this.#sparse));
        return true;
      },
      onReadEntry: (entry) => {
        this.#entry = entry;
        const sparse = this.#sparse;
        this.#sparse = null;
        writeEntry(entry, sparse, tree);
      },
    })
      .on('error', (error: unknown) => {
        throw error;
      })
      .on('meta', (text: string) => {
        this.#sparse = sparseOf(text) ?? this.#sparse;
      })
      .on('eof', () => {
        this.#state = 'ended';
      })
      .on('ignoredEntry', (entry: ReadEntry) => {
        // Complete versions only: what node-tar passes over in silence (GNU's own sparse files,
        // kinds it does not know) is missing afterwards.
        throw unknownKind(entry);
      });
  }

  write(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      if (this.#state !== 'reading') {
        this.#checkRest(piece.subarray(at));
        return;
      }
      const length = this.#entry?.blockRemain || BLOCK_BYTES - (this.#offset % BLOCK_BYTES);
      const part = piece.subarray(at, at + length);
      at += part.length;
      this.#offset += part.length;
      this.#parser.write(part);
    }
  }

  end(): void {
    this.#parser.end();
    this.#tree.closeFile();
  }

  /** Zeros fill up a record. Another archive, or half of this one, would be missing in silence. */
  #checkRest(rest: Buffer): void {
    if (this.#state === 'indexed') return;
    const at = rest.findIndex((byte) => byte !== 0);
    if (at < 0) return;
    if (!rest.subarray(at, at + PIXZ_INDEX.length).equals(PIXZ_INDEX))
      throw corrupt('there is data after its end: another archive, perhaps');
    this.#state = 'indexed';
  }
}

const ownText = (text: string): string => Buffer.from(text).toString();

function writeEntry(entry: ReadEntry, sparse: Sparse | null, tree: TreeWriter): void {
  const { linkpath = '' } = entry;
  const name = sparse?.path ?? entry.path;
  switch (TYPES[entry.type]) {
    case 'directory':
      tree.makeDirectory(name);
      break;
    case 'file': {
      // Not setuid, not writable: what it is to be when installed.
      tree.openFile(name, installedMode('file', entry.mode ?? 0o644));
      const holes = sparse && new SparseWriter(sparse, tree);
      entry.on('data', (piece) => (holes ?? tree).write(piece));
      entry.on('end', () => (holes ? holes.end() : tree.closeFile()));
      return;
    }
    case 'hardlink':
      tree.linkFile(name, linkpath);
      break;
    case 'link':
      tree.addLink(name, linkpath);
      break;
    default:
      throw unknownKind(entry);
  }
  entry.resume();
}

function unknownKind({ path: name, type }: ReadEntry): Fault {
  const shown = JSON.stringify(name.slice(0, 100));
  if ((type as string) !== 'SparseFile')
    return refused(`${shown} has a type that can't be unpacked (${type})`);
  return refused(
    `${shown} is stored with holes in GNU's old format (\`tar --sparse\`, which \`tar --format=pax\` or no \`--sparse\` avoids)`,
  );
}

function describe(entry: ReadEntry, sparse: Sparse | null): Entry {
  const type = TYPES[entry.type] ?? 'other';
  const name = sparse?.path ?? entry.path;
  // A size that is no number would count as none, and what follows as the next header.
  if (
    type === 'file' &&
    !(Number.isSafeInteger(entry.header.size) && (entry.header.size ?? -1) >= 0)
  )
    throw corrupt(`the size of ${JSON.stringify(name.slice(0, 100))} is invalid`);
  const sizeBytes = type === 'file' ? (sparse?.sizeBytes ?? entry.size) : 0;
  return { path: name, type, mode: entry.mode ?? 0, sizeBytes, linkTarget: entry.linkpath ?? '' };
}

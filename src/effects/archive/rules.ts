/**
 * What an archive may contain. Pure; every format goes through the same gate, and each rule stands
 * beside its attack.
 */
import path from 'node:path';
import { Fault } from '../../support/fault.ts';

export type Limits = { maxUnpackedBytes: number; maxEntries: number };
export type Entry = {
  path: string;
  type: 'file' | 'directory' | 'link' | 'hardlink' | 'other';
  mode: number;
  sizeBytes: number;
  linkTarget: string;
};

/**
 * Real trees are shallower by an order of magnitude; some file systems and tools break beyond a
 * thousand.
 */
const MAX_DEPTH = 128;
/** NAME_MAX and PATH_MAX of Linux, less the room that our own directories take. */
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 3000;
/**
 * Names and targets of links are kept in memory: so much for each entry that is allowed, and never
 * less than this. Real trees have 60 to 150.
 */
const MAX_NAME_BYTES_AN_ENTRY = 256;
const MIN_NAMES_BYTES = 1024 * 1024;

/** Judges entries in the order in which they come. */
export class Gate {
  readonly #limits: Limits;
  readonly #seen = new Map<string, Entry['type']>();
  #entries = 0;
  #bytes = 0;
  #namesBytes = 0;
  readonly #packedBytes: number;
  readonly #desktopFiles = new Set<string>();

  /** `packedBytes`: the size of the archive. */
  constructor(limits: Limits, packedBytes: number) {
    this.#limits = limits;
    this.#packedBytes = packedBytes;
  }

  get entries(): number {
    return this.#entries;
  }

  /**
   * Entries that macOS adds to archives by itself, by their names: `__MACOSX`, `.DS_Store`, `._x`
   * (an AppleDouble file, if its bytes say so too).
   */
  get desktopFiles(): string[] {
    return [...this.#desktopFiles];
  }

  /** Throws `Fault` `ARCHIVE_REFUSED` or `ARCHIVE_TOO_LARGE`. */
  admit(entry: Entry): void {
    const name = JSON.stringify(entry.path.slice(0, 100));
    this.#entries += 1;
    this.#bytes += entry.sizeBytes;
    // Decompression bomb: by count, and by announced size; what really comes out is counted as
    // well.
    if (this.#entries > this.#limits.maxEntries)
      throw tooLarge(`more than ${this.#limits.maxEntries} entries`, 'UPDATE_MAX_ENTRIES');
    if (this.#bytes > this.#limits.maxUnpackedBytes)
      throw tooLarge(
        `more than ${this.#limits.maxUnpackedBytes} bytes unpacked`,
        'UPDATE_MAX_UNPACKED_BYTES',
      );
    this.#countName(entry.path);
    this.#countName(entry.linkTarget);
    // A file with holes is as dense as zeros.
    checkRatio(this.#bytes, this.#packedBytes);
    // Devices, FIFOs and sockets are no part of an app, and opening one can hang or worse.
    if (entry.type === 'other')
      throw refused(`${name} is neither a file nor a directory nor a link`);
    checkName(entry.path, name);
    // `foo/`, `foo/.`, `.`: a link or file of that name has no place to be made in, which the
    // kernel says as if the disk were at fault.
    if (entry.type !== 'directory' && /(?:^|\/)\.?$/.test(entry.path))
      throw refused(`${name} is a directory's name, and no directory`);
    const key = normalise(entry.path);
    this.#checkUnique(entry, key, name);
    this.#checkParents(key, name);
    if (entry.type === 'link') checkLink(entry, name);
    if (entry.type === 'hardlink') this.#checkHardLink(entry, name);
    this.#seen.set(key, entry.type);
    const desktopFile = /^(?:.*?\/)??(?:__MACOSX(?=\/|$)|(?:\.DS_Store|\._[^/]+)$)/.exec(
      path.posix.normalize(entry.path).replace(/\/+$/, ''),
    )?.[0];
    if (desktopFile !== undefined) this.#desktopFiles.add(desktopFile);
  }

  /**
   * A hundred thousand names of 3,000 bytes would take a gigabyte, here and in all that comes
   * after.
   */
  #countName(name: string): void {
    this.#namesBytes += Buffer.byteLength(name);
    const most = Math.max(MIN_NAMES_BYTES, MAX_NAME_BYTES_AN_ENTRY * this.#limits.maxEntries);
    if (this.#namesBytes > most)
      throw tooLarge(`its names and links have more than ${most} bytes`, 'UPDATE_MAX_ENTRIES');
  }

  /**
   * Duplicates: what was checked and what is run could be two different files, also where a file
   * system folds names.
   */
  #checkUnique(entry: Entry, key: string, name: string): void {
    const before = this.#seen.get(key);
    if (before !== undefined && !(before === 'directory' && entry.type === 'directory'))
      throw refused(
        `${name} is in it twice, or differs from another name only by case or encoding`,
      );
  }

  /** A link, and then a file through it: what lies below something lies below a directory. */
  #checkParents(key: string, name: string): void {
    for (let end = key.indexOf('/'); end > 0; end = key.indexOf('/', end + 1)) {
      const parent = key.slice(0, end);
      const type = this.#seen.get(parent);
      // Named or not, it is a directory from here on: nothing else may take its place.
      if (type === undefined) {
        this.#seen.set(parent, 'directory');
        // Each takes an inode, like one that is named.
        this.#entries += 1;
        this.#countName(parent);
      }
      if (type !== undefined && type !== 'directory')
        throw refused(
          `${name} lies below ${type === 'link' ? 'a link' : 'something that is not a directory'}`,
        );
    }
  }

  /** A hard link is another name of a file that this archive brought, and of nothing else. */
  #checkHardLink(entry: Entry, name: string): void {
    checkName(entry.linkTarget, name);
    const target = this.#seen.get(normalise(entry.linkTarget));
    if (target !== 'file' && target !== 'hardlink')
      throw refused(`${name} is a hard link to something that is not a file of the archive`);
  }
}

function normalise(name: string): string {
  return path.posix.normalize(name).replace(/\/+$/, '').normalize('NFC').toLowerCase();
}

function checkName(name: string, shown: string): void {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  // Archive escape: upwards, absolute, or as Windows writes it.
  if (name.startsWith('/') || parts.includes('..')) throw refused(`${shown} leads out of the tree`);
  if (name.includes('\\') || /^[A-Za-z]:/.test(name)) throw refused(`${shown} is a Windows path`);
  // Control characters and line breaks forge lines in logs and lists; so do those that turn the
  // direction of writing.
  if (/[\p{Cc}\u202A-\u202E\u2066-\u2069]/u.test(name) || name.includes('\uFFFD'))
    throw refused(`${shown} has control characters, or is not UTF-8`);
  if (parts.length > MAX_DEPTH) throw refused(`${shown}… is nested deeper than ${MAX_DEPTH}`);
  if (
    parts.some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES) ||
    Buffer.byteLength(name) > MAX_PATH_BYTES
  )
    throw refused(`${shown}… is too long`);
}

/** The name of a file that is kept as it is: it becomes a path in the tree. */
export function checkBareName(name: string): string {
  const shown = JSON.stringify(name.slice(0, 100));
  checkName(name, shown);
  if (name.includes('/') || name === '.' || name === '')
    throw refused(`${shown} is not a file name`);
  return name;
}

/**
 * Links may lead anywhere inside the tree. What is not plain to see here, the walk of the result
 * looks at.
 */
function checkLink(entry: Entry, name: string): void {
  const target = entry.linkTarget;
  const resolved = path.posix.normalize(path.posix.join(path.posix.dirname(entry.path), target));
  if (
    target === '' ||
    target.startsWith('/') ||
    /^[A-Za-z]:|\\/.test(target) ||
    resolved === '..' ||
    resolved.startsWith('../')
  )
    throw refused(`the link ${name} leads out of the tree`);
  if (/\p{Cc}/u.test(target)) throw refused(`the link ${name} has control characters`);
}

/**
 * Permissions as installed: readable by everybody, writable by nobody, no setuid, setgid or sticky
 * bit.
 */
export function installedMode(type: 'file' | 'directory', mode: number): number {
  if (type === 'directory') return 0o755;
  return (mode & 0o111) !== 0 ? 0o555 : 0o444;
}

/** Deflate reaches 1032 on zeros; apps reach 10. Small archives may be as dense as they like. */
const MAX_RATIO = 250;
const RATIO_MATTERS_ABOVE_BYTES = 64 * 1024 * 1024;

/** Decompression bomb. Throws `Fault` `ARCHIVE_TOO_LARGE`. */
export function checkRatio(bytes: number, packedBytes: number): void {
  if (bytes > RATIO_MATTERS_ABOVE_BYTES && bytes > packedBytes * MAX_RATIO)
    throw tooLarge(
      `it unpacks to more than ${MAX_RATIO} times its size`,
      'nothing: that is a decompression bomb',
    );
}

export function refused(what: string): Fault {
  return new Fault(
    'ARCHIVE_REFUSED',
    `the archive is refused: ${what}. Publish it without that; nothing was installed`,
  );
}

export function tooLarge(what: string, variable: string): Fault {
  return new Fault(
    'ARCHIVE_TOO_LARGE',
    `the archive is refused: ${what}. If that is intended, raise ${variable}`,
  );
}

export function corrupt(what: string, cause?: unknown): Fault {
  return new Fault(
    'ARCHIVE_CORRUPT',
    `the archive can't be read (${what}): it was published damaged, or its format is not .tar (.gz, .zst, .xz, .bz2), .zip, or a program`,
    { cause },
  );
}

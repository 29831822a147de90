/**
 * A directory on a disk: a mount, a stick, a share. Who fills it may be hostile: nothing outside of
 * it is read, and nothing but regular files.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fault, isErrno } from '../../support/fault.ts';
import { unmistakable, withoutSecrets } from '../../support/redact.ts';
import type { Answer } from '../http/http.ts';
import { openLocal, readOpened } from '../local-file.ts';
import { MAX_METADATA_BYTES } from './conditional.ts';
import type { Shelf } from './directory.ts';

export class FileShelf implements Shelf {
  readonly base: string;

  readonly #secrets: () => readonly string[];

  /** `url`: `file:///…`, without a trailing slash. `secrets` are taken out of every text. */
  constructor(url: string, secrets: () => readonly string[]) {
    this.base = new URL(`${url}/`).href;
    this.#secrets = secrets;
  }

  get identity(): string {
    return createHash('sha256').update(this.base).digest('hex').slice(0, 16);
  }

  get #root(): string {
    return fileURLToPath(this.base);
  }

  async readText(name: string): Promise<string | null> {
    const file = path.join(this.#root, name);
    if (!(await isThere(this.#root)))
      throw new Fault(
        'FILE_MISSING',
        `${this.#root} does not exist where the updater runs: mount it there, or correct UPDATE_SOURCE_URL`,
      );
    if (!(await isThere(file))) return null;
    const bytes = await readOpened(
      await this.#open(file),
      MAX_METADATA_BYTES,
      (sizeBytes) =>
        new Fault(
          'ANSWER_TOO_LARGE',
          `${file} has ${sizeBytes} bytes: that is not a list of releases; check UPDATE_SOURCE_URL`,
        ),
    );
    // Who fills the directory may know our token, and name a release after it.
    return withoutSecrets(bytes.toString('utf8'), unmistakable(this.#secrets()));
  }

  /** As a web server answers: `range` is honoured, and the length announced. */
  async fetch(...[{ url, name }, headers, signal]: Parameters<Shelf['fetch']>): Promise<Answer> {
    if (!url.startsWith(this.base))
      throw new Fault(
        'FILE_MISSING',
        `${name} is not in ${this.#root}, and an index on a disk names files beside it only: write it with \`self-update index\``,
      );
    const { handle, sizeBytes } = await this.#open(fileURLToPath(url));
    const range = /^bytes=(\d{1,15})-$/.exec(headers['range'] ?? '')?.[1];
    const start = range === undefined ? 0 : Number(range);
    const isPart = range !== undefined && start < sizeBytes;
    const stream = handle.createReadStream({
      start: isPart ? start : 0,
      // A file that grows meanwhile is read no further than it reached.
      end: Math.max(sizeBytes - 1, 0),
      signal,
    });
    // From here on the reader of the stream sees its errors.
    stream.on('error', () => {});
    if (range !== undefined && !isPart) return { stream, status: 416, headers: {}, url };
    return {
      stream,
      status: isPart ? 206 : 200,
      headers: {
        'content-length': String(sizeBytes - (isPart ? start : 0)),
        ...(isPart ? { 'content-range': `bytes ${start}-${sizeBytes - 1}/${sizeBytes}` } : {}),
      },
      url,
    };
  }

  /** Links are followed inside of the directory only. */
  async #open(file: string): Promise<{ handle: FileHandle; sizeBytes: number }> {
    const opened = await openLocal(file);
    try {
      // What was opened, and not what has this name by now: a link may be exchanged meanwhile.
      const there = await opened.handle.stat();
      const [real, root] = [await realpath(file), await realpath(this.#root)];
      const seen = await stat(real);
      if (!isInside(real, root) || seen.ino !== there.ino || seen.dev !== there.dev)
        throw new Fault(
          'FILE_MISSING',
          `${file} leads out of the directory of UPDATE_SOURCE_URL, which is never followed: place the file itself there`,
        );
      return opened;
    } catch (error) {
      await opened.handle.close();
      throw error;
    }
  }
}

function isInside(file: string, root: string): boolean {
  const relative = path.relative(root, file);
  return relative !== '' && !path.isAbsolute(relative) && relative.split(path.sep)[0] !== '..';
}

function isThere(name: string): Promise<boolean> {
  return stat(name).then(
    () => true,
    (error: unknown) => !isErrno(error, 'ENOENT'),
  );
}

/**
 * A directory with a `releases.json`: on a web server, in a bucket, or on a disk. No API, no quota;
 * what vouches for the bytes is the index's sums, and a signature over all of it where
 * UPDATE_VERIFY names minisign.
 */
import { createHash } from 'node:crypto';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import type { MinisignKey } from '../../support/minisign-key.ts';
import { fieldsOf } from '../../trust/binding.ts';
import { verifyMinisign } from '../../trust/minisign.ts';
import type { ReleaseList } from '../github/release-list.ts';
import type { Answer } from '../http/http.ts';
import { parseAnswer } from './conditional.ts';
import {
  INDEX_NAME,
  indexSchema,
  latestTagOf,
  type ReleasesIndex,
  releasesOf,
  SIGNATURE_NAME,
} from './releases-index.ts';
import type { Source } from './source.ts';

/** Where the directory is: see directory-http.ts and directory-file.ts. Throws `Fault`. */
export type Shelf = {
  /** Ends with a slash. */
  readonly base: string;
  readonly identity: string;
  /** A small text in the directory itself. Null where there is none. */
  readText(name: string, strikes: number, signal: AbortSignal): Promise<string | null>;
  fetch: Source['fetch'];
};

export type DirectoryOptions = {
  shelf: Shelf;
  /** One of them has to have signed the index; null: no signature is asked for. */
  minisignKeys: readonly MinisignKey[] | null;
};

type Listed = { index: ReleasesIndex; releases: PublishedRelease[] };

export class Directory implements Source {
  readonly #options: DirectoryOptions;
  /**
   * Mix-and-match: what is asked in one check, which has a signal of its own, is answered from one
   * reading of the index.
   */
  readonly #readings = new WeakMap<AbortSignal, Promise<Listed>>();
  readonly setting = 'UPDATE_SOURCE_URL';
  readonly quota = null;
  /** A directory has no number of its own, also where GitHub told one before. */
  readonly repositoryId = null;

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  get identity(): string {
    return this.#options.shelf.identity;
  }

  async latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    const { index, releases } = await this.#read(strikes, signal);
    return releases.find(({ tag }) => tag === latestTagOf(index)) ?? null;
  }

  async tagged(
    wanted: string,
    strikes: number,
    signal: AbortSignal,
  ): Promise<PublishedRelease | null> {
    const { releases } = await this.#read(strikes, signal);
    return releases.find(({ tag }) => tag === wanted) ?? null;
  }

  async list(strikes: number, signal: AbortSignal): Promise<ReleaseList> {
    const { releases } = await this.#read(strikes, signal);
    return { releases, isComplete: true };
  }

  fetch(...asked: Parameters<Source['fetch']>): Promise<Answer> {
    return this.#options.shelf.fetch(...asked);
  }

  /** Bundles lie beside the assets, or nowhere. */
  async attestations(): Promise<unknown[]> {
    return [];
  }

  notFound(): Fault {
    return new Fault(
      'NOT_FOUND',
      `${this.#url} lists no release yet: publish one, and write the index with \`self-update index\``,
    );
  }

  get #url(): string {
    return `${this.#options.shelf.base}${INDEX_NAME}`;
  }

  #read(strikes: number, signal: AbortSignal): Promise<Listed> {
    const reading = this.#readings.get(signal) ?? this.#readAnew(strikes, signal);
    this.#readings.set(signal, reading);
    return reading;
  }

  async #readAnew(strikes: number, signal: AbortSignal): Promise<Listed> {
    const { shelf } = this.#options;
    const text = await shelf.readText(INDEX_NAME, strikes, signal);
    if (text === null)
      throw new Fault(
        'NOT_FOUND',
        `${this.#url} does not exist: check UPDATE_SOURCE_URL, and write the index with \`self-update index\``,
      );
    // Before anything is read out of it.
    const indexKey = await this.#signerOf(text, strikes, signal);
    const kind = { kind: 'a list of releases', setting: 'UPDATE_SOURCE_URL' };
    const { value: index } = parseAnswer(text, indexSchema, this.#url, kind);
    return { index, releases: releasesOf(index, shelf.base, indexKey) };
  }

  /** Malicious mirror: without a valid signature nothing of the index counts. */
  async #signerOf(text: string, strikes: number, signal: AbortSignal): Promise<string | null> {
    const { shelf, minisignKeys } = this.#options;
    if (minisignKeys === null) return null;
    const signature = await shelf.readText(SIGNATURE_NAME, strikes, signal);
    if (signature === null)
      throw new Fault(
        'SIGNATURE_MISSING',
        `${this.#url} is not signed, and UPDATE_VERIFY names minisign: sign it with \`minisign -S -m ${INDEX_NAME}\` and publish ${SIGNATURE_NAME} beside it`,
      );
    const blake2b512 = createHash('blake2b512').update(text).digest();
    const { keyId, trustedComment } = verifyMinisign(
      signature,
      { name: INDEX_NAME, blake2b512 },
      minisignKeys,
    );
    const other = fieldsOf(trustedComment).find(
      ({ key, value }) => key === 'file' && value !== INDEX_NAME,
    );
    if (other !== undefined)
      throw new Fault(
        'SIGNATURE_INVALID',
        `the minisign signature of ${INDEX_NAME} is for ${other.value}: sign ${INDEX_NAME} itself`,
      );
    return keyId;
  }
}

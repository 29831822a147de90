/**
 * Manifests, each read once: what a tag means is asked by HEAD, which Docker Hub does not count, and
 * what a digest means never changes.
 */
import { Fault } from '../../support/fault.ts';
import type { Subject } from '../../trust/attestation.ts';
import type { Manifest as Attestable } from '../../trust/judge.ts';
import type { Answer } from '../http/http.ts';
import { type AnswerCache, cachedAs, keyOf, type Said } from './conditional.ts';
import {
  ACCEPTED_TYPES,
  digestOf,
  filesIn,
  isTag,
  type Manifest,
  parseManifest,
  sha256Of,
  type TextAsked,
} from './oci-schema.ts';

type Told = Exclude<Said, { kind: 'missing' }>;

export type ManifestsOptions = {
  cache: AnswerCache;
  /** `https://ghcr.io/v2/owner/app` */
  repositoryUrl: string;
  /** For people: `ghcr.io/owner/app`. */
  where: string;
  /** `owner/app` */
  name: string;
  identity: () => string;
  /** Null for 404. */
  ask: (asked: TextAsked) => Promise<Told | null>;
  head: (
    url: string,
    headers: Record<string, string>,
    strikes: number,
    signal: AbortSignal,
  ) => Promise<Answer>;
};

/** Which of them name what is installed is looked up among these. */
const MAX_REMEMBERED = 10;

export class Manifests {
  readonly #options: ManifestsOptions;
  /**
   * The files of each manifest, of those that were read in this process: also where nothing is kept
   * (`self-update verify`).
   */
  readonly #files = new Map<string, readonly Subject[]>();

  constructor(options: ManifestsOptions) {
    this.#options = options;
  }

  /** Null where there is none. */
  async tagged(tag: string, strikes: number, signal: AbortSignal): Promise<Manifest | null> {
    if (!isTag(tag)) return null;
    const { head, where } = this.#options;
    const answer = await head(this.#urlOf(tag), { accept: ACCEPTED_TYPES }, strikes, signal);
    if (answer.status === 404) return null;
    const said = answer.status === 200 ? answer.headers['docker-content-digest'] : undefined;
    const text =
      typeof said === 'string' && sha256Of(said) !== null
        ? await this.#digested(said, strikes, signal)
        : await this.#untold(tag, strikes, signal);
    if (text === null) return null;
    const manifest = parseManifest(text, `${where}:${tag}`);
    this.#remember(digestOf(text), manifest);
    return manifest;
  }

  /** By its digest. Null where there is none. */
  async manifest(digest: string, signal: AbortSignal): Promise<Manifest | null> {
    const text = await this.#digested(digest, 0, signal);
    return text === null ? null : parseManifest(text, `${this.#options.where}@${digest}`);
  }

  /** Those read last that name the bytes with this SHA-256 (hex), the last one first. */
  naming(sha256: string): Attestable[] {
    const lastFirst = [...this.#files.keys()].toReversed();
    const digests = [...new Set([...lastFirst, ...this.#remembered()])];
    return digests
      .map((digest) => ({
        sha256: sha256Of(digest) ?? '',
        name: this.#options.name,
        files: this.#filesOf(digest),
      }))
      .filter(({ files }) => files.some((file) => file.sha256 === sha256));
  }

  #filesOf(digest: string): readonly Subject[] {
    const text = this.#files.has(digest) ? null : this.#kept(digest);
    return this.#files.get(digest) ?? (text === null ? [] : filesIn(parseManifest(text, digest)));
  }

  async #digested(digest: string, strikes: number, signal: AbortSignal): Promise<string | null> {
    const kept = this.#kept(digest);
    if (kept !== null) return kept;
    const said = await this.#options.ask({
      url: this.#urlOf(digest),
      accept: ACCEPTED_TYPES,
      strikes,
      signal,
    });
    if (said === null) return null;
    this.#assertIs(digest, said.text);
    this.#keep(digest, said.text);
    return said.text;
  }

  /** Of a registry that does not answer HEAD, or names no digest in its answer. */
  async #untold(tag: string, strikes: number, signal: AbortSignal): Promise<string | null> {
    const url = this.#urlOf(tag);
    const said = await this.#options.ask({ url, accept: ACCEPTED_TYPES, strikes, signal });
    if (said === null) return null;
    const digest = said.headers['docker-content-digest'];
    if (typeof digest === 'string' && sha256Of(digest) !== null) this.#assertIs(digest, said.text);
    if (said.kind === 'told') said.keep(said.text);
    this.#keep(digestOf(said.text), said.text);
    return said.text;
  }

  /** Mix-and-match: these bytes are those that the digest names, not others. */
  #assertIs(digest: string, text: string): void {
    const actual = digestOf(text);
    if (actual === digest) return;
    throw new Fault(
      'DIGEST_MISMATCH',
      `${this.#options.where} names the manifest ${digest}, and sent one with ${actual}: it was damaged or exchanged on the way; check for a proxy in between`,
    );
  }

  #urlOf(reference: string): string {
    return `${this.#options.repositoryUrl}/manifests/${reference}`;
  }

  /** Damaged cache: what the disk says is held to the digest as well. */
  #kept(digest: string): string | null {
    const { cache, identity } = this.#options;
    const text = cachedAs(identity(), cache, keyOf(this.#urlOf(digest)))?.body ?? null;
    return text !== null && digestOf(text) === digest ? text : null;
  }

  #keep(digest: string, body: string): void {
    const { cache, identity } = this.#options;
    cache.write(keyOf(this.#urlOf(digest)), { etag: '', body, token: identity() });
  }

  get #rememberedKey(): string {
    return keyOf(`${this.#options.repositoryUrl} manifests`);
  }

  #remembered(): string[] {
    const { cache, identity } = this.#options;
    const text = cachedAs(identity(), cache, this.#rememberedKey)?.body ?? '';
    return text.split(' ').filter((digest) => sha256Of(digest) !== null);
  }

  #remember(digest: string, manifest: Manifest): void {
    const { cache, identity } = this.#options;
    this.#files.delete(digest);
    this.#files.set(digest, filesIn(manifest));
    for (const old of [...this.#files.keys()].slice(0, -MAX_REMEMBERED)) this.#files.delete(old);
    const before = this.#remembered();
    if (before[0] === digest) return;
    const all = [digest, ...before.filter((one) => one !== digest)].slice(0, MAX_REMEMBERED);
    cache.write(this.#rememberedKey, { etag: '', body: all.join(' '), token: identity() });
  }
}

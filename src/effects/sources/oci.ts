/**
 * Files in a container registry (ghcr.io, Docker Hub, one's own), as `oras push` places them: each
 * tag is a release, each layer with a title a file. See the OCI Distribution Specification v1.1.
 * Digests are told by nature. No maintainer marks a release: the newest is the highest version.
 */
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import type { Manifest } from '../../trust/judge.ts';
import { isLimit } from '../github/rate-limit.ts';
import type { ReleaseList } from '../github/release-list.ts';
import { type Answer, type Http, hostOf } from '../http/http.ts';
import { type AnswerCache, askForText, identityOf } from './conditional.ts';
import { RegistryAuth } from './oci-auth.ts';
import { Manifests } from './oci-manifests.ts';
import { bundlesOf } from './oci-referrers.ts';
import { releaseOf, type TextAsked } from './oci-schema.ts';
import { readTags } from './oci-tags.ts';
import { limitOf, refusalOf } from './refusal.ts';
import type { Source } from './source.ts';

export type OciOptions = {
  /** Whose token is the operator's. */
  http: Http;
  /** Of the registry, without a trailing slash. */
  origin: string;
  /** Of the repository in it: `owner/app`. */
  name: string;
  /** Hosts that the operator named, beside the registry's own. */
  moreHosts: readonly string[];
  cache: AnswerCache;
  now: () => number;
  /** Taken out of every answer. */
  secrets: () => readonly string[];
  /** Told what was passed over. */
  debug: (message: string) => void;
  /** The tags that the rules allow, the newest version first. */
  newestFirst: (tags: readonly string[]) => string[];
  /** Once this one is there, no older release could be chosen. */
  suffices: (release: PublishedRelease) => boolean;
};

/** As many as GitHub's feed has. Each costs a request. */
const MAX_LOOKED_AT = 10;
/** Of tags that the rules do not allow: enough to say which setting would follow them. */
const MAX_EXPLAINED = 50;
/** A walk through all tags; the check's own bound is as high. */
const MAX_REQUESTS = 30;
const ORIGIN = { isNo: 'a response of a registry', remedy: 'check UPDATE_SOURCE_URL' };

/** What one check has learnt: mix-and-match is not possible within it, and nothing is asked twice. */
type Reading = {
  tags: Promise<string[] | null> | null;
  releases: Map<string, Promise<PublishedRelease | null>>;
};

export class Oci implements Source {
  readonly #options: OciOptions;
  readonly #auth: RegistryAuth;
  readonly #http: Http;
  readonly #manifests: Manifests;
  readonly #readings = new WeakMap<AbortSignal, Reading>();
  readonly setting = 'UPDATE_SOURCE_URL';
  readonly quota = null;
  /** A registry has none, also where GitHub told one before. */
  readonly repositoryId = null;

  constructor(options: OciOptions) {
    this.#options = options;
    this.#auth = new RegistryAuth(options);
    this.#http = this.#auth.createHttp();
    this.#manifests = new Manifests({
      cache: options.cache,
      repositoryUrl: this.#repositoryUrl,
      where: this.#where,
      name: options.name,
      identity: () => this.identity,
      ask: (asked) => this.#ask(asked),
      head: (url, headers, strikes, signal) => this.#head(url, headers, strikes, signal),
    });
  }

  get identity(): string {
    return identityOf(this.#options.http.options.token(), this.#repositoryUrl);
  }

  get #repositoryUrl(): string {
    return `${this.#options.origin}/v2/${this.#options.name}`;
  }

  /** For people: `ghcr.io/owner/app`. */
  get #where(): string {
    return `${hostOf(this.#options.origin)}/${this.#options.name}`;
  }

  async latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    const tags = (await this.#tags(strikes, signal, MAX_REQUESTS)) ?? [];
    const [newest] = this.#options.newestFirst(tags);
    return newest === undefined ? null : this.#release(newest, strikes, signal);
  }

  tagged(tag: string, strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#release(tag, strikes, signal);
  }

  async list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList> {
    const { newestFirst, suffices, debug } = this.#options;
    const tags = await this.#tags(strikes, signal, maxRequests);
    if (tags === null) throw this.notFound();
    const allowed = newestFirst(tags);
    const releases: PublishedRelease[] = [];
    // Each may cost two requests.
    const most = Math.max(1, Math.min(MAX_LOOKED_AT, Math.floor((maxRequests - 1) / 2)));
    for (const tag of allowed.slice(0, most)) {
      try {
        const release = await this.#release(tag, strikes, signal);
        if (release === null) throw unreadable(`${this.#where}:${tag}`);
        releases.push(release);
        if (suffices(release)) break;
      } catch (error) {
        // The newest is what was asked for; what is wrong with an older one stops nobody.
        if (releases.length === 0 || !(error instanceof Fault) || !isOfRelease(error)) throw error;
        debug(`${error.message} [${error.code}]`);
      }
    }
    const others = allowed.length > 0 ? [] : tags.slice(-MAX_EXPLAINED).map(unread);
    return { releases: [...releases, ...others], isComplete: true };
  }

  notFound(): Fault {
    const remedy = this.#auth.hasCredential
      ? 'check that UPDATE_GH_TOKEN may read it'
      : 'if it is private, set UPDATE_GH_TOKEN';
    return new Fault(
      'NOT_FOUND',
      `${this.#where} has no tag, or does not exist: check UPDATE_SOURCE_URL, and push a release with \`oras push\`; ${remedy}`,
    );
  }

  /** Bundles that refer to these bytes, or to the manifest that names them. */
  attestations(sha256: string, signal: AbortSignal): Promise<unknown[]> {
    return bundlesOf(sha256, signal, {
      manifests: this.#manifests,
      repositoryUrl: this.#repositoryUrl,
      ask: (asked) => this.#ask(asked),
      fetch: (...asked) => this.fetch(...asked),
    });
  }

  manifestsNaming(sha256: string): Manifest[] {
    return this.#manifests.naming(sha256);
  }

  async fetch(
    ...[asset, headers, signal, { decompress }]: Parameters<Source['fetch']>
  ): Promise<Answer> {
    const answer = await this.#authorized(
      signal,
      () => this.#http.get(asset.url, headers, signal, { decompress, sameHost: false }),
      (it) => it,
    );
    if (!isLimit(answer.status, answer.headers, '')) return answer;
    answer.stream.destroy();
    throw limitOf(answer, { nowMs: this.#options.now(), strikes: 0 });
  }

  #reading(signal: AbortSignal): Reading {
    const reading = this.#readings.get(signal) ?? { tags: null, releases: new Map() };
    this.#readings.set(signal, reading);
    return reading;
  }

  #tags(strikes: number, signal: AbortSignal, maxRequests: number): Promise<string[] | null> {
    const reading = this.#reading(signal);
    reading.tags ??= readTags({
      url: `${this.#repositoryUrl}/tags/list`,
      where: this.#where,
      maxRequests,
      ask: (url) => this.#ask({ url, accept: 'application/json', strikes, signal }),
    });
    return reading.tags;
  }

  #release(tag: string, strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    const { releases } = this.#reading(signal);
    const release = releases.get(tag) ?? this.#readRelease(tag, strikes, signal);
    releases.set(tag, release);
    return release;
  }

  async #readRelease(tag: string, strikes: number, signal: AbortSignal) {
    const manifest = await this.#manifests.tagged(tag, strikes, signal);
    if (manifest === null) return null;
    return releaseOf(manifest, {
      tag,
      where: `${this.#where}:${tag}`,
      blobs: `${this.#repositoryUrl}/blobs/`,
    });
  }

  /** Null for 404. */
  async #ask({ url, accept, strikes, signal }: TextAsked) {
    const { cache, secrets } = this.#options;
    const ask = () =>
      askForText(url, { accept }, signal, {
        http: this.#http,
        cache,
        identity: this.identity,
        secrets: [...secrets(), ...this.#auth.secrets],
        origin: ORIGIN,
      });
    const said = await this.#authorized(signal, ask, (it) =>
      it.kind === 'told' ? it.answer : null,
    );
    if (said.kind === 'missing') return null;
    if (said.kind === 'told' && said.answer.status !== 200)
      throw this.#refusal(said.answer, said.text, strikes);
    return said;
  }

  async #head(
    url: string,
    headers: Record<string, string>,
    strikes: number,
    signal: AbortSignal,
  ): Promise<Answer> {
    const options = { decompress: false, sameHost: true, method: 'HEAD' } as const;
    const answer = await this.#authorized(
      signal,
      () => this.#http.get(url, headers, signal, options),
      (it) => it,
    );
    answer.stream.destroy();
    if (answer.status === 401 || isLimit(answer.status, answer.headers, ''))
      throw this.#refusal(answer, '', strikes);
    return answer;
  }

  /** Asks once more where the registry names a way to be authorized. */
  async #authorized<T>(
    signal: AbortSignal,
    ask: () => Promise<T>,
    answerOf: (asked: T) => Answer | null,
  ): Promise<T> {
    await this.#auth.prepare(signal);
    const asked = await ask();
    const answer = answerOf(asked);
    if (answer?.status !== 401) return asked;
    // Whoever is redirected to has no say in who gets a token.
    if (new URL(answer.url).origin !== this.#options.origin) return asked;
    if (!(await this.#auth.answerChallenge(answer, signal))) return asked;
    answer.stream.destroy();
    return ask();
  }

  #refusal(answer: Answer, text: string, strikes: number): Fault {
    return refusalOf(answer, text, {
      nowMs: this.#options.now(),
      strikes,
      hasToken: this.#auth.hasCredential,
      what: 'the repository',
    });
  }
}

/** A fault of one release, and not of the registry or the way to it. */
function isOfRelease({ code }: Fault): boolean {
  return OF_RELEASE.has(code);
}
const OF_RELEASE = new Set([
  'ANSWER_MALFORMED',
  'IMAGE_NOT_FILES',
  'DIGEST_UNSUPPORTED',
  'MANIFEST_MISSING',
]);

/** Passed over in silence, it would make older ones look like the newest. */
function unreadable(where: string): Fault {
  return new Fault(
    'MANIFEST_MISSING',
    `${where} is listed, and the registry has nothing to show for it (404): its manifest was deleted, or is of a kind of its own. Delete the tag, or push it again with \`oras push\``,
  );
}

/** The rules don't allow it: which setting would follow it can be said without its files. */
function unread(tag: string): PublishedRelease {
  return { tag, draft: false, prerelease: false, publishedAt: null, urgent: false, assets: [] };
}

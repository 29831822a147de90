/**
 * GitHub without its API: the redirect of `/releases/latest` names the newest stable release, the
 * feed lists the ten newest, and a file of sums beside the assets names them. None of this counts
 * for the quota. The API is asked about a release that is news and has no such file.
 */
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { readStream } from '../../support/bounded.ts';
import { Fault } from '../../support/fault.ts';
import { unmistakable, withoutSecrets } from '../../support/redact.ts';
import { namedInSums, sumsFor, sumsText } from '../../trust/sums.ts';
import { type Feed, readFeed } from '../github/atom.ts';
import { isLimit } from '../github/rate-limit.ts';
import { proxyAuthFault } from '../github/refusal.ts';
import type { ReleaseList } from '../github/release-list.ts';
import { type Answer, type Http, hostOf, lateFault, networkFault } from '../http/http.ts';
import { type AnswerCache, askForText, cachedAs, keyOf } from './conditional.ts';
import { limitOf } from './refusal.ts';
import { askForSize } from './size.ts';
import { RateLimited, type Source } from './source.ts';

export type GitHubWebOptions = {
  http: Http;
  /** Without a trailing slash: `https://github.com`. */
  webUrl: string;
  /** `owner/name` */
  repository: string;
  cache: AnswerCache;
  now: () => number;
  /** Taken out of every answer. */
  secrets: () => readonly string[];
  /** Asked about releases that the web says too little of. */
  api: Source;
  /** Whether a release that is known by its sums alone can be installed, by all rules. */
  suffices: (release: PublishedRelease) => boolean;
  /** A tag that is no version may move, and what was said of it is soon old. */
  isVersion: (tag: string) => boolean;
};

/** Names of files of sums that are asked for; `checksums.txt` is goreleaser's and most people's. */
const SUMS_NAMES = ['checksums.txt', 'SHA256SUMS'];
const MAX_SUMS_BYTES = 256 * 1024;
const WITHIN_MS = 60_000;
/** Each name is looked for in each line. The API is asked about releases of more. */
const MAX_NAMES = 200;
/** Endless work: what a text of mere line breaks, or of long lines, takes by as many names. */
const MAX_LINES = 1000;
const MAX_COMPARED = 8 * 1024 * 1024;
const MAX_RENAMES = 3;
/**
 * Assets are uploaded after a release appears: one that was read this soon is read again. Later it
 * is known for good.
 */
const UNSETTLED_FOR_MS = 60 * 60 * 1000;
const ASKED_AGAIN_AFTER_MS = 15 * 60 * 1000;
/** Sums cost the API nothing, and files may be replaced under their tag. */
const SUMS_HOLD_FOR_MS = 6 * 60 * 60 * 1000;

/** Our own note of an earlier answer. */
const keptSchema = z.object({
  at: z.number(),
  isBySums: z.boolean(),
  release: z.custom<PublishedRelease>(),
});

export class GitHubWeb implements Source {
  readonly #options: GitHubWebOptions;
  /** What `latest` named last: stable by its maintainers' word. */
  #latest: string | null = null;
  /** Its pages are not counted. */
  readonly quota = null;

  constructor(options: GitHubWebOptions) {
    this.#options = options;
  }

  get identity(): string {
    return this.#options.api.identity;
  }

  async latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    this.#latest = await this.#latestTag(strikes, signal);
    return this.#latest === null ? null : this.tagged(this.#latest, strikes, signal);
  }

  tagged(tag: string, strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#about(tag, true, strikes, signal);
  }

  /**
   * Sums don't tell a prerelease. Of the newest release it is known, and of one that was asked for
   * by its tag it does not matter.
   */
  async #about(
    tag: string,
    isAskedFor: boolean,
    strikes: number,
    signal: AbortSignal,
  ): Promise<PublishedRelease | null> {
    const isStable = tag === this.#latest;
    const { api, cache, now, isVersion } = this.#options;
    const kept = this.#kept(tag);
    if (kept !== null) return kept;
    const bySums = isAskedFor || isStable ? await this.#bySums(tag, strikes, signal) : null;
    const release = bySums ?? (await api.tagged(tag, strikes, signal));
    if (release !== null && isVersion(tag) && (isStable || bySums === null)) {
      const body = JSON.stringify({ at: now(), isBySums: bySums !== null, release });
      cache.write(this.#keyOf(tag), { etag: '', body, token: this.identity });
    }
    return release;
  }

  async list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList> {
    this.#latest = await this.#latestTag(strikes, signal);
    const feed = await this.#feed(strikes, signal);
    if (feed.entries.length === 0 && this.#latest === null) throw this.notFound();
    const releases: PublishedRelease[] = [];
    const tags = new Set(feed.entries.map(({ tag }) => tag).concat(this.#latest ?? []));
    let asked = 0;
    for (const tag of tags) {
      try {
        const kept = this.#kept(tag);
        if (kept === null && asked++ >= maxRequests) continue;
        const release = kept ?? (await this.#about(tag, false, strikes, signal));
        if (release !== null) releases.push(release);
      } catch (error) {
        // What is known by then may do; the others are asked for when the limit has ended.
        if (!(error instanceof RateLimited) || releases.length === 0) throw error;
        return { releases, isComplete: false };
      }
    }
    return { releases, isComplete: false };
  }

  notFound(): Fault {
    return new Fault(
      'NOT_FOUND',
      `${this.#options.repository} has no release, does not exist, or is not public: check GH_USER and GH_REPO; a private repository needs UPDATE_SOURCE=github and UPDATE_GH_TOKEN`,
    );
  }

  async repositoryId(signal: AbortSignal): Promise<number | null> {
    return (await this.#feed(0, signal)).repositoryId;
  }

  attestations(sha256: string, signal: AbortSignal): Promise<unknown[]> {
    return this.#options.api.attestations(sha256, signal);
  }

  async fetch(
    ...[asset, headers, signal, { decompress }]: Parameters<Source['fetch']>
  ): Promise<Answer> {
    const { http, now } = this.#options;
    const answer = await http.get(asset.browserUrl, headers, signal, {
      decompress,
      sameHost: false,
    });
    if (!isLimit(answer.status, answer.headers, '')) return answer;
    answer.stream.destroy();
    throw limitOf(answer, { nowMs: now(), strikes: 0 });
  }

  sizeOf(...[asset, signal]: Parameters<Required<Source>['sizeOf']>): Promise<number> {
    const { cache, now } = this.#options;
    return askForSize(asset, signal, { fetch: this.fetch.bind(this), cache, now });
  }

  #url(page: string): string {
    return `${this.#options.webUrl}/${this.#options.repository}${page}`;
  }

  #keyOf(tag: string): string {
    return keyOf(`${this.#url('/releases/tag/')}${tag}`);
  }

  /** What was said of a release, as long as it holds. */
  #kept(tag: string): PublishedRelease | null {
    const { cache, now, isVersion, suffices } = this.#options;
    const kept = isVersion(tag) ? cachedAs(this.identity, cache, this.#keyOf(tag)) : null;
    if (kept === null) return null;
    const note = keptSchema.safeParse(JSON.parse(kept.body)).data;
    if (note === undefined || !isSettled(note, now())) return null;
    // The operator may ask for more by now: signatures, or another file.
    return note.isBySums && !suffices(note.release) ? null : note.release;
  }

  /** Null where nothing stable was released. */
  async #latestTag(strikes: number, signal: AbortSignal): Promise<string | null> {
    const page = '/releases/latest';
    let url = this.#url(page);
    for (let renames = 0; renames <= MAX_RENAMES; renames++) {
      const answer = await this.#head(url, signal);
      const { status, headers } = answer;
      const next = URL.canParse(headers.location ?? '', url)
        ? new URL(headers.location ?? '', url)
        : null;
      if (status === 404) throw this.notFound();
      if (status < 300 || status > 399 || next === null) throw this.#refusal(answer, strikes);
      // Malicious redirect: the name of a release is taken from GitHub's own pages only.
      if (next.origin !== new URL(this.#options.webUrl).origin)
        throw new Fault(
          'REDIRECT_REFUSED',
          `${hostOf(url)} redirected to ${next.host}, where GitHub's releases are not named: a captive portal or proxy, or a wrong UPDATE_SOURCE_URL`,
        );
      const tag = /^\/[^/]+\/[^/]+\/releases\/tag\/(.{1,1000})$/.exec(next.pathname)?.[1];
      if (tag !== undefined) return this.#printable(tag, answer);
      if (/\/releases\/?$/.test(next.pathname)) return null;
      // A repository that was renamed.
      if (!next.pathname.endsWith(page)) throw this.#refusal(answer, strikes);
      url = next.href;
    }
    throw new Fault(
      'REDIRECT_REFUSED',
      `${hostOf(url)} redirected more than ${MAX_RENAMES} times: probably a loop at the server or a proxy`,
    );
  }

  /** Names come from outside and end up in paths, logs and terminals. */
  #printable(encoded: string, answer: Answer): string {
    let tag = '';
    try {
      tag = decodeURIComponent(encoded);
    } catch {
      // Not a name that GitHub wrote.
    }
    if (!/^[^\p{C}]{1,255}$/u.test(tag)) throw this.#refusal(answer, 0);
    return this.#withoutSecrets(tag);
  }

  async #head(url: string, signal: AbortSignal): Promise<Answer> {
    const answer = await this.#options.http.get(url, { accept: 'text/html' }, signal, {
      decompress: true,
      sameHost: true,
      follow: false,
    });
    answer.stream.destroy();
    return answer;
  }

  async #feed(strikes: number, signal: AbortSignal): Promise<Feed> {
    const url = this.#url('/releases.atom');
    const { http, cache } = this.#options;
    const said = await askForText(url, { accept: 'application/atom+xml' }, signal, {
      http,
      cache,
      identity: this.identity,
      secrets: this.#options.secrets(),
      origin: { isNo: 'a feed of releases', remedy: 'check UPDATE_SOURCE_URL' },
    });
    if (said.kind === 'missing') throw this.notFound();
    if (said.kind === 'told' && said.answer.status !== 200)
      throw this.#refusal(said.answer, strikes);
    const feed = readFeed(said.text);
    if (feed === null)
      throw new Fault(
        'ANSWER_MALFORMED',
        `${hostOf(url)} sent something that is not a feed of releases: a captive portal or proxy, or a wrong UPDATE_SOURCE_URL`,
      );
    if (said.kind === 'told') said.keep(said.text);
    return feed;
  }

  /**
   * A release as its file of sums names it; null where there is none, or where it says too little
   * for this platform and these rules.
   */
  async #bySums(
    tag: string,
    strikes: number,
    signal: AbortSignal,
  ): Promise<PublishedRelease | null> {
    for (const sums of SUMS_NAMES) {
      const answer = await this.fetch(
        this.#asset(tag, sums),
        { accept: 'application/octet-stream' },
        signal,
        { decompress: true },
      );
      if (answer.status !== 200) {
        answer.stream.destroy();
        if (answer.status === 404) continue;
        return null;
      }
      const text = this.#withoutSecrets(sumsText(await readSums(answer)));
      const names = [...new Set(namedInSums(text))].filter((name) => name !== sums);
      if (names.length > MAX_NAMES || names.length * text.length > MAX_COMPARED) return null;
      if (text.split(/\r\n|\n|\r/, MAX_LINES + 1).length > MAX_LINES) return null;
      const digests = new Map(names.map((name) => [name, onlySum(text, name)]));
      // Without a digest nothing tells its bytes from other ones. The API has a number for them.
      if ([...digests.values()].includes(null)) return null;
      const { entries } = await this.#feed(strikes, signal);
      const release: PublishedRelease = {
        tag,
        draft: false,
        prerelease: false,
        publishedAt: entries.find((entry) => entry.tag === tag)?.updatedAt ?? null,
        urgent: false,
        assets: [
          this.#asset(tag, sums),
          ...names.map((name) => ({
            ...this.#asset(tag, name),
            digest: digests.get(name) ?? null,
          })),
        ],
      };
      return this.#options.suffices(release) ? release : null;
    }
    return null;
  }

  /** Its size is asked for once it is chosen. */
  #asset(tag: string, name: string): PublishedRelease['assets'][number] {
    const url = this.#url(
      `/releases/download/${encodeURIComponent(tag)}/${encodeURIComponent(name)}`,
    );
    return { id: 0, name, url, browserUrl: url, sizeBytes: 0, digest: null, uploaded: true };
  }

  /** A server may say our token back to us, in a name that would then stand everywhere. */
  #withoutSecrets(text: string): string {
    return withoutSecrets(text, unmistakable(this.#options.secrets()));
  }

  #refusal(answer: Answer, strikes: number): Fault {
    const { status, headers, url } = answer;
    const host = hostOf(url);
    if (isLimit(status, headers, ''))
      return limitOf(answer, { nowMs: this.#options.now(), strikes });
    if (status === 407) return proxyAuthFault(host);
    return status >= 500
      ? new Fault('SERVER_FAILED', `${host} answered ${status}: it will be asked again`)
      : new Fault(
          'ANSWER_UNEXPECTED',
          `${host} answered ${status} where GitHub names its newest release: check UPDATE_SOURCE_URL, or set UPDATE_SOURCE=github`,
        );
  }
}

function isSettled(
  { at, isBySums, release: { publishedAt } }: z.infer<typeof keptSchema>,
  nowMs: number,
): boolean {
  if (isBySums && Math.abs(nowMs - at) >= SUMS_HOLD_FOR_MS) return false;
  return (
    publishedAt === null ||
    at - Date.parse(publishedAt) >= UNSETTLED_FOR_MS ||
    Math.abs(nowMs - at) < ASKED_AGAIN_AFTER_MS
  );
}

/** Two sums are a contradiction. */
function onlySum(text: string, name: string): string | null {
  const [sum, ...others] = sumsFor(text, name);
  return others.length > 0 ? null : (sum ?? null);
}

async function readSums(answer: Answer): Promise<Buffer> {
  const tooLarge = () =>
    new Fault(
      'ANSWER_TOO_LARGE',
      `${hostOf(answer.url)} sent more than ${MAX_SUMS_BYTES} bytes: that is no file of sums`,
    );
  const tooLate = () => lateFault(answer.url, WITHIN_MS);
  const bounds = { maxBytes: MAX_SUMS_BYTES, withinMs: WITHIN_MS, tooLarge, tooLate };
  try {
    return await readStream(answer.stream, bounds);
  } catch (error) {
    throw networkFault(error, answer.url);
  }
}

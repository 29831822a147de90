/**
 * Forgejo, and Gitea, whose API it shares: Codeberg, and many a server of one's own. See
 * https://codeberg.org/api/swagger. It tells no digests: sums or signatures among the assets vouch
 * for the bytes.
 */
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import type { Answer, Http } from '../github/http.ts';
import { isLimit } from '../github/rate-limit.ts';
import type { ReleaseList } from '../github/release-list.ts';
import { address, fileName, isUrgentNote, printable } from '../github/schema.ts';
import { type AnswerCache, askForText, identityOf, parseAnswer } from './conditional.ts';
import { limitOf, refusalOf } from './refusal.ts';
import { askForSize } from './size.ts';
import type { Source } from './source.ts';

export type ForgejoOptions = {
  http: Http;
  /** The forge, without a trailing slash: `https://codeberg.org`. */
  url: string;
  /** `owner/name` */
  repository: string;
  cache: AnswerCache;
  now: () => number;
  /** Taken out of every answer. */
  secrets: () => readonly string[];
  /** Told what was passed over. */
  debug: (message: string) => void;
};

/** What a server sends at most, unless its owner says otherwise; smaller ones are told by a page. */
const PAGE_SIZE = 50;

const release = z
  .object({
    tag_name: printable.min(1),
    draft: z.boolean(),
    prerelease: z.boolean(),
    published_at: z.iso.datetime({ offset: true }).max(64).nullish(),
    body: z.string().nullish(),
    assets: z
      .array(
        z.object({
          id: z.number().int().nonnegative(),
          name: fileName,
          size: z.number().int().nonnegative(),
          browser_download_url: address,
        }),
      )
      .max(1000)
      .nullish(),
  })
  .transform(
    (parsed): PublishedRelease => ({
      tag: parsed.tag_name,
      draft: parsed.draft,
      prerelease: parsed.prerelease,
      publishedAt: parsed.published_at ?? null,
      urgent: isUrgentNote(parsed.body),
      assets: (parsed.assets ?? []).map(({ id, name, size, browser_download_url: url }) => ({
        id,
        name,
        url,
        browserUrl: url,
        sizeBytes: size,
        digest: null,
        uploaded: true,
      })),
    }),
  );
const page = z.array(z.unknown()).max(1000);
const KIND = { kind: 'a release', setting: 'UPDATE_SOURCE_URL' };

export class Forgejo implements Source {
  readonly #options: ForgejoOptions;
  readonly setting = 'UPDATE_SOURCE_URL';
  readonly quota = null;
  /** Numbers of one forge say nothing about another's, and configuration may move an app here. */
  readonly repositoryId = null;

  constructor(options: ForgejoOptions) {
    this.#options = options;
  }

  get identity(): string {
    const { http, url } = this.#options;
    return identityOf(http.options.token(), url);
  }

  latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#read('/releases/latest', release, strikes, signal);
  }

  tagged(tag: string, strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#read(`/releases/tags/${encodeURIComponent(tag)}`, release, strikes, signal);
  }

  async list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList> {
    const releases: PublishedRelease[] = [];
    let broken: string | null = null;
    for (let number = 1; number <= maxRequests; number++) {
      const resource = `/releases?limit=${PAGE_SIZE}&page=${number}`;
      const items = await this.#read(resource, page, strikes, signal);
      if (items === null) throw this.notFound();
      for (const item of items) {
        const parsed = release.safeParse(item);
        if (parsed.success) releases.push(parsed.data);
        else
          broken = `${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message}`;
      }
      // A page may be smaller than was asked for, by the server's own setting: only none is the end.
      if (items.length === 0) return this.#listed(releases, true, broken);
    }
    return this.#listed(releases, false, broken);
  }

  /** One release that does not fit is passed over; where none fits, it was no Forgejo. */
  #listed(releases: PublishedRelease[], isComplete: boolean, broken: string | null): ReleaseList {
    if (broken !== null && releases.length === 0)
      throw new Fault(
        'ANSWER_MALFORMED',
        `the list of releases contains no release (${broken}): check UPDATE_SOURCE_URL`,
      );
    if (broken !== null) this.#options.debug(`releases that can't be read are skipped (${broken})`);
    return { releases, isComplete };
  }

  notFound(): Fault {
    const remedy =
      this.#options.http.options.token() === null
        ? 'if it is private, set UPDATE_GH_TOKEN'
        : 'check that the token may read it (read:repository)';
    return new Fault(
      'NOT_FOUND',
      `${this.#options.repository} has no release at ${this.#options.url}, or does not exist there: check GH_USER, GH_REPO and UPDATE_SOURCE_URL; ${remedy}`,
    );
  }

  /** It keeps none. */
  async attestations(): Promise<unknown[]> {
    return [];
  }

  async fetch(
    ...[asset, headers, signal, { decompress }]: Parameters<Source['fetch']>
  ): Promise<Answer> {
    const { http, now } = this.#options;
    const answer = await http.get(asset.url, headers, signal, { decompress, sameHost: false });
    if (!isLimit(answer.status, answer.headers, '')) return answer;
    answer.stream.destroy();
    throw limitOf(answer, { nowMs: now(), strikes: 0 });
  }

  /** Of an asset that is an address elsewhere (`external`), which the forge itself does not know. */
  sizeOf(...[asset, signal]: Parameters<Required<Source>['sizeOf']>): Promise<number> {
    const { cache, now } = this.#options;
    return askForSize(asset, signal, { fetch: this.fetch.bind(this), cache, now });
  }

  /** Null for 404. */
  async #read<T>(
    resource: string,
    schema: z.ZodType<T>,
    strikes: number,
    signal: AbortSignal,
  ): Promise<T | null> {
    const { http, cache, secrets, repository, now } = this.#options;
    const url = `${this.#options.url}/api/v1/repos/${repository}${resource}`;
    const said = await askForText(url, { accept: 'application/json' }, signal, {
      http,
      cache,
      identity: this.identity,
      secrets: secrets(),
      origin: { isNo: 'a response of a Forgejo', remedy: 'check UPDATE_SOURCE_URL' },
    });
    if (said.kind === 'missing') return null;
    if (said.kind === 'told' && said.answer.status !== 200)
      throw refusalOf(said.answer, said.text, {
        nowMs: now(),
        strikes,
        hasToken: http.options.token() !== null,
        what: 'the repository',
      });
    const { value } = parseAnswer(said.text, schema, url, KIND);
    if (said.kind === 'told') said.keep(said.text);
    return value;
  }
}

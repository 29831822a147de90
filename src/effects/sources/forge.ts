/**
 * What the clients of forges share: one server of the operator's choice, answers in JSON, assets by
 * their addresses, and neither digests, attestations nor numbers that would mean anything elsewhere.
 */
import type * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import type { Fault } from '../../support/fault.ts';
import { isLimit } from '../github/rate-limit.ts';
import type { ReleaseList } from '../github/release-list.ts';
import type { Answer, Http } from '../http/http.ts';
import { type AnswerCache, askForText, identityOf, parseAnswer } from './conditional.ts';
import { limitOf, refusalOf } from './refusal.ts';
import { askForSize } from './size.ts';
import type { Source } from './source.ts';

export type ForgeOptions = {
  http: Http;
  /** The server, without a trailing slash: `https://codeberg.org`. */
  url: string;
  /** `owner/name`; of GitLab also with subgroups. */
  repository: string;
  cache: AnswerCache;
  now: () => number;
  /** Taken out of every answer. */
  secrets: () => readonly string[];
  /** Told what was passed over. */
  debug: (message: string) => void;
};

/** `json`: as it was sent. `keep`: for the next time, once the answer proved to be one. */
export type ForgeAnswer<T> = {
  value: T;
  json: unknown;
  headers: Answer['headers'];
  keep: (body: string) => void;
};

const KIND = { kind: 'a release', setting: 'UPDATE_SOURCE_URL' };

export abstract class Forge implements Source {
  readonly setting = 'UPDATE_SOURCE_URL';
  readonly quota = null;
  /** Numbers of one forge say nothing about another's, and configuration may move an app here. */
  readonly repositoryId = null;
  /** Of the API: `https://codeberg.org/api/v1/repos/owner/name`. */
  protected abstract readonly api: string;
  /** For errors: `a Forgejo`. */
  protected abstract readonly kind: string;
  protected readonly options: ForgeOptions;

  constructor(options: ForgeOptions) {
    this.options = options;
  }

  abstract latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null>;
  abstract tagged(
    tag: string,
    strikes: number,
    signal: AbortSignal,
  ): Promise<PublishedRelease | null>;
  abstract list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList>;
  abstract notFound(): Fault;

  get identity(): string {
    const { http, url } = this.options;
    return identityOf(http.options.token(), url);
  }

  /** It keeps none. */
  async attestations(): Promise<unknown[]> {
    return [];
  }

  async fetch(
    ...[asset, headers, signal, { decompress }]: Parameters<Source['fetch']>
  ): Promise<Answer> {
    const { http, now } = this.options;
    const answer = await http.get(asset.url, headers, signal, { decompress, sameHost: false });
    if (!isLimit(answer.status, answer.headers, '')) return answer;
    answer.stream.destroy();
    throw limitOf(answer, { nowMs: now(), strikes: 0 });
  }

  /** Of an asset that is an address elsewhere, which the forge itself does not know. */
  sizeOf(...[asset, signal]: Parameters<Required<Source>['sizeOf']>): Promise<number> {
    const { cache, now } = this.options;
    return askForSize(asset, signal, { fetch: this.fetch.bind(this), cache, now });
  }

  /** Null for 404. Throws `Fault`. */
  protected async read<T>(
    resource: string,
    schema: z.ZodType<T>,
    strikes: number,
    signal: AbortSignal,
  ): Promise<ForgeAnswer<T> | null> {
    const { http, cache, secrets, now } = this.options;
    const url = `${this.api}${resource}`;
    const said = await askForText(url, { accept: 'application/json' }, signal, {
      http,
      cache,
      identity: this.identity,
      secrets: secrets(),
      origin: { isNo: `a response of ${this.kind}`, remedy: 'check UPDATE_SOURCE_URL' },
    });
    if (said.kind === 'missing') return null;
    if (said.kind === 'told' && said.answer.status !== 200)
      throw refusalOf(said.answer, said.text, {
        nowMs: now(),
        strikes,
        hasToken: http.options.token() !== null,
        what: 'the repository',
      });
    const { value, json } = parseAnswer(said.text, schema, url, KIND);
    const keep = (body: string) => (said.kind === 'told' ? said.keep(body) : undefined);
    return { value, json, headers: said.headers, keep };
  }
}

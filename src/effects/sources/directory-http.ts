/** A directory on a web server or in a bucket. */

import { isLimit } from '../github/rate-limit.ts';
import type { Http } from '../http/http.ts';
import { type AnswerCache, askForText, identityOf } from './conditional.ts';
import type { Shelf } from './directory.ts';
import { limitOf, refusalOf } from './refusal.ts';

export type HttpShelfOptions = {
  http: Http;
  cache: AnswerCache;
  /** Without a trailing slash. */
  url: string;
  now: () => number;
  secrets: () => readonly string[];
};

const ORIGIN = { isNo: 'a list of releases', remedy: 'check UPDATE_SOURCE_URL' };

export class HttpShelf implements Shelf {
  readonly #options: HttpShelfOptions;

  constructor(options: HttpShelfOptions) {
    this.#options = options;
  }

  get base(): string {
    return `${this.#options.url}/`;
  }

  get identity(): string {
    const { http, url } = this.#options;
    return identityOf(http.options.token(), url);
  }

  async readText(name: string, strikes: number, signal: AbortSignal): Promise<string | null> {
    const { http, cache, secrets, now } = this.#options;
    const said = await askForText(`${this.base}${name}`, { accept: '*/*' }, signal, {
      http,
      cache,
      identity: this.identity,
      secrets: secrets(),
      origin: ORIGIN,
    });
    if (said.kind === 'missing') return null;
    if (said.kind === 'unchanged') return said.text;
    if (said.answer.status !== 200)
      throw refusalOf(said.answer, said.text, {
        nowMs: now(),
        strikes,
        hasToken: http.options.token() !== null,
        what: 'the directory',
      });
    said.keep(said.text);
    return said.text;
  }

  async fetch(...[asset, headers, signal, { decompress }]: Parameters<Shelf['fetch']>) {
    const options = { decompress, sameHost: false };
    const answer = await this.#options.http.get(asset.url, headers, signal, options);
    if (!isLimit(answer.status, answer.headers, '')) return answer;
    answer.stream.destroy();
    throw limitOf(answer, { nowMs: this.#options.now(), strikes: 0 });
  }
}

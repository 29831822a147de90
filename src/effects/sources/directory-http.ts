/** A directory on a web server or in a bucket. */
import { Fault } from '../../support/fault.ts';
import { type Answer, type Http, hostOf } from '../github/http.ts';
import { isLimit, limitedUntilMs } from '../github/rate-limit.ts';
import { proxyAuthFault, refusalFault } from '../github/refusal.ts';
import { type AnswerCache, askForText, identityOf } from './conditional.ts';
import type { Shelf } from './directory.ts';
import { RateLimited } from './source.ts';

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
    const { http, cache, secrets } = this.#options;
    const said = await askForText(`${this.base}${name}`, { accept: '*/*' }, signal, {
      http,
      cache,
      identity: this.identity,
      secrets: secrets(),
      origin: ORIGIN,
    });
    if (said.kind === 'missing') return null;
    if (said.kind === 'unchanged') return said.text;
    if (said.answer.status !== 200) throw this.#refusal(said.answer, strikes, said.text);
    said.keep(said.text);
    return said.text;
  }

  async fetch(...[asset, headers, signal, { decompress }]: Parameters<Shelf['fetch']>) {
    const options = { decompress, sameHost: false };
    const answer = await this.#options.http.get(asset.url, headers, signal, options);
    if (!isLimit(answer.status, answer.headers, '')) return answer;
    answer.stream.destroy();
    throw this.#limited(answer, 0);
  }

  #limited({ url, headers, status }: Answer, strikes: number): RateLimited {
    const untilMs = limitedUntilMs(headers, this.#options.now(), strikes);
    return new RateLimited(
      `${hostOf(url)} answers no requests until ${new Date(untilMs).toISOString()} (${status}): set a longer SLEEP if this repeats`,
      untilMs,
    );
  }

  #refusal(answer: Answer, strikes: number, body: string): Fault {
    const { status, headers, url } = answer;
    const host = hostOf(url);
    const hasToken = this.#options.http.options.token() !== null;
    if (isLimit(status, headers, body)) return this.#limited(answer, strikes);
    if (status === 407) return proxyAuthFault(host);
    if (status === 401 || status === 403)
      return new Fault(
        'ACCESS_REFUSED',
        `${host} refused access to ${new URL(url).pathname} (${status}): ${hasToken ? 'UPDATE_GH_TOKEN is sent there; check that it may read the directory, or leave it out for a public one' : 'make the directory readable, or set UPDATE_GH_TOKEN'}`,
      );
    if (status >= 500) return refusalFault({ status, headers, body: '', host, hasToken });
    return new Fault('ANSWER_UNEXPECTED', `${host} answered ${status}: check UPDATE_SOURCE_URL`);
  }
}

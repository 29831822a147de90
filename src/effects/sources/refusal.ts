/** What an answer that is neither success nor "not found" means, of a server that is not GitHub. */
import { Fault } from '../../support/fault.ts';
import { isLimit, limitedUntilMs } from '../github/rate-limit.ts';
import { proxyAuthFault, refusalFault } from '../github/refusal.ts';
import { type Answer, hostOf } from '../http/http.ts';
import { RateLimited } from './source.ts';

export type Circumstances = {
  nowMs: number;
  /** Limits in a row. */
  strikes: number;
  hasToken: boolean;
  /** What is to be made readable: "the directory". */
  what: string;
};

export function limitOf(
  { url, headers, status }: Answer,
  { nowMs, strikes }: Pick<Circumstances, 'nowMs' | 'strikes'>,
): RateLimited {
  const untilMs = limitedUntilMs(headers, nowMs, strikes);
  return new RateLimited(
    `${hostOf(url)} answers no requests until ${new Date(untilMs).toISOString()} (${status}): set a longer SLEEP if this repeats`,
    untilMs,
  );
}

export function refusalOf(answer: Answer, body: string, circumstances: Circumstances): Fault {
  const { status, headers, url } = answer;
  const { hasToken, what } = circumstances;
  const host = hostOf(url);
  if (isLimit(status, headers, body)) return limitOf(answer, circumstances);
  if (status === 407) return proxyAuthFault(host);
  if (status === 401 || status === 403)
    return new Fault(
      'ACCESS_REFUSED',
      `${host} refused access to ${new URL(url).pathname} (${status}): ${hasToken ? `UPDATE_GH_TOKEN is sent there; check that it may read ${what}, or leave it out for a public one` : `make ${what} readable, or set UPDATE_GH_TOKEN`}`,
    );
  if (status >= 500) return refusalFault({ status, headers, body: '', host, hasToken });
  return new Fault('ANSWER_UNEXPECTED', `${host} answered ${status}: check UPDATE_SOURCE_URL`);
}

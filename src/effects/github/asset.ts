/**
 * The bytes of an asset. The API's address works with a token, and for private repositories; but
 * each request there counts for the quota, which a fleet behind one address has used up in minutes.
 * Then the public address is asked, which has no such limit.
 */
import type { Asset } from '../../machines/model.ts';
import { type Answer, type Http, hostOf } from '../http/http.ts';
import { RateLimited } from '../sources/source.ts';
import { isLimit, limitedUntilMs } from './rate-limit.ts';

/** Throws `Fault`. Other answers than a limit are the caller's to judge. */
export async function getAsset(
  http: Http,
  asset: Pick<Asset, 'name' | 'url' | 'browserUrl'>,
  headers: Record<string, string>,
  signal: AbortSignal,
  { decompress }: { decompress: boolean },
): Promise<Answer> {
  const options = { decompress, sameHost: false };
  const answer = await http.get(asset.url, headers, signal, options);
  if (!isLimit(answer.status, answer.headers, '')) return answer;
  answer.stream.destroy();
  const untilMs = limitedUntilMs(answer.headers, Date.now(), 0);
  const open = http.allows(asset.browserUrl)
    ? await http.get(asset.browserUrl, headers, signal, options)
    : null;
  if (open !== null && (open.status < 400 || open.status === 416)) return open;
  open?.stream.destroy();
  throw new RateLimited(
    `${hostOf(answer.url)} answers no requests until ${new Date(untilMs).toISOString()}, and ${asset.name} is not to be had without them: probably many containers behind one address. Set a token (UPDATE_GH_TOKEN) to raise the limit`,
    untilMs,
  );
}

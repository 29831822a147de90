/** The size of an asset whose list tells none, from the server that has the bytes. */
import { Fault } from '../../support/fault.ts';
import { hostOf } from '../http/http.ts';
import { type AnswerCache, keyOf } from './conditional.ts';
import type { AssetSource, Source } from './source.ts';

/** Without a digest the address is all that tells bytes apart, and they may be replaced there. */
const UNPROVEN_HOLDS_FOR_MS = 60 * 60 * 1000;

/** When it was told, and the bytes. Damaged cache: anything else is asked for anew. */
const KEPT = /^(\d{1,15}) (\d{1,15})$/;

export type SizeOptions = {
  fetch: AssetSource['fetch'];
  cache: AnswerCache;
  now: () => number;
};

/**
 * In bytes: by one byte of it, since storage answers no HEAD for an address that was signed for
 * GET. Throws `Fault`.
 */
export async function askForSize(
  asset: Parameters<Required<Source>['sizeOf']>[0],
  signal: AbortSignal,
  { fetch, cache, now }: SizeOptions,
): Promise<number> {
  // Of these very bytes: what is published anew at the same address may have another size.
  const key = keyOf(`size of ${asset.browserUrl} ${asset.digest}`);
  const [, at, bytes] = KEPT.exec(cache.read(key)?.body ?? '') ?? [];
  const holds = asset.digest !== null || Math.abs(now() - Number(at)) < UNPROVEN_HOLDS_FOR_MS;
  if (bytes !== undefined && holds) return Number(bytes);
  const answer = await fetch(asset, { range: 'bytes=0-0' }, signal, { decompress: false });
  answer.stream.destroy();
  // Of an empty file there is no first byte.
  const range = /^bytes (?:0-0|\*)\/(\d{1,15})$/.exec(`${answer.headers['content-range']}`);
  const isRange = answer.status === 206 || answer.status === 416;
  const size = isRange ? range?.[1] : answer.headers['content-length'];
  if (answer.status !== 200 && !isRange)
    throw new Fault(
      'DOWNLOAD_REFUSED',
      `${hostOf(answer.url)} answered ${answer.status} for ${asset.name}: it was removed or replaced, or the token may not read it`,
    );
  if (size === undefined)
    throw new Fault(
      'DOWNLOAD_REFUSED',
      `${hostOf(answer.url)} tells no size for ${asset.name}, and nothing of unknown size is downloaded: publish it where ranges or lengths are answered`,
    );
  cache.write(key, { etag: '', body: `${now()} ${size}` });
  return Number(size);
}

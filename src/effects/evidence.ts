/**
 * Gathers what a release has to show for its bytes: sums, signatures, attestations. Everything is
 * capped; nothing is judged here.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Asset, Release } from '../machines/model.ts';
import { readStream } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import type { Evidence, Manifest } from '../trust/judge.ts';
import { sumsText } from '../trust/sums.ts';
import { hostOf, lateFault, networkFault } from './http/http.ts';
import type { AssetSource, EvidenceSource } from './sources/source.ts';

/** Sums of a thousand assets fit, and a bundle with its logs' proofs. */
const MAX_BYTES = { sums: 256 * 1024, minisign: 16 * 1024, attestation: 1024 * 1024 };
const READ_WITHIN_MS = 60_000;
/** Lines of a `.jsonl`. */
const MAX_BUNDLES = 30;

export type Wanted = { digest: boolean; minisign: boolean; attestation: boolean };

export async function gatherEvidence(
  release: Release,
  file: { path: string; sha256: string; sizeBytes: number },
  wanted: Wanted,
  signal: AbortSignal,
  deps: {
    source: AssetSource & Pick<EvidenceSource, 'attestations' | 'manifestsNaming'>;
    readLocal?: ((asset: Asset, mostBytes: number) => Promise<Buffer>) | undefined;
  },
): Promise<Evidence> {
  const { asset, checksums, signatures, tag } = release;
  const read = (from: Asset, most: number) =>
    deps.readLocal?.(from, most) ?? readCapped(from, tag, most, signal, deps.source);
  const sums = checksums === null ? null : await read(checksums, MAX_BYTES.sums);
  const evidence = {
    sizeBytes: file.sizeBytes,
    sha256: file.sha256,
    blake2b512: wanted.minisign ? await blake2b512(file.path) : Buffer.alloc(0),
    sums: sums && {
      name: checksums?.name ?? '',
      text: sumsText(sums),
      sha256: hash('sha256', sums).toString('hex'),
      blake2b512: hash('blake2b512', sums),
    },
  };
  const minisigs: Evidence['minisigs'][number][] = [];
  const bundles: Evidence['bundles'][number][] = [];
  for (const { kind, over, asset: signature } of signatures) {
    if (kind === 'minisign' && wanted.minisign)
      minisigs.push({ over, text: (await read(signature, MAX_BYTES.minisign)).toString('utf8') });
    if (kind === 'attestation' && wanted.attestation)
      for (const json of parseBundles(await read(signature, MAX_BYTES.attestation)))
        bundles.push({ over, from: signature.name, json });
  }
  const manifests: Manifest[] = [];
  if (wanted.attestation) {
    const subjects = [
      { over: 'asset' as const, sha256: asset.digest ?? file.sha256 },
      ...(evidence.sums ? [{ over: 'sums' as const, sha256: evidence.sums.sha256 }] : []),
    ];
    for (const { over, sha256 } of bundles.length > 0 ? [] : subjects) {
      manifests.push(...(deps.source.manifestsNaming?.(sha256) ?? []));
      for (const json of await deps.source.attestations(sha256, signal))
        bundles.push({ over, from: 'its source', json });
    }
  }
  return { ...evidence, minisigs, bundles, manifests };
}

/**
 * One document, or one a line. What does not parse is handed on as it is, and refused where it is
 * judged.
 */
function parseBundles(bytes: Buffer): unknown[] {
  const text = bytes.toString('utf8').trim();
  const parse = (part: string): unknown => {
    try {
      return JSON.parse(part);
    } catch {
      return part;
    }
  };
  const whole = parse(text);
  if (typeof whole !== 'string') return [whole];
  return text.split('\n').slice(0, MAX_BUNDLES).map(parse);
}

export async function blake2b512(path: string): Promise<Buffer> {
  const hash = createHash('blake2b512');
  await pipeline(createReadStream(path), hash);
  return hash.digest();
}

function hash(algorithm: 'sha256' | 'blake2b512', bytes: Buffer): Buffer {
  return createHash(algorithm).update(bytes).digest();
}

async function readCapped(
  asset: Asset,
  tag: string,
  most: number,
  signal: AbortSignal,
  source: AssetSource,
): Promise<Buffer> {
  // Slow retrieval: a byte now and then would keep every shorter timeout from its end.
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(READ_WITHIN_MS)]);
  const headers = { accept: 'application/octet-stream' };
  const answer = await source.fetch(asset, headers, bounded, { decompress: true });
  try {
    if (answer.status !== 200)
      throw new Fault(
        'DOWNLOAD_REFUSED',
        `${hostOf(answer.url)} answered ${answer.status} for ${asset.name} of ${tag}: it was removed or replaced, or the token may not read it`,
      );
    return await readStream(answer.stream, {
      maxBytes: most,
      withinMs: READ_WITHIN_MS,
      tooLarge: () =>
        new Fault(
          'ANSWER_TOO_LARGE',
          `${asset.name} of ${tag} is larger than ${most} bytes: that is no file of sums, signature or attestation`,
        ),
      tooLate: () => lateFault(answer.url, READ_WITHIN_MS),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw networkFault(error, answer.url);
  } finally {
    answer.stream.destroy();
  }
}

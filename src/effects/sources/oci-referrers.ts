/**
 * Sigstore bundles in a registry: what refers to the manifest of a release (`oras attach`), or to
 * the bytes themselves. See "Listing Referrers" and "Referrers Tag Schema" in the OCI Distribution
 * Specification v1.1. What a bundle is worth is judged elsewhere.
 */
import { readStream } from '../../support/bounded.ts';
import { Fault } from '../../support/fault.ts';
import { hostOf, lateFault, networkFault } from '../http/http.ts';
import { parseAnswer, type Said } from './conditional.ts';
import type { Manifests } from './oci-manifests.ts';
import {
  ACCEPTED_TYPES,
  isBundleType,
  referrersSchema,
  sha256Of,
  type TextAsked,
} from './oci-schema.ts';
import type { AssetSource } from './source.ts';

const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
/** Of a manifest without a config. Some registries list it as what the manifest is. */
const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json';
/** Endless data: each costs two requests. */
const MAX_BUNDLES = 10;
/** A bundle with its logs' proofs has some ten kB. */
const MAX_BUNDLE_BYTES = 1024 * 1024;
const READ_WITHIN_MS = 60_000;
/** Slow retrieval: all of them together. An app may be down meanwhile. */
const ALL_WITHIN_MS = 180_000;
const KIND = { kind: 'a list of referrers', setting: 'UPDATE_SOURCE_URL' };

export type ReferrersDependencies = {
  manifests: Pick<Manifests, 'manifest' | 'naming'>;
  /** `https://ghcr.io/v2/owner/app` */
  repositoryUrl: string;
  /** Null for 404. */
  ask: (asked: TextAsked) => Promise<Exclude<Said, { kind: 'missing' }> | null>;
  fetch: AssetSource['fetch'];
  allWithinMs?: number;
};

/** `sha256`: of the bytes, in hex. Throws `Fault`. */
export async function bundlesOf(
  sha256: string,
  outer: AbortSignal,
  deps: ReferrersDependencies,
): Promise<unknown[]> {
  const { allWithinMs = ALL_WITHIN_MS, repositoryUrl } = deps;
  const late = AbortSignal.timeout(allWithinMs);
  try {
    return await readBundles(sha256, AbortSignal.any([outer, late]), deps);
  } catch (error) {
    outer.throwIfAborted();
    throw late.aborted ? lateFault(repositoryUrl, allWithinMs) : error;
  }
}

async function readBundles(
  sha256: string,
  signal: AbortSignal,
  deps: ReferrersDependencies,
): Promise<unknown[]> {
  const digest = `sha256:${sha256}`;
  const bundles: unknown[] = [];
  const manifests = deps.manifests.naming(sha256).map((manifest) => `sha256:${manifest.sha256}`);
  for (const subject of [...manifests, digest])
    for (const referrer of await referrersOf(subject, signal, deps)) {
      const manifest = await deps.manifests.manifest(referrer, signal);
      for (const layer of manifest?.layers ?? [])
        if (isBundleType(layer.mediaType) && bundles.length < MAX_BUNDLES)
          bundles.push(await readBundle(layer.digest, signal, deps));
    }
  return bundles;
}

/** Digests of manifests. */
async function referrersOf(
  subject: string,
  signal: AbortSignal,
  { repositoryUrl, ask }: ReferrersDependencies,
): Promise<string[]> {
  const query = `artifactType=${encodeURIComponent(BUNDLE_TYPE)}`;
  const api = `${repositoryUrl}/referrers/${subject}?${query}`;
  const tag = `${repositoryUrl}/manifests/${subject.replace(':', '-')}`;
  for (const url of [api, tag]) {
    const said = await ask({ url, accept: ACCEPTED_TYPES, strikes: 0, signal }).catch(unsupported);
    if (said === null) continue;
    const { value } = parseAnswer(said.text, referrersSchema, url, KIND);
    return value.manifests
      .filter(({ artifactType: type }) => (type ?? EMPTY_TYPE) === EMPTY_TYPE || isBundleType(type))
      .map(({ digest }) => digest)
      .filter((digest) => sha256Of(digest) !== null)
      .slice(0, MAX_BUNDLES);
  }
  return [];
}

/** Registries without this part of the specification say so in several ways. */
function unsupported(error: unknown): null {
  if (error instanceof Fault && error.code === 'ANSWER_UNEXPECTED') return null;
  throw error;
}

/** What does not parse is handed on as it is, and refused where it is judged. */
async function readBundle(
  digest: string,
  signal: AbortSignal,
  { repositoryUrl, fetch }: ReferrersDependencies,
): Promise<unknown> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(READ_WITHIN_MS)]);
  const url = `${repositoryUrl}/blobs/${digest}`;
  const asset = { name: digest, url, browserUrl: url };
  const answer = await fetch(asset, {}, bounded, { decompress: true });
  let bytes: Buffer;
  try {
    if (answer.status !== 200)
      throw new Fault(
        'DOWNLOAD_REFUSED',
        `${hostOf(answer.url)} answered ${answer.status} for the attestation ${digest}: it was removed, or the token may not read it`,
      );
    bytes = await readStream(answer.stream, {
      maxBytes: MAX_BUNDLE_BYTES,
      withinMs: READ_WITHIN_MS,
      tooLarge: () =>
        new Fault(
          'ANSWER_TOO_LARGE',
          `the attestation ${digest} is larger than ${MAX_BUNDLE_BYTES} bytes: that is no Sigstore bundle`,
        ),
      tooLate: () => lateFault(answer.url, READ_WITHIN_MS),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw networkFault(error, answer.url);
  } finally {
    answer.stream.destroy();
  }
  // Not held to its digest: its signature says more.
  const text = bytes.toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

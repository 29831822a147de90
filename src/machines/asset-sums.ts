/** Which assets vouch for another: its sums and signatures, told by their names. Pure. */

import { formatOfName } from './asset-format.ts';
import { readPlatform, splitWords } from './asset-platform.ts';

type Signature<T> = { kind: 'minisign' | 'attestation'; over: 'asset' | 'sums'; asset: T };

/**
 * Signatures of the asset and of its sums, by the endings that minisign, cosign, GitHub and the
 * SLSA generators give them.
 */
export function chooseSignatures<T extends { name: string }>(
  assets: readonly T[],
  assetName: string,
  sumsName: string | null,
): Signature<T>[] {
  const endings = [
    { ending: '.minisig', kind: 'minisign' },
    { ending: '.sigstore.json', kind: 'attestation' },
    { ending: '.sigstore', kind: 'attestation' },
    { ending: '.intoto.jsonl', kind: 'attestation' },
  ] as const;
  const signed = [
    { over: 'asset' as const, name: assetName },
    ...(sumsName === null ? [] : [{ over: 'sums' as const, name: sumsName }]),
  ];
  // One of each: GitHub allows no two of a name, and a thousand would have to be held.
  const named = (name: string) => assets.find((asset) => asset.name === name);
  return signed.flatMap(({ over, name }) =>
    endings.flatMap(({ ending, kind }) => {
      const asset = named(`${name}${ending}`);
      return asset === undefined ? [] : [{ kind, over, asset }];
    }),
  );
}

/** What people put behind a file's name for the file of its sum. */
const OWN_ENDING = /^(?:[._-]sha-?256(?:sums?)?(?:\.txt)?|\.sha|\.checksum|\.dgst|\.digest)$/i;

/**
 * Whether `sumsName` is the file of this asset's sum alone: `<name>.sha256`, or `<name without
 * .tar.gz>.sha256`.
 */
export function isOwnSums(sumsName: string, assetName: string): boolean {
  const { stem } = formatOfName(assetName);
  return [assetName, stem].some(
    (name) =>
      sumsName.toLowerCase().startsWith(name.toLowerCase()) &&
      OWN_ENDING.test(sumsName.slice(name.length)),
  );
}

/**
 * A file of many sums: one of these words in its name, none of another algorithm, and an ending of
 * text.
 */
const SHARED =
  /(?:checksums?|(?:^|[^a-z])(?:shasums?|sums|hashes|digests|sha-?256(?:[-_]?(?:sums?|checksums?))?|shasums?256|sha2(?:sums?)?))(?![a-z0-9])/i;
const OTHER_ALGORITHM =
  /sha-?(?:1(?!\d)|224|384|512|3)|shasums?(?:1(?!\d)|512)|md5|blake|(?<![a-z0-9])b[23](?:sums?)?(?![a-z0-9])|rmd|ripemd|crc32/i;
const TEXT = /^[^.]*$|\.(?:txt|text|sha256|sha256sums?|sums?|checksums?|shasums?)$/i;
/** A signature of sums, or sums of sums. */
const ABOUT_SUMS = /\.(?:asc|sig|minisig|pem|sigstore|json|jsonl)$/i;

/**
 * `checksums.txt`, `SHASUMS256.txt`, `app_1.0.0_checksums.txt`, `checksums_linux.txt`,
 * `hashes.sha256`.
 */
function isSharedSums(name: string): boolean {
  const versionless = name.replace(/\d+(?:\.\d+)+/g, '');
  return (
    SHARED.test(name) &&
    !OTHER_ALGORITHM.test(versionless) &&
    TEXT.test(versionless) &&
    !ABOUT_SUMS.test(name)
  );
}

const SUM_WORDS = new Set([
  'checksum',
  'checksums',
  'shasum',
  'shasums',
  'sum',
  'sums',
  'hashes',
  'digests',
  'sha',
  'sha2',
  'sha256',
  '256',
  'txt',
  'text',
]);

/**
 * How well a shared file's name fits the asset's: words of both, less those of the file alone. Null
 * for another platform's. It only says which file to read: the file has to list the asset by its
 * name.
 */
function closeness(sumsName: string, assetName: string): number | null {
  const [sumsWords, assetWords] = [splitWords(sumsName), splitWords(assetName)];
  const [ofSums, ofAsset] = [readPlatform(sumsWords), readPlatform(assetWords)];
  const differ = (some: string[], others: string[]) =>
    some.length > 0 && others.length > 0 && !some.some((word) => others.includes(word));
  if (
    differ(ofSums.systems, ofAsset.systems) ||
    differ(ofSums.architectures, ofAsset.architectures)
  )
    return null;
  const telling = sumsWords.filter(
    (word) => !/^(?:sha\d*|check)?(?:sums?|hashes|digests)\d*$/.test(word) && !SUM_WORDS.has(word),
  );
  const shared = telling.filter((word) => assetWords.includes(word)).length;
  const platform = ofSums.systems.length + ofSums.architectures.length;
  return (
    shared +
    platform -
    2 * (telling.length - shared) +
    (/sha-?2|sums?256/i.test(sumsName) ? 0.5 : 0)
  );
}

/**
 * The asset that carries the sum of `assetName`: a file of its own, else the release's file of sums
 * whose name is closest.
 */
export function chooseChecksums<T extends { name: string }>(
  assets: readonly T[],
  assetName: string,
): T | null {
  const own = assets
    .filter(({ name }) => isOwnSums(name, assetName))
    .toSorted((a, b) => b.name.length - a.name.length || order(a, b));
  // `.sha` says not which: read where nothing says better.
  const sure = own.find(({ name }) => !/\.sha$/i.test(name));
  if (sure !== undefined) return sure;
  const others = assets.filter(({ name }) => !isSharedSums(name) && name !== assetName);
  const shared = assets
    .filter(
      ({ name }) =>
        name !== assetName &&
        isSharedSums(name) &&
        !others.some((other) => isOwnSums(name, other.name)),
    )
    .flatMap((asset) => {
      const close = closeness(asset.name, assetName);
      return close === null ? [] : [{ asset, close }];
    })
    .toSorted((a, b) => b.close - a.close || order(a.asset, b.asset));
  return shared[0]?.asset ?? own[0] ?? null;
}

/** One order for all, whatever GitHub's is. */
function order(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}

/** Which asset of a release is for this machine. Pure: exactly one may match; none or several is an explained refusal. */
import { formatOfName, preferenceOf } from './asset-format.ts';
import type { Policy } from './model.ts';

type Platform = Policy['platform'];

/** Names as goreleaser, Rust, Node and Go people write them. */
const OS_ALIASES: Record<string, readonly string[]> = {
  linux: ['linux', 'linux32', 'linux64'],
  darwin: ['darwin', 'macos', 'osx', 'mac', 'apple'],
  windows: ['windows', 'win', 'win32', 'win64'],
  freebsd: ['freebsd'],
  openbsd: ['openbsd'],
  netbsd: ['netbsd'],
  android: ['android'],
};
const ARCH_ALIASES: Record<string, readonly string[]> = {
  amd64: ['amd64', 'x64', 'x86_64', 'x86-64', '64bit', 'linux64', 'amd64v1'],
  arm64: ['arm64', 'aarch64', 'armv8'],
  '386': ['386', 'i386', 'i686', 'x86', '32bit', 'linux32'],
  arm: ['arm', 'armv5', 'armv6', 'armv6hf', 'armv7', 'armhf', 'armv6l', 'armv7l', 'arm32'],
  ppc64le: ['ppc64le', 'powerpc64le', 'ppc64', 'ppc64el'],
  s390x: ['s390x'],
  riscv64: ['riscv64', 'riscv64gc'],
  loong64: ['loong64', 'loongarch64'],
  mips: ['mips', 'mipsle', 'mips64', 'mips64le'],
};
const UNIVERSAL_ARCH = ['all', 'any', 'universal', 'noarch'];

const ARCHIVE = /\.(?:tar\.gz|tgz|tar\.zst|tzst|tar|zip)$/i;
/** Never the app itself: packages of distributions, installers, bills of material, sums, signatures, debug symbols. */
const NOT_THE_APP =
  /\.(?:deb|rpm|apk|msi|pkg|dmg|exe|appimage|snap|flatpak|whl|gem|jar|sbom|spdx|cdx|json|jsonl|ya?ml|xml|txt|md|html|pdf|pem|pub|crt|cer|asc|sig|minisig|sigstore|bundle|intoto|att|sha\d+|sha\d+sums?|md5|b2sum|sum|prov|provenance|pdb|dsym|debug|patch|diff|rb|sh|ps1|bat|iso|img|qcow2|vsix|tar\.(?:bz2|xz|lz|lzma|br)|tbz2?|txz|7z|rar|gz|xz|bz2|zst)$/i;
const SUMS_OR_SOURCE = /(?:^|[._-])(?:checksums?|sha\d+sums?|sbom|source|src|sources|debug|dbg|symbols|vendor)(?:[._-]|$)/i;

/** The operator's `UPDATE_ASSET`; the matcher comes with it, since globbing is not this folder's business. */
export type AssetPattern = { glob: string; matches: (name: string) => boolean };

export type AssetChoice<T> =
  | { kind: 'one'; asset: T }
  | { kind: 'none'; names: string[]; wanted: string }
  | { kind: 'several'; names: string[]; wanted: string };

/**
 * Chooses by the operator's glob, or else: the archive that names this platform, else the sole archive that names none,
 * else the bare executable that names this platform. Names of several libcs give this machine's (glibc where unknown).
 */
export function chooseAsset<T extends { name: string }>(assets: readonly T[], pattern: AssetPattern | null, platform: Platform): AssetChoice<T> {
  const names = assets.map((asset) => asset.name);
  if (pattern !== null) {
    return one(
      assets.filter((asset) => pattern.matches(asset.name)),
      names,
      `the pattern ${JSON.stringify(pattern.glob)}`,
    );
  }
  const wanted = `${platform.os}/${platform.arch}`;
  const archives = assets.filter(({ name }) => ARCHIVE.test(name) && !SUMS_OR_SOURCE.test(name));
  const bare = assets.filter(({ name }) => !ARCHIVE.test(name) && !NOT_THE_APP.test(name) && !SUMS_OR_SOURCE.test(name));
  const tiers = [
    preferLibc(
      archives.filter((asset) => fits(asset.name, platform) === 'exact'),
      platform,
    ),
    preferLibc(
      archives.filter((asset) => fits(asset.name, platform) === 'any-arch'),
      platform,
    ),
    archives.filter((asset) => fits(asset.name, platform) === 'neutral'),
    preferLibc(
      bare.filter((asset) => fits(asset.name, platform) === 'exact'),
      platform,
    ),
  ];
  // One build in several wrappings (.tar.gz beside .zip) is one build: the first wrapping that is unambiguous serves.
  for (const tier of tiers) if (tier.length > 0) return one(sameBuild(tier), names, wanted);
  const sole = bare.filter((asset) => fits(asset.name, platform) === 'neutral');
  return one(assets.length === 1 ? sole : [], names, wanted);
}

function one<T extends { name: string }>(matching: readonly T[], names: string[], wanted: string): AssetChoice<T> {
  const [first, ...others] = matching;
  if (!first) return { kind: 'none', names, wanted };
  if (others.length > 0) return { kind: 'several', names: matching.map((asset) => asset.name), wanted };
  return { kind: 'one', asset: first };
}

function words(name: string): Set<string> {
  const lower = name.toLowerCase();
  const found = new Set(lower.replace(ARCHIVE, '').split(/[^a-z0-9]+/));
  // The separator splits these two; they are words of their own.
  if (/x86[_-]64/.test(lower)) {
    found.delete('x86');
    found.delete('64');
    found.add('x86_64');
  }
  for (const word of [...found]) {
    const joined = /^(linux|darwin|macos|windows|win|freebsd)(amd64|x64|arm64|aarch64|386|armv[567]|arm)$/.exec(word);
    if (joined?.[1] && joined[2]) found.add(joined[1]).add(joined[2]);
  }
  return found;
}

function named(aliases: Record<string, readonly string[]>, found: Set<string>): string[] {
  return Object.entries(aliases).flatMap(([key, names]) => (names.some((name) => found.has(name)) ? [key] : []));
}

function fits(name: string, platform: Platform): 'exact' | 'any-arch' | 'neutral' | 'no' {
  const found = words(name);
  const systems = named(OS_ALIASES, found);
  const architectures = named(ARCH_ALIASES, found);
  const universal = UNIVERSAL_ARCH.some((word) => found.has(word));
  if (systems.length === 0 && architectures.length === 0) return 'neutral';
  if (systems.length > 0 && !systems.includes(platform.os)) return 'no';
  if (architectures.length > 0) return architectures.includes(platform.arch) ? 'exact' : 'no';
  return universal || systems.length > 0 ? 'any-arch' : 'no';
}

/** Where both a musl and a glibc build fit, this machine's libc decides; a single build serves either way. */
function preferLibc<T extends { name: string }>(assets: readonly T[], platform: Platform): readonly T[] {
  if (assets.length < 2) return assets;
  const musl = assets.filter(({ name }) => words(name).has('musl'));
  const others = assets.filter(({ name }) => !words(name).has('musl'));
  if (musl.length === 0 || others.length === 0) return assets;
  return platform.libc === 'musl' ? musl : others;
}

/** One build in several wrappings is one build: the preferred wrapping serves. */
function sameBuild<T extends { name: string }>(assets: readonly T[]): readonly T[] {
  const named = assets.map((asset) => ({ asset, ...formatOfName(asset.name) }));
  if (new Set(named.map(({ stem }) => stem)).size !== 1) return assets;
  const [first] = named.toSorted((a, b) => preferenceOf(a.ending) - preferenceOf(b.ending));
  return named.filter(({ ending }) => ending === first?.ending).map(({ asset }) => asset);
}

export type Signature<T> = { kind: 'minisign' | 'attestation'; over: 'asset' | 'sums'; asset: T };

/** Signatures of the asset and of its sums, by the endings that minisign, cosign, GitHub and the SLSA generators give them. */
export function chooseSignatures<T extends { name: string }>(assets: readonly T[], assetName: string, sumsName: string | null): Signature<T>[] {
  const endings = [
    { ending: '.minisig', kind: 'minisign' },
    { ending: '.sigstore.json', kind: 'attestation' },
    { ending: '.sigstore', kind: 'attestation' },
    { ending: '.intoto.jsonl', kind: 'attestation' },
  ] as const;
  const signed = [{ over: 'asset' as const, name: assetName }, ...(sumsName === null ? [] : [{ over: 'sums' as const, name: sumsName }])];
  // One of each: GitHub allows no two of a name, and a thousand would have to be held.
  const named = (name: string) => assets.find((asset) => asset.name === name);
  return signed.flatMap(({ over, name }) =>
    endings.flatMap(({ ending, kind }) => {
      const asset = named(`${name}${ending}`);
      return asset === undefined ? [] : [{ kind, over, asset }];
    }),
  );
}

/** The asset that carries the sums for `assetName`: its own `.sha256`, else the release's checksums file. */
export function chooseChecksums<T extends { name: string }>(assets: readonly T[], assetName: string): T | null {
  const own = assets.find(({ name }) => name === `${assetName}.sha256` || name === `${assetName}.sha256sum`);
  const shared = assets.filter(({ name }) => /(?:^|[._-])(?:checksums?\.txt|sha256sums?(?:\.txt)?|checksums?)$/i.test(name));
  return own ?? (shared.length === 1 ? (shared[0] ?? null) : null);
}

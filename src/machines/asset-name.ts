/**
 * What the name of a release's file tells: what kind of file it is, for which platform, and of
 * which program. Pure.
 */

import { formatOfName } from './asset-format.ts';
import { readPlatform, splitWords, type ToldPlatform } from './asset-platform.ts';

/**
 * What may be the app: `archive`, `compressed` and `bare` (an executable), and with less claim a
 * `file` (`.jar`). `unsupported` and `package` could have been it. `other` never is: sums,
 * signatures, sources, documentation, libraries.
 */
export type AssetKind =
  | 'archive'
  | 'compressed'
  | 'bare'
  | 'file'
  | 'unsupported'
  | 'package'
  | 'other';

export type ReadName = {
  name: string;
  kind: AssetKind;
  /** The name without the ending of its format, and that ending. */
  stem: string;
  ending: string;
  platform: ToldPlatform;
  /** How surely it is the program that the repository is named after. */
  isNamedAsRepository: boolean;
  /** Words that tell no platform; the repository's name is one word of them. */
  words: string[];
  /** Those that tell no version either, and aren't in every project's names. */
  extras: string[];
};

const list = (text: string) => new Set(text.trim().split(/\s+/));

/** Packages and installers by their ending, with the system that it tells. Empty: none. */
const PACKAGES = new Map(
  Object.entries({
    linux: 'deb rpm appimage snap flatpak flatpakref xbps eopkg run',
    windows: 'msi msix msixbundle appx appxbundle appinstaller exe nupkg snupkg',
    darwin: 'dmg pkg app mpkg',
    android: 'aab aar',
    ios: 'ipa xcframework',
    wasm: 'wasm',
    '': 'apk ipk opk spk qpkg whl gem egg crate conda vsix crx xpi iso img qcow2 vmdk ova vhd vhdx box sif squashfs oci zsync blockmap tpz mcpb dxt hap',
  }).flatMap(([system, endings]) => endings.split(' ').map((ending) => [ending, system] as const)),
);

/** Endings of files that no program is in. */
const OTHER_ENDINGS = list(`
  asc sig minisig sign signature sigstore cosign bundle intoto att attestation prov provenance pem pub cert crt cer key keyring gpg
  sha sha1 sha224 sha256 sha384 sha512 sha1sum sha224sum sha256sum sha384sum sha512sum sha1sums sha256sums sha512sums sha3 md5 md5sum md5sums
  b2 b2sum b3 b3sum blake2 blake2b blake3 rmd160 crc32 sum sums checksum checksums hash hashes digest digests dgst
  sbom spdx cdx cyclonedx syft json json5 jsonl yaml yml toml xml ini cfg conf properties env manifest lock
  txt md rst adoc html htm css pdf epub csv tsv log sql db sqlite po pot mo 1 desktop service rb ps1 bat cmd sh bash zsh fish nu elv vim el lua
  pdb dsym debug dbg sym symbols map patch diff delta vcdiff
  so a la lib dll dylib dyld h hpp hh pc def tlb node o obj swiftmodule aar
  png jpg jpeg gif svg ico icns webp mp4 webm ttf otf woff woff2
  c cc cpp go rs py ts tsx jsx java kt scala cs swift zig nim proto graphql wit dsc orig changes buildinfo
  xz-sig nix dockerfile containerfile tf hcl`);

/**
 * Words of files that aren't the app, whatever platform they name; unless they are of the
 * repository's own name.
 */
const OTHER_WORDS = list(`
  checksum checksums sum sums sha1sums sha256sums sha512sums shasum shasums shasums256 sha1 sha256 sha512 md5 md5sums sbom spdx cyclonedx
  source sources src srcs vendor vendored debug dbg dbgsym debuginfo symbols symbol pdb dsym
  completion completions man manpage manpages manual docs doc documentation javadoc apidoc license licenses notices
  headers header include capi devel sdk libs jni ffi bindings`);

/**
 * Of what names no platform, these are not the app either: parts of it that its programs would
 * contain, or what surrounds them.
 */
const SURROUNDING_WORDS = list(`
  web webui ui frontend assets static schema schemas themes theme fonts icons locale locales translations i18n examples example samples sample
  test tests testdata fixtures benchmark benchmarks coverage report reports installer setup chart charts helm manifests crds crd dockerfile docker
  image images rootfs config configs template templates plugin plugins extension extensions vscode npm dist choco chocolatey formula
  data dataset dictionary dictionaries models model rules patterns patches sources scripts deps dependencies lib dev`);

/** Words that every project uses and that name no program. */
const FILLERS = list(`
  bin binary binaries release releases stable latest nightly snapshot canary edge final portable standalone exe executable
  unknown pc none build pkg package tar generic master main native self contained
  alpha beta rc pre preview dev ga lts hf eabi eabihf elf abi3`);

/** A repository may be called by the language or the role beside the program's name. */
const AFFIXES = [
  'go',
  'golang',
  'rs',
  'rust',
  'js',
  'ts',
  'py',
  'python',
  'node',
  'cpp',
  'zig',
  'cli',
  'bin',
  'cmd',
  'app',
  'tool',
  'lsp',
  'server',
];

const plainWords = (text: string) =>
  text
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean);

/** `yt-dlp.js` → `ytdlpjs`, and without the affixes `ytdlp`. */
export function namesOfRepository(repository: string): string[] {
  const own = plainWords(repository.replace(/^.*\//, '').replace(/\.git$/, ''));
  const names = [own.join('')];
  const [first, last] = [own[0] ?? '', own.at(-1) ?? ''];
  if (own.length > 1 && AFFIXES.includes(last)) names.push(own.slice(0, -1).join(''));
  if (own.length > 1 && AFFIXES.includes(first)) names.push(own.slice(1).join(''));
  return names.filter((name) => name !== '');
}

/**
 * The text without the repository's name, and whether it was in it. Its words are found however
 * they are separated.
 */
function withoutName(text: string, names: readonly string[]): { rest: string; found: boolean } {
  const pieces = [...text.matchAll(/[A-Za-z0-9]+/g)].map((match) => ({
    word: match[0].toLowerCase(),
    from: match.index,
    to: match.index + match[0].length,
  }));
  for (const name of names) {
    for (const [start, piece] of pieces.entries()) {
      let joined = '';
      for (let end = start; end < pieces.length && joined.length < name.length; end++) {
        joined += pieces[end]?.word;
        if (joined === name)
          return {
            rest: `${text.slice(0, piece.from)} ${text.slice(pieces[end]?.to)}`,
            found: true,
          };
      }
    }
  }
  return { rest: text, found: false };
}

const isVersion = (word: string) =>
  /^(?:v|r|rev|rc|alpha|beta|build|cp|py)?\d+[a-z]?\d*$/.test(word) ||
  /^(?=.*\d)[0-9a-f]{7,40}$/.test(word) ||
  word === 'v';

/** The last ending, where it looks like one: letters, perhaps with digits. */
function lastEnding(stem: string): string {
  return /\.([A-Za-z][A-Za-z0-9]{0,14}|1)$/.exec(stem)?.[1]?.toLowerCase() ?? '';
}

/** Stands for the repository's name, however it was written. */
export const REPOSITORY = '<repository>';

/** `names`: those of the repository. */
export function readName(name: string, names: readonly string[]): ReadName {
  const { format, stem, ending } = formatOfName(name);
  const { rest, found } = withoutName(stem, names);
  const inner = lastEnding(rest);
  const platform = readPlatform(splitWords(rest));
  const packaged = PACKAGES.get(inner);
  if (packaged !== undefined && packaged !== '' && platform.systems.length === 0)
    platform.systems.push(packaged);
  const words = [
    ...(found ? [REPOSITORY] : []),
    ...platform.others.map((word) => word.replace(/^v(?=\d)/, '')),
  ];
  const extras = words.filter((word) => !isVersion(word) && !FILLERS.has(word));
  const isOther =
    platform.others.some((word) => OTHER_WORDS.has(word)) ||
    (/^lib[a-z0-9]/i.test(rest.trim()) && !platform.others.includes('cli'));
  const kindOf = (): AssetKind => {
    // A tool for Windows in an archive: the platform says it.
    if (packaged !== undefined) return 'package';
    if (inner === 'pkg' && format !== 'none') return 'package';
    if (isOther) return 'other';
    if (OTHER_ENDINGS.has(inner) && !isVersionTail(rest, inner)) return 'other';
    if (
      format !== 'file' &&
      platform.systems.length + platform.architectures.length === 0 &&
      extras.some((word) => SURROUNDING_WORDS.has(word))
    )
      return 'other';
    if (format === 'none') return inner === '' || isKnownTail(inner) ? 'bare' : 'other';
    return format;
  };
  return {
    name,
    kind: kindOf(),
    stem: packaged === undefined ? stem : stem.slice(0, -inner.length - 1),
    ending,
    platform,
    isNamedAsRepository: found && extras.length === 1,
    words,
    extras,
  };
}

/** `app-1.0.1`: a version's last number is no manual page's section. */
function isVersionTail(rest: string, inner: string): boolean {
  return inner === '1' && /\d\.1$/.test(rest);
}

/**
 * What stands behind the last dot of a bare executable's name: a platform, or a word that many have
 * there.
 */
function isKnownTail(inner: string): boolean {
  const { others } = readPlatform(splitWords(inner));
  return others.every((word) => isVersion(word) || FILLERS.has(word));
}

/**
 * Which version signed bytes belong to. A signature holds for ever: without this, signed bytes of
 * an old release could be published again under a new tag. Pure.
 */
import { formatOfName } from '../machines/asset-format.ts';

/**
 * Words for where a file runs and how it is packed. They are no version, and name no other program
 * that has one.
 */
const PLATFORM_WORDS = new Set(
  `linux linux32 linux64 darwin darwin64 macos mac osx apple windows win win32 win64 freebsd openbsd netbsd android unknown pc
  amd64 amd64v1 x64 x86 64bit 32bit 64 32 bit arm64 arm64v8 aarch64 armv8 386 i386 i586 i686 arm arm32 armv5 armv6 armv6hf armv6l armv7 armv7a
  armv7l armhf armel ppc64 ppc64le ppc64el powerpc64le s390x riscv64 riscv64gc loong64 loongarch64 mips mipsle mips64 mips64le
  gnu gnueabi gnueabihf musl musleabi musleabihf glibc libc msvc mingw all any universal universal2 noarch static dynamic`.split(
    /\s+/,
  ),
);
const PACKAGING_WORDS = new Set(
  `release bin binary binaries dist bundle app cli server client daemon agent full standalone portable checksums checksum sums sum
  sha256 sha256sum sha256sums sha512 sha512sum sha512sums txt`.split(/\s+/),
);
/** How goreleaser writes an architecture's level: amd64_v1, arm64_v8.0, arm_6. */
const LEVEL =
  /(?:(?:amd64|x86[._-]64)[._-]?v[1-4]|x86[._-]64|(?:arm64|aarch64)[._-]?v[89](?:\.\d)?|arm[._-]?v?[5-8])(?![0-9a-z]|\.\d)/g;
/** `x86.64` before a version that a dot follows on, as in `app.x86_64.2.0.0`. */
const X86_64 = /(?<![0-9a-z])x86[._-]64(?![0-9a-z])/g;
/** Systems and libraries with versions of their own: `macos-14`, `windows_2022`, `glibc-2.31`. */
const VERSIONED_SYSTEM =
  '(?:mac|macos|osx|darwin|windows|win|freebsd|openbsd|netbsd|android|glibc|libc|musl)[._+~ -]';
const MIN_NUMBERS_BEHIND_SYSTEM = 3;

/** A file of sums for one file is named after it: `app_1.2.3.tar.gz.sha256`. */
const OF_SUMS = /(?:[._-]sha-?256(?:sums?)?(?:\.txt)?|\.(?:sha|checksum|dgst|digest))$/i;

/**
 * Whether a file's name says that it is this version's, and can be read in no other way: the
 * version stands in it as the release writes it, prerelease included, and whatever else is there is
 * the repository's name or a word for the platform or the packaging. `node-20.1.0` says nothing
 * about version 20.1.0 of `acme/app`; `app_2.0.0-rc.1` is not 2.0.0; the `386` of `app-linux-386`
 * is no version.
 */
export function isVersionOfName(name: string, version: string, repository: string): boolean {
  // Letters and digits of other scripts look like ours, or like nothing: they separate no words.
  if (!/^[ -~]*$/.test(name)) return false;
  const own = repository.slice(repository.lastIndexOf('/') + 1);
  const stem = formatOfName(name.replace(OF_SUMS, '')).stem.toLowerCase();
  const rest = withoutOwnName(stem, own.toLowerCase())
    .replaceAll(LEVEL, ' ')
    .replaceAll(X86_64, ' ');
  const without = rest.replaceAll(formOf(version.toLowerCase()), ' ');
  return without !== rest && wordsOf(without).every(isPlainWord);
}

const isPlainWord = (word: string): boolean =>
  PLATFORM_WORDS.has(word) || PACKAGING_WORDS.has(word);

const wordsOf = (text: string): string[] => text.split(/[^0-9a-z]+/).filter((word) => word !== '');

/**
 * A version as it stands in a name, and not within a longer one (`64.2.0.0`, `2.0.0-386`). What is
 * a platform's word by itself (`386`, `64`), or may be a system's version (`macos-14`), is this one
 * only where a `v` says so.
 */
function formOf(version: string): RegExp {
  const isWord = wordsOf(version).every(isPlainWord);
  const isShort = (version.match(/\d+/g) ?? []).length < MIN_NUMBERS_BEHIND_SYSTEM;
  const bare = `(?<!(?<![0-9a-z])[0-9]+[.+~]${isShort ? `|${VERSIONED_SYSTEM}` : ''})`;
  return new RegExp(
    `(?<![0-9a-z])${isWord ? 'v' : `(?:v|${bare})`}${escaped(version)}(?![0-9a-z]|[.+~-][0-9])`,
    'g',
  );
}

/**
 * The repository's name is taken out once, also where its version follows at once (`app2.0.0`,
 * `appv2.0.0`).
 */
function withoutOwnName(text: string, word: string): string {
  return text.replace(
    new RegExp(`(?<![0-9a-z])${escaped(word)}(?![0-9a-z])|^${escaped(word)}(?=v?\\d+\\.)`),
    ' ',
  );
}

/**
 * Numbers as people write them in versions: `1.0`, `1_0_0`, `v1.0`, `2024-01-05`; behind a letter
 * (`node20.1.0`) they are something else's.
 */
const READS_AS_VERSION = /(?:(?<![0-9a-z.])|v)\d{1,9}(?:[._-]\d{1,9}){1,3}(?![0-9])/;
const PRERELEASE = '[.+~_-]?(?:alpha|beta|rc|pre|dev|nightly|snapshot|canary|next)';

/** Whether numbers in the name read as a version, and none of them as this one. */
export function readsAsAnotherVersion(name: string, version: string): boolean {
  const stem = formatOfName(name).stem.toLowerCase().replaceAll(LEVEL, ' ');
  const own = new RegExp(
    `(?<![\\p{L}\\p{N}.])v?${escaped(version.toLowerCase())}(?![\\p{L}\\p{N}]|\\.\\d|${PRERELEASE})`,
    'u',
  );
  return READS_AS_VERSION.test(stem) && !own.test(stem);
}

/**
 * `version:` or `tag:` of a trusted comment: the holder of the key says which release this is.
 * `assertBound` compares what they say.
 */
export function isVersionOfComment(trustedComment: string): boolean {
  return fieldsOf(trustedComment).some(({ key }) => key === 'version' || key === 'tag');
}

/**
 * Whether the comment names the file that was signed: only then its name is signed too. minisign
 * does so by itself.
 */
export function isNameOfComment(trustedComment: string): boolean {
  return fieldsOf(trustedComment).some(({ key }) => key === 'file');
}

/** The fields that bind a signature, as `key:value` between blanks. */
export function fieldsOf(
  trustedComment: string,
): { key: 'file' | 'version' | 'tag'; value: string }[] {
  return trustedComment.split(/[\t ]+/).flatMap((field) => {
    const [, key, value] = /^(file|version|tag):(.*)$/.exec(field) ?? [];
    return key === undefined || value === undefined
      ? []
      : [{ key: key as 'file' | 'version' | 'tag', value }];
  });
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/**
 * What the name of a release's file says about its format. Pure; the bytes have the last word when
 * it is unpacked.
 */

/**
 * `archive`: a tree. `compressed`: one program or file under a compression of its own. `file`: kept
 * as it is, and started by the operator's command. `unsupported`: an archive that this program
 * can't unpack. `none`: the name has no such ending.
 */
export type AssetFormat = 'archive' | 'compressed' | 'file' | 'unsupported' | 'none';

/**
 * The endings of each kind, without the dot, in the order in which one build in several wrappings
 * is preferred.
 */
const ENDINGS = {
  archive: [
    'tar.gz',
    'tgz',
    'tar.zst',
    'tzst',
    'tar.xz',
    'txz',
    'tar.bz2',
    'tbz2',
    'tbz',
    'tar',
    'zip',
  ],
  compressed: ['gz', 'zst', 'xz', 'bz2'],
  file: ['jar', 'war', 'js', 'mjs', 'cjs', 'phar', 'pyz', 'wasm'],
  unsupported: [
    '7z',
    'rar',
    'tar.lz',
    'tar.lz4',
    'tar.lzma',
    'tar.lzo',
    'tar.br',
    'tar.z',
    'taz',
    'lz',
    'lz4',
    'lzma',
    'br',
    'z',
    'cab',
    'cpio',
  ],
} as const satisfies Partial<Record<AssetFormat, readonly string[]>>;

const ALL = Object.entries(ENDINGS)
  .flatMap(([format, endings]) =>
    endings.map((ending) => ({ format: format as AssetFormat, ending: `.${ending}` })),
  )
  // `.tar.gz` before `.gz`.
  .toSorted((a, b) => b.ending.length - a.ending.length);

/**
 * `stem`: the name without the ending. `ending`: with its dot, in small letters; empty for `none`.
 */
export type NamedFormat = { format: AssetFormat; stem: string; ending: string };

/** `app_linux_amd64.tar.xz` → archive, `app_linux_amd64`, `.tar.xz`. */
export function formatOfName(name: string): NamedFormat {
  const lower = name.toLowerCase();
  const found = ALL.find(({ ending }) => lower.length > ending.length && lower.endsWith(ending));
  if (found === undefined) return { format: 'none', stem: name, ending: '' };
  return { format: found.format, stem: name.slice(0, -found.ending.length), ending: found.ending };
}

/**
 * Among wrappings of one build the first is preferred: what unpacks by itself comes before what
 * needs a tool of the platform.
 */
export function preferenceOf(ending: string): number {
  return [...ENDINGS.archive, ...ENDINGS.compressed].findIndex((other) => `.${other}` === ending);
}

/** Files of sums, as sha256sum(1) and goreleaser write them. Pure. */

/** A sum, two characters, and a name. */
const LONGEST_LINE = 64 + 2 + 255 + 10;

/** Every sum of a file (`<hex>  <name>` or `<hex> *<name>`), or the only sum of a file without names; lower-case hex. More than one is a lie. */
export function sumsFor(text: string, name: string): string[] {
  const lines = text.split('\n').map((line) => line.trimEnd());
  const meant = lines.filter((line) => line !== '' && !line.startsWith('#') && line.length <= LONGEST_LINE);
  const found = meant.flatMap((line) => {
    const [, sum, named] = /^([0-9a-fA-F]{64})[ \t]+[ *]?(?:\.\/)?(\S.*)$/.exec(line) ?? [];
    return sum !== undefined && named === name ? [sum.toLowerCase()] : [];
  });
  if (found.length > 0) return [...new Set(found)];
  const [only] = meant;
  return meant.length === 1 && only !== undefined && /^[0-9a-fA-F]{64}$/.test(only) ? [only.toLowerCase()] : [];
}

/** Files of sums, as sha256sum(1) and goreleaser write them. Pure. */

/** The sum of a file (`<hex>  <name>` or `<hex> *<name>`), or the only sum of a file without names; lower-case hex, null for none. */
export function sumFor(text: string, name: string): string | null {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const found = new Set<string>();
  for (const line of lines) {
    const match = /^([0-9a-fA-F]{64})[ \t]+[ *]?(?:\.\/)?(\S.*?)\s*$/.exec(line);
    if (match?.[2] === name && match[1] !== undefined) found.add(match[1].toLowerCase());
  }
  // Mix-and-match: two different sums for one name say nothing.
  if (found.size > 1) return null;
  const [sum] = found;
  if (sum !== undefined) return sum;
  const [only] = lines;
  return lines.length === 1 && only !== undefined && /^[0-9a-fA-F]{64}$/.test(only.trim()) ? only.trim().toLowerCase() : null;
}

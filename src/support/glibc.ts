/** Versions of glibc, as its symbols name them: `2.34`, `2.2.5`. */

/** Negative where `a` is the older one. */
export function compareGlibc(a: string, b: string): number {
  const [one, other] = [a, b].map((text) => text.split('.').map(Number));
  for (let part = 0; part < 3; part++) {
    const difference = (one?.[part] ?? 0) - (other?.[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

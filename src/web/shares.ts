/**
 * Places that are shared among addresses: connections, event streams, bodies that are being read.
 * One address that takes all of them can't block others: a new connection replaces one of the owner
 * that has most.
 */
import { isIPv6 } from 'node:net';

type Place = { owner: string; leave: () => void; isIdle: () => boolean };

export class Shares {
  readonly #max: number;
  /** Oldest first. */
  readonly #places = new Set<Place>();

  constructor(max: number) {
    this.#max = max;
  }

  get taken(): number {
    return this.#places.size;
  }

  /**
   * Takes a place for `owner`, and returns what gives it back. Where all are taken, the owner of
   * most loses one (the newcomer, where nobody has more): an idle one before one that is at work,
   * the oldest first; `evict` is called for it.
   */
  enter(owner: string, evict: () => void, isIdle: () => boolean = () => true): () => void {
    if (this.#places.size >= this.#max) this.#makeRoom(owner);
    const place = { owner, leave: evict, isIdle };
    this.#places.add(place);
    return () => this.#places.delete(place);
  }

  /** Whether a new one would replace one of its own owner, or of an owner that has no more. */
  isCrowdedBy(owner: string): boolean {
    if (this.#places.size < this.#max) return false;
    const counts = this.#counts();
    return Math.max(...counts.values()) <= (counts.get(owner) ?? 0) + 1;
  }

  #makeRoom(newcomer: string): void {
    const counts = this.#counts();
    counts.set(newcomer, (counts.get(newcomer) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const ofHeaviest = [...this.#places].filter(({ owner }) => counts.get(owner) === most);
    const victim = ofHeaviest.find(({ isIdle }) => isIdle()) ?? ofHeaviest[0];
    if (victim === undefined) return;
    this.#places.delete(victim);
    victim.leave();
  }

  #counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { owner } of this.#places) counts.set(owner, (counts.get(owner) ?? 0) + 1);
    return counts;
  }
}

/**
 * The owner of an address: an IPv4 address, or the /64 of an IPv6 address, since a host controls
 * all of it.
 */
export function ownerOf(address: string | undefined): string {
  if (address === undefined) return 'unknown';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [plain = ''] = address.split('%');
  const [head = '', tail = ''] = plain.split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === '' ? [] : tail.split(':');
  const zeros = plain.includes('::')
    ? Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill('0')
    : [];
  const prefix = [...groups, ...zeros, ...rest]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16));
  return `${prefix.join(':')}::/64`;
}

/** What a user may do with a file, by owner and mode. Access lists (ACLs) are not read. */
import { statSync } from 'node:fs';
import path from 'node:path';

export type User = { uid: number; gid: number };

/**
 * As the kernel decides: the owner's bits are the owner's only ones. `bits`: 4 to read, 2 to write,
 * 1 to search. Throws where there is none.
 */
export function grants(file: string, { uid, gid }: User, bits: number): boolean {
  const { uid: owner, gid: group, mode } = statSync(file);
  if (uid === 0) return true;
  const shift = owner === uid ? 6 : group === gid ? 3 : 0;
  // Its owner can change the mode.
  return owner === uid || ((mode >> shift) & bits) === bits;
}

/** The directories on the way to a file, upwards. */
export function parentsOf(file: string): string[] {
  const parent = path.dirname(file);
  return parent === file ? [] : [parent, ...parentsOf(parent)];
}

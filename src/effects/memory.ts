/** Memory while much is read and written. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Between two looks. */
const MAX_GARBAGE_BYTES = 8 * 1024 * 1024;

let collect: ((options: { type: 'minor' }) => void) | null = null;
let garbageBytes = 0;

/**
 * Pieces of what is downloaded and unpacked are garbage as soon as they are written, and V8, which
 * sees a small object with its bytes elsewhere, lets 60 MB of them pile up. Told so, it takes half
 * a millisecond to free them.
 */
export function tellGarbage(bytes: number): void {
  garbageBytes += bytes;
  if (garbageBytes < MAX_GARBAGE_BYTES) return;
  garbageBytes = 0;
  collect ??= exposed();
  collect({ type: 'minor' });
}

/**
 * V8 shows its collector to contexts that are made after this flag was set (Node.js,
 * "v8.setFlagsFromString", whose example it is).
 */
function exposed(): (options: { type: 'minor' }) => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as (options: { type: 'minor' }) => void;
}

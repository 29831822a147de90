/** Public keys of minisign: https://jedisct1.github.io/minisign/ "Public key format". Pure. */
import { createPublicKey, type KeyObject } from 'node:crypto';

/** `text`: the key as it was written. `id`: as minisign prints it. */
export type MinisignKey = { text: string; id: string; key: KeyObject };

export const KEY_ID_BYTES = 8;
const KEY_BYTES = 32;
/** RFC 8410: what comes before the 32 bytes of an Ed25519 key. */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
/** Standard base64 and nothing else: Node's own decoder passes over what it does not know. */
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * A public key as `minisign -G` prints it: 56 characters, beginning with `RW`. Null for anything
 * else.
 */
export function parseMinisignKey(text: string): MinisignKey | null {
  const bytes = decodeExactly(text, 2 + KEY_ID_BYTES + KEY_BYTES);
  if (bytes === null || bytes.toString('latin1', 0, 2) !== 'Ed') return null;
  const raw = bytes.subarray(2 + KEY_ID_BYTES);
  return {
    text,
    id: keyIdOf(bytes),
    key: createPublicKey({
      key: Buffer.concat([ED25519_SPKI_PREFIX, raw]),
      format: 'der',
      type: 'spki',
    }),
  };
}

/** The bytes of standard base64 that holds `length` of them. Null for anything else. */
export function decodeExactly(text: string | undefined, length: number): Buffer | null {
  if (text === undefined || !BASE64.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  // One encoding for one signature.
  return bytes.length === length && bytes.toString('base64') === text ? bytes : null;
}

/** Of a key or a signature, as minisign prints it. */
export function keyIdOf(bytes: Buffer): string {
  return Buffer.from(bytes.subarray(2, 2 + KEY_ID_BYTES))
    .reverse()
    .toString('hex')
    .toUpperCase();
}

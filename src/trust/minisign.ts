/**
 * minisign signatures. Pure: Ed25519 (RFC 8032) over BLAKE2b-512, both by `node:crypto`. The format is that of
 * https://jedisct1.github.io/minisign/ "Signature format" and "Public key format".
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { Fault } from '../support/fault.ts';
import { fieldsOf } from './binding.ts';

export type MinisignKey = { id: string; key: KeyObject };
/** What was signed, by its name and its BLAKE2b-512. */
export type Signed = { name: string; blake2b512: Buffer };

/** A signature file is four lines; a trusted comment may be long. */
const MOST_SIGNATURE_LENGTH = 16 * 1024;
const ID_BYTES = 8;
const SIGNATURE_BYTES = 64;
/** RFC 8410: what comes before the 32 bytes of an Ed25519 key. */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
/** Standard base64 and nothing else: Node's own decoder passes over what it does not know. */
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** A public key as `minisign -G` prints it: 56 characters, beginning with `RW`. Null for anything else. */
export function parseMinisignKey(text: string): MinisignKey | null {
  const bytes = decode(text.trim(), 2 + ID_BYTES + 32);
  if (bytes === null || bytes.toString('latin1', 0, 2) !== 'Ed') return null;
  const raw = bytes.subarray(2 + ID_BYTES);
  return { id: idOf(bytes), key: createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, raw]), format: 'der', type: 'spki' }) };
}

/** Which key signed, and what the trusted comment says. Throws `Fault` `SIGNATURE_INVALID`. */
export function verifyMinisign(text: string, signed: Signed, keys: readonly MinisignKey[]): { keyId: string; trustedComment: string } {
  const { algorithm, keyId, signature, trustedComment, globalSignature } = parseSignature(text, signed.name);
  // Arbitrary installation: only the operator's keys count.
  const known = keys.find(({ id }) => id === keyId);
  if (known === undefined)
    throw invalid(signed.name, `was made with key ${keyId}, which is none of UPDATE_MINISIGN_KEYS (${keys.map(({ id }) => id).join(', ')})`);
  // The old algorithm signs the file itself, which would have to be held in memory whole.
  if (algorithm === 'Ed') throw invalid(signed.name, 'is of the old kind (not prehashed): sign with minisign 0.10 or newer, and without -l');
  if (algorithm !== 'ED') throw invalid(signed.name, `has the unknown algorithm ${JSON.stringify(algorithm)}`);
  if (!verify(null, signed.blake2b512, known.key, signature))
    throw invalid(signed.name, 'does not fit the file: it was changed, or the signature is for another one');
  // The comment is trusted only because this signature covers it, together with the first one.
  if (!verify(null, Buffer.concat([signature, Buffer.from(trustedComment)]), known.key, globalSignature))
    throw invalid(signed.name, 'has a trusted comment that was changed');
  return { keyId, trustedComment };
}

/**
 * Wrong software: what the trusted comment says of name and version must be this very file and release. minisign writes
 * `file:<name>` by itself. Throws `Fault` `SIGNATURE_INVALID`.
 */
export function assertBound(trustedComment: string, { name, version, tag }: { name: string; version: string; tag: string }): void {
  for (const { key, value } of fieldsOf(trustedComment)) {
    if (key === 'file' && value !== name) throw invalid(name, `is for ${value}, and not for ${name}`);
    if (key !== 'file' && value.replace(/^v(?=\d)/, '') !== version && value !== tag) throw invalid(name, `is for version ${value}, and not for ${version}`);
  }
}

type Parsed = { algorithm: string; keyId: string; signature: Buffer; trustedComment: string; globalSignature: Buffer };

function parseSignature(text: string, name: string): Parsed {
  const lines = text.length > MOST_SIGNATURE_LENGTH ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/);
  const [untrusted, first, trusted, second, ...rest] = lines;
  const bytes = decode(first, 2 + ID_BYTES + SIGNATURE_BYTES);
  const globalSignature = decode(second, SIGNATURE_BYTES);
  const comment = /^trusted comment: (.*)$/.exec(trusted ?? '')?.[1];
  if (!untrusted?.startsWith('untrusted comment: ') || bytes === null || globalSignature === null || comment === undefined || rest.length > 0)
    throw invalid(name, 'is no minisign signature');
  return { algorithm: bytes.toString('latin1', 0, 2), keyId: idOf(bytes), signature: bytes.subarray(2 + ID_BYTES), trustedComment: comment, globalSignature };
}

function decode(text: string | undefined, length: number): Buffer | null {
  if (text === undefined || !BASE64.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  // One encoding for one signature.
  return bytes.length === length && bytes.toString('base64') === text ? bytes : null;
}

/** As minisign prints it. */
function idOf(bytes: Buffer): string {
  return Buffer.from(bytes.subarray(2, 2 + ID_BYTES))
    .reverse()
    .toString('hex')
    .toUpperCase();
}

function invalid(name: string, what: string): Fault {
  return new Fault('SIGNATURE_INVALID', `the minisign signature of ${name} ${what}. It is not installed; if the key was changed, set UPDATE_MINISIGN_KEYS`);
}

/**
 * minisign signatures. Pure: Ed25519 (RFC 8032) over BLAKE2b-512, both by `node:crypto`. The format
 * is that of https://jedisct1.github.io/minisign/ "Signature format".
 */
import { verify } from 'node:crypto';
import { Fault } from '../support/fault.ts';
import { decodeExactly, KEY_ID_BYTES, keyIdOf, type MinisignKey } from '../support/minisign-key.ts';
import { fieldsOf } from './binding.ts';

/** What was signed, by its name and its BLAKE2b-512. */
export type Signed = { name: string; blake2b512: Buffer };

/** A signature file is four lines; a trusted comment may be long. */
const MAX_SIGNATURE_LENGTH = 16 * 1024;
const SIGNATURE_BYTES = 64;

/** Which key signed, and what the trusted comment says. Throws `Fault` `SIGNATURE_INVALID`. */
export function verifyMinisign(
  text: string,
  signed: Signed,
  keys: readonly MinisignKey[],
): { keyId: string; trustedComment: string } {
  const { algorithm, keyId, signature, trustedComment, globalSignature } = parseSignature(
    text,
    signed.name,
  );
  // Arbitrary installation: only the operator's keys count.
  const known = keys.find(({ id }) => id === keyId);
  if (known === undefined)
    throw invalid(
      signed.name,
      `was made with key ${keyId}, which is not among UPDATE_MINISIGN_KEYS (${keys.map(({ id }) => id).join(', ')})`,
    );
  // The old algorithm signs the file itself, which would have to be held in memory whole.
  if (algorithm === 'Ed')
    throw invalid(
      signed.name,
      'is in the legacy format (not prehashed): sign with minisign 0.10 or newer, and without -l',
    );
  if (algorithm !== 'ED')
    throw invalid(signed.name, `has the unknown algorithm ${JSON.stringify(algorithm)}`);
  if (!verify(null, signed.blake2b512, known.key, signature))
    throw invalid(
      signed.name,
      'does not match the file: it was changed, or the signature is for another one',
    );
  // The comment is trusted only because this signature covers it, together with the first one.
  if (
    !verify(
      null,
      Buffer.concat([signature, Buffer.from(trustedComment)]),
      known.key,
      globalSignature,
    )
  )
    throw invalid(signed.name, 'has a modified trusted comment');
  return { keyId, trustedComment };
}

/**
 * Wrong software: what the trusted comment says of name and version must be this very file and
 * release. minisign writes `file:<name>` by itself. Throws `Fault` `SIGNATURE_INVALID`.
 */
export function assertBound(
  trustedComment: string,
  { name, version, tag }: { name: string; version: string; tag: string },
): void {
  for (const { key, value } of fieldsOf(trustedComment)) {
    if (key === 'file' && value !== name)
      throw invalid(name, `is for ${value}, and not for ${name}`);
    if (key !== 'file' && value.replace(/^v(?=\d)/, '') !== version && value !== tag)
      throw invalid(name, `is for version ${value}, and not for ${version}`);
  }
}

type Parsed = {
  algorithm: string;
  keyId: string;
  signature: Buffer;
  trustedComment: string;
  globalSignature: Buffer;
};

function parseSignature(text: string, name: string): Parsed {
  const lines = text.length > MAX_SIGNATURE_LENGTH ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/);
  const [untrusted, first, trusted, second, ...rest] = lines;
  const bytes = decodeExactly(first, 2 + KEY_ID_BYTES + SIGNATURE_BYTES);
  const globalSignature = decodeExactly(second, SIGNATURE_BYTES);
  const comment = /^trusted comment: (.*)$/.exec(trusted ?? '')?.[1];
  if (
    !untrusted?.startsWith('untrusted comment: ') ||
    bytes === null ||
    globalSignature === null ||
    comment === undefined ||
    rest.length > 0
  )
    throw invalid(name, 'is not a minisign signature');
  return {
    algorithm: bytes.toString('latin1', 0, 2),
    keyId: keyIdOf(bytes),
    signature: bytes.subarray(2 + KEY_ID_BYTES),
    trustedComment: comment,
    globalSignature,
  };
}

function invalid(name: string, what: string): Fault {
  return new Fault(
    'SIGNATURE_INVALID',
    `the minisign signature of ${name} ${what}. It is not installed; if the key was changed, set UPDATE_MINISIGN_KEYS`,
  );
}

/**
 * What a download is checked against, and the digest that stands for it: a tree that other rules
 * let in is looked at anew.
 */
import { createHash } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { MAX_ROOT_BYTES } from '../config/settings.ts';
import type { TrustOptions } from '../effects/verify.ts';
import { readBounded } from '../support/bounded.ts';

export function trustOf({ trust }: Config): TrustOptions {
  return {
    ...trust,
    attestation:
      trust.attestation === null
        ? null
        : {
            ...trust.attestation,
            trustedRoot: () => trustedRoot(trust.attestation?.rootFile ?? null),
          },
  };
}

async function trustedRoot(file: string | null): Promise<unknown> {
  return file === null
    ? (await import('../trust/roots.ts')).PUBLIC_GOOD_ROOT
    : JSON.parse(readRoot(file));
}

/**
 * Stands for everything that a download is checked against: conditions, keys, identity, trust root.
 */
export function rulesOf({
  conditions,
  minisignKeys,
  minisignBinding,
  attestation,
}: Config['trust']): string {
  // Without binding a tree may be of any version that was ever signed: it counts only while that is
  // asked for.
  const keys = conditions.includes('minisign')
    ? [...minisignKeys.map(({ text }) => text).sort(), `binding:${minisignBinding}`]
    : [];
  const identity =
    conditions.includes('attestation') && attestation !== null ? identityOf(attestation) : [];
  return createHash('sha256')
    .update(JSON.stringify([conditions, keys, identity]))
    .digest('hex')
    .slice(0, 32);
}

function identityOf({
  identity,
  issuer,
  instance,
  rootFile,
}: NonNullable<Config['trust']['attestation']>): unknown[] {
  return [identity, issuer, instance, rootFile === null ? null : readRoot(rootFile)];
}

function readRoot(file: string): string {
  return readBounded(file, MAX_ROOT_BYTES).toString('utf8');
}

/**
 * `verify`: the downloaded bytes against everything that was asked for. All of it must hold, or
 * nothing is unpacked.
 */
import { rm, stat } from 'node:fs/promises';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { Asset, Release, VerifyCondition } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import type { MinisignKey } from '../support/minisign-key.ts';
import type { AttestationRules } from '../trust/attestation.ts';
import {
  type Evidence,
  isUrgencyVerified,
  judge,
  type MinisignBinding,
  type Rules,
} from '../trust/judge.ts';
import { gatherEvidence } from './evidence.ts';
import { assertSealed, type Sealed } from './seal.ts';
import type { AssetSource, EvidenceSource } from './sources/source.ts';

/** What the bytes, and not the network, are to blame for. */
const ABOUT_THE_BYTES = new Set([
  'LENGTH_MISMATCH',
  'DIGEST_MISMATCH',
  'SIGNATURE_INVALID',
  'SIGNATURE_MISSING',
  'ATTESTATION_INVALID',
  'ATTESTATION_MISSING',
]);

export type TrustOptions = {
  /** Empty: nothing is checked. */
  conditions: readonly VerifyCondition[];
  minisignKeys: readonly MinisignKey[];
  minisignBinding: MinisignBinding;
  attestation: {
    /** A `*` stands for the release's tag. */
    identity: string;
    issuer: string;
    instance: AttestationRules['instance'];
    /** Loads the trusted root. */
    trustedRoot: () => Promise<unknown>;
  } | null;
};

export type VerifyDependencies = {
  source: AssetSource & EvidenceSource;
  trust: TrustOptions;
  sealed: Sealed;
};

export async function verify(
  { release, path, sha256, repositoryId }: EffectInputs['verify'],
  signal: AbortSignal,
  deps: VerifyDependencies,
): Promise<Fact> {
  await assertSealed(path, sha256, deps.sealed);
  // The operator named the file: these are the bytes that were meant.
  if (release.origin !== 'github') {
    if (release.asset.digest !== sha256)
      throw new Fault(
        'DIGEST_MISMATCH',
        `${release.asset.name} was changed after it was named: name it again`,
      );
    return { type: 'verified', checks: ['file'] };
  }
  if (deps.trust.conditions.length === 0) return { type: 'verified', checks: [] };
  const id = await knownRepository(release.repository, repositoryId, signal, deps.source);
  try {
    const { evidence, rules } = await gather(release, { path, sha256 }, id, signal, deps);
    const checks = judge(release, evidence, rules);
    return {
      type: 'verified',
      checks,
      repositoryId: id,
      urgent: isUrgencyVerified(release, evidence, rules),
    };
  } catch (error) {
    // It may have come from the wire: unless GitHub's own digest says that these are the bytes, the
    // next try starts from nothing.
    if (
      error instanceof Fault &&
      ABOUT_THE_BYTES.has(error.code) &&
      release.asset.digest !== sha256
    )
      await rm(path, { force: true });
    throw error;
  }
}

/** What there is to judge, and the rules to judge it by. */
export async function gather(
  release: Release,
  { path, sha256 }: { path: string; sha256: string },
  repositoryId: number | null,
  signal: AbortSignal,
  /** `readLocal`: for sums and signatures that lie beside a file. */
  deps: Omit<VerifyDependencies, 'sealed'> & {
    readLocal?: (asset: Asset, mostBytes: number) => Promise<Buffer>;
  },
): Promise<{ evidence: Evidence; rules: Rules }> {
  const { conditions, minisignKeys, minisignBinding } = deps.trust;
  const wanted = {
    digest: conditions.includes('digest'),
    minisign: conditions.includes('minisign'),
    attestation: conditions.includes('attestation'),
  };
  const evidence = await gatherEvidence(
    release,
    { path, sha256, sizeBytes: (await stat(path)).size },
    wanted,
    signal,
    deps,
  );
  const rules = {
    conditions,
    minisignKeys,
    minisignBinding,
    ...(await attestationRules(release, repositoryId, deps.trust)),
  };
  return { evidence, rules };
}

async function attestationRules(
  { repository, tag }: Release,
  repositoryId: number | null,
  { conditions, attestation }: TrustOptions,
) {
  if (!conditions.includes('attestation') || attestation === null)
    return { verifyAttestation: null, attestation: null };
  // A megabyte of certificates and logs, which nobody else needs in memory.
  const { verifyAttestation } = await import('../trust/attestation.ts');
  const { issuer, instance } = attestation;
  // The tag and nothing else: an attestation of another release is for another identity.
  const identity = attestation.identity.replaceAll('*', () => tag);
  const sourceRepository = `${new URL(identity).origin}/${repository}`;
  return {
    verifyAttestation,
    attestation: {
      identity,
      issuer,
      sourceRepository,
      repositoryId,
      trustedRoot: await attestation.trustedRoot(),
      instance,
    },
  };
}

/**
 * Wrong software: a name that was given up and taken by somebody else is another repository, and
 * only its id tells. Returns the id; null where the server has no word for it.
 */
async function knownRepository(
  repository: string,
  expected: number | null,
  signal: AbortSignal,
  source: EvidenceSource,
): Promise<number | null> {
  // Moved here by configuration, which is the operator's word: the number stays known for the way
  // back.
  if (source.repositoryId === null) return null;
  const id = await source.repositoryId(signal).catch((error: unknown) => {
    signal.throwIfAborted();
    if (expected !== null) throw error;
    return null;
  });
  if (expected !== null && id !== expected)
    throw new Fault(
      'REPOSITORY_REPLACED',
      `${repository} is a different repository than before (its id was ${expected} and is ${id ?? 'not told'}): the name may have been taken over. If it is yours, \`self-update install <tag>\` accepts it`,
    );
  return id;
}

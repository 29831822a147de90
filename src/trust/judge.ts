/**
 * Decides whether downloaded bytes may be unpacked. No I/O: `Evidence` was gathered by
 * effects/evidence.ts.
 *
 * Who can make bytes pass, and with what:
 *
 *   party             holds                                            can
 *   operator          the settings (`Rules`), `install FILE`           choose the conditions, or
 *   turn them off
 *   maintainers       the right to publish a release                   under `digest` alone:
 *   publish any bytes
 *   GitHub            the TLS keys of its API and asset hosts          under `digest` alone:
 *   replace them
 *   signer            the minisign secret key, of `minisignKeys`       say which bytes are which
 *   version
 *   release workflow  the OIDC identity that `attestation` names       say what it built, from
 *   which tag
 *   Sigstore          the trust root (trust/roots/, or the operator's) confirm that identity
 *   network, proxy    nothing                                          delay, never change
 *
 * All rules that apply must hold, and missing evidence is a refusal. Each rule below names the
 * attack that it stops. docs/security.md is the same for users, with what is not promised.
 */
import type { Release, VerifyCondition } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import type { MinisignKey } from '../support/minisign-key.ts';
import type { AttestationRules, Subject } from './attestation.ts';
import {
  isNameOfComment,
  isVersionOfComment,
  isVersionOfName,
  readsAsAnotherVersion,
} from './binding.ts';
import { assertBound, type Signed, verifyMinisign } from './minisign.ts';
import { sumsFor } from './sums.ts';

export type Rules = {
  /** Empty: whatever is downloaded is installed. */
  conditions: readonly VerifyCondition[];
  minisignKeys: readonly MinisignKey[];
  /**
   * `version`: what is signed has to say which release it is of. `none`: signed bytes of any
   * release are taken.
   */
  minisignBinding: MinisignBinding;
  /**
   * Checks one bundle against the operator's identity; loaded only where it is asked for. Throws
   * `Fault`.
   */
  verifyAttestation:
    | ((
        json: unknown,
        subjects: readonly [Subject, ...Subject[]],
        rules: AttestationRules,
      ) => { identity: string; subject: Subject })
    | null;
  attestation: AttestationRules | null;
};

export type MinisignBinding = 'version' | 'none';

/**
 * Over what a signature or an attestation is: the asset itself, or the file of sums that lists it.
 */
export type Over = 'asset' | 'sums';
export type Evidence = {
  sizeBytes: number;
  sha256: string;
  blake2b512: Buffer;
  sums: { name: string; text: string; sha256: string; blake2b512: Buffer } | null;
  minisigs: readonly { over: Over; text: string }[];
  bundles: readonly { over: Over; from: string; json: unknown }[];
  /** What names the asset, or the file of sums, by digest: their source made sure of its own. */
  manifests: readonly Manifest[];
};
/** A registry's, of a release: what is attested there (`push-to-registry` of GitHub's action). */
export type Manifest = Subject & { files: readonly Subject[] };

/** The name of a list that is no file's own. */
const ANY_LIST = 'checksums.txt';

/** `text` says what was compared; null where a rule does not apply. */
type Rule = {
  name: string;
  check: (release: Release, evidence: Evidence, rules: Rules) => string | null;
};
export type Finding = { rule: string; ok: boolean; code: string | null; text: string };

const RULES: readonly Rule[] = [
  { name: 'size', check: checkSize },
  { name: 'digest', check: checkDigest },
  { name: 'checksums', check: checkSums },
  { name: 'digest required', check: requireDigest },
  { name: 'name', check: checkName },
  { name: 'minisign', check: checkMinisign },
  { name: 'attestation', check: checkAttestation },
];

/** The names of the rules that held. Throws the `Fault` of the first that did not. */
export function judge(release: Release, evidence: Evidence, rules: Rules): string[] {
  if (rules.conditions.length === 0) return [];
  const held = RULES.filter(({ check }) => check(release, evidence, rules) !== null).map(
    ({ name }) => name,
  );
  return held.filter(
    (name) =>
      name === 'digest' || name === 'checksums' || name === 'minisign' || name === 'attestation',
  );
}

/** Every rule's finding, also after one that did not hold: for people. */
export function explain(release: Release, evidence: Evidence, rules: Rules): Finding[] {
  if (rules.conditions.length === 0)
    return [
      {
        rule: 'none',
        ok: true,
        code: null,
        text: 'UPDATE_VERIFY=none: nothing is checked, and whatever is downloaded is installed',
      },
    ];
  return RULES.flatMap(({ name, check }): Finding[] => {
    try {
      const text = check(release, evidence, rules);
      return text === null ? [] : [{ rule: name, ok: true, code: null, text }];
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return [{ rule: name, ok: false, code: error.code, text: error.message }];
    }
  });
}

/** Endless data, truncation: what came is as long as announced. */
function checkSize({ asset, tag, origin }: Release, { sizeBytes }: Evidence): string | null {
  if (origin !== 'github') return null;
  if (sizeBytes !== asset.sizeBytes)
    throw new Fault(
      'LENGTH_MISMATCH',
      `${asset.name} of ${tag} has ${sizeBytes} bytes, and ${asset.sizeBytes} were announced: it was cut off, or replaced meanwhile`,
    );
  return `${sizeBytes} bytes, as announced`;
}

/** Mix-and-match: the bytes are those of the very answer that named the release. */
function checkDigest({ asset, tag }: Release, { sha256 }: Evidence): string | null {
  if (asset.digest === null) return null;
  if (asset.digest !== sha256) throw mismatch(asset.name, tag, sha256, 'its source', asset.digest);
  return `sha256 ${sha256}, as the source of the release says`;
}

/** Where there are two sums, they must agree. */
function checkSums({ asset, checksums, tag }: Release, { sha256, sums }: Evidence): string | null {
  if (sums === null) return null;
  if (checksums?.digest != null && checksums.digest !== sums.sha256)
    throw mismatch(sums.name, tag, sums.sha256, 'its source', checksums.digest);
  const listed = sumsFor(sums.text, asset.name, sums.name);
  if (listed.length === 0) return null;
  // Two different ones for one name can't both be right.
  const wrong = listed.find((sum) => sum !== sha256);
  if (wrong !== undefined) throw mismatch(asset.name, tag, sha256, sums.name, wrong);
  return `sha256 ${sha256}, as ${sums.name} says`;
}

/** Fail closed: no digest to be had under `digest` is a refusal. */
function requireDigest(
  { asset, tag }: Release,
  { sums }: Evidence,
  { conditions }: Rules,
): string | null {
  if (
    !conditions.includes('digest') ||
    asset.digest !== null ||
    (sums !== null && sumsFor(sums.text, asset.name, sums.name).length > 0)
  )
    return null;
  throw new Fault(
    'DIGEST_MISSING',
    sums === null
      ? `${tag} offers no digest for ${asset.name}: upload the asset again, add a checksums.txt, or set UPDATE_VERIFY=none`
      : `${sums.name} of ${tag} does not list ${asset.name}, so it can't be verified: publish its sum, or set UPDATE_VERIFY=none`,
  );
}

/**
 * Rollback: an attestation whose identity has no `*` is one of any release. A name that carries a
 * version carries this one. Under minisign the signature itself is bound, more strictly.
 */
function checkName(
  { asset, version, tag }: Release,
  _: Evidence,
  { conditions }: Rules,
): string | null {
  if (
    !conditions.includes('attestation') ||
    conditions.includes('minisign') ||
    !readsAsAnotherVersion(asset.name, version)
  )
    return null;
  throw new Fault(
    'VERSION_MISMATCH',
    `${asset.name} of ${tag} is named after a version other than ${version}: attested bytes of another release are not installed under this one`,
  );
}

function checkMinisign(
  release: Release,
  { sha256, blake2b512, sums, minisigs }: Evidence,
  rules: Rules,
): string | null {
  const { asset, tag } = release;
  if (!rules.conditions.includes('minisign')) return null;
  if (isVouchedByIndex(release, sha256, rules))
    return `listed with its sum and its tag in releases.json, which is signed with key ${release.indexKey}`;
  const own = minisigs.find(({ over }) => over === 'asset');
  if (own) {
    const { keyId, trustedComment, bound } = checkSignature(
      own.text,
      { name: asset.name, blake2b512 },
      [],
      release,
      rules,
    );
    return `signed with key ${keyId}; ${trustedComment}; ${bound}`;
  }
  const shared = minisigs.find(({ over }) => over === 'sums');
  if (!shared || sums === null || !sumsFor(sums.text, asset.name, sums.name).includes(sha256))
    throw new Fault(
      'SIGNATURE_MISSING',
      `${tag} has no minisign signature of ${asset.name}, nor of a checksums file that lists it: publish ${asset.name}.minisig`,
    );
  const { keyId, trustedComment, bound } = checkSignature(
    shared.text,
    sums,
    namesIn(sums.text, asset.name),
    release,
    rules,
  );
  return `listed in ${sums.name}, which is signed with key ${keyId}; ${trustedComment}; ${bound}`;
}

/**
 * A signed list of releases says which bytes are which release, and is verified where it is read.
 * Revoked key: one that is no longer the operator's vouches no more for what was found earlier.
 */
function isVouchedByIndex(
  { indexKey, asset }: Release,
  sha256: string,
  { minisignKeys }: Rules,
): boolean {
  return (
    indexKey !== undefined &&
    asset.digest === sha256 &&
    minisignKeys.some(({ id }) => id === indexKey)
  );
}

/**
 * A list of sums signs the names that it lists, however it is written. A sum without a name says
 * nothing about one.
 */
function namesIn(sums: string, name: string): string[] {
  return sumsFor(sums, name, ANY_LIST).length > 0 ? [name] : [];
}

/**
 * Rollback: signed bytes of an old release are signed for ever. So what is signed says which
 * version it is, by the trusted comment or by a name that the signature covers: that of the file
 * itself where the comment has it, and `listed` ones.
 */
function checkSignature(
  text: string,
  signed: Signed,
  listed: readonly string[],
  { version, tag, repository }: Release,
  rules: Rules,
) {
  const { keyId, trustedComment } = verifyMinisign(text, signed, rules.minisignKeys);
  assertBound(trustedComment, { name: signed.name, version, tag });
  const found = (bound: string) => ({ keyId, trustedComment, bound });
  if (isVersionOfComment(trustedComment)) return found(`bound to ${version} by this comment`);
  const names = [...(isNameOfComment(trustedComment) ? [signed.name] : []), ...listed];
  const name = names.find((one) => isVersionOfName(one, version, repository));
  if (name !== undefined) return found(`bound to ${version} by the name ${name}`);
  if (rules.minisignBinding === 'none')
    return found('NOT bound to a version (UPDATE_MINISIGN_BINDING=none)');
  throw new Fault(
    'VERSION_UNBOUND',
    `the minisign signature of ${signed.name} does not say that it is for ${tag}, so it may be of an older release. Sign with -t 'file:${signed.name} tag:${tag}', or set UPDATE_MINISIGN_BINDING=none`,
  );
}

/**
 * Several may be there (of other kinds, of older builds): one that holds is enough, and it has to
 * be about these bytes.
 */
function checkAttestation(
  { asset, tag }: Release,
  { sha256, sums, bundles, manifests }: Evidence,
  { conditions, verifyAttestation, attestation }: Rules,
): string | null {
  if (!conditions.includes('attestation')) return null;
  if (verifyAttestation === null || attestation === null)
    throw new Error('invariant: an attestation is checked by rules');
  const listed = sums !== null && sumsFor(sums.text, asset.name, sums.name).includes(sha256);
  let failure: unknown = null;
  for (const { over, from, json } of bundles) {
    if (over === 'sums' && !listed) continue;
    try {
      const bytes = over === 'sums' && sums !== null ? sums : { sha256, name: asset.name };
      const { identity, subject } = verifyAttestation(
        json,
        [bytes, ...naming(bytes, manifests)],
        attestation,
      );
      const list =
        subject === bytes
          ? over === 'sums'
            ? sums?.name
            : null
          : `the manifest of ${subject.name}`;
      return `${list ? `listed in ${list}, which was ` : ''}built by ${identity}, as ${from} says`;
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure instanceof Fault)
    throw new Fault(failure.code, `${asset.name} of ${tag} is not installed: ${failure.message}`);
  if (failure !== null) throw failure;
  throw new Fault(
    'ATTESTATION_MISSING',
    `${tag} has no attestation of ${asset.name}, at the source or beside it: is it built by a workflow that attests, and may the token read it (Attestations: read)?`,
  );
}

/**
 * Mix-and-match: bytes that a manifest lists under this very name, and not as another file. Of two
 * files under one name nobody can tell which is meant.
 */
function naming({ sha256, name }: Subject, manifests: readonly Manifest[]): Manifest[] {
  return manifests.filter(({ files }) => {
    const called = files.filter((file) => file.name === name);
    return called.length > 0 && called.every((file) => file.sha256 === sha256);
  });
}

function mismatch(
  name: string,
  tag: string,
  sha256: string,
  source: string,
  expected: string,
): Fault {
  return new Fault(
    'DIGEST_MISMATCH',
    `${name} of ${tag} has sha256 ${sha256}, and ${source} says ${expected}: the asset was damaged in transit, replaced, or tampered with`,
  );
}

/**
 * A release may say that it can't wait only as verifiably as the rest: where signatures are asked
 * for, sums that are signed list the marker.
 */
export function isUrgencyVerified(
  release: Release,
  { sha256, sums, minisigs, bundles, manifests }: Evidence,
  rules: Rules,
): boolean {
  const { urgent, asset } = release;
  const { conditions, verifyAttestation, attestation } = rules;
  if (!urgent || (!conditions.includes('minisign') && !conditions.includes('attestation')))
    return urgent;
  if (!conditions.includes('attestation') && isVouchedByIndex(release, sha256, rules)) return true;
  if (sums === null || !/^[0-9a-f]{64}[ \t]+[ *]?urgent(?:\.[a-z]{1,8})?\s*$/im.test(sums.text))
    return false;
  const holds = (check: () => void): boolean => {
    try {
      check();
      return true;
    } catch {
      return false;
    }
  };
  const isSigned = minisigs.some(
    ({ over, text }) =>
      over === 'sums' &&
      holds(() => checkSignature(text, sums, namesIn(sums.text, asset.name), release, rules)),
  );
  // Replay: an attested file of sums may be another release's, unless it lists these bytes.
  const isListed = sumsFor(sums.text, asset.name, sums.name).includes(sha256);
  const isAttested = bundles.some(
    ({ over, json }) =>
      over === 'sums' &&
      isListed &&
      holds(
        () =>
          attestation !== null &&
          verifyAttestation?.(json, [sums, ...naming(sums, manifests)], attestation),
      ),
  );
  return (
    (!conditions.includes('minisign') || isSigned) &&
    (!conditions.includes('attestation') || isAttested)
  );
}

/**
 * Sigstore attestations: a bundle of https://docs.sigstore.dev/about/bundle/ with an in-toto
 * statement in a DSSE envelope, as GitHub's `actions/attest-build-provenance` makes it. Pure: no
 * clock, no network; the trust root is given.
 */
import type { Signer } from '@sigstore/verify';
import * as z from 'zod';
import { Fault } from '../support/fault.ts';
import {
  bundleFromJSON,
  isBundleWithDsseEnvelope,
  TrustedRoot,
  toSignedEntity,
  toTrustMaterial,
  Verifier,
} from './sigstore.ts';

export type AttestationRules = {
  /**
   * The workflow, exactly:
   * `https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.2.3`.
   */
  identity: string;
  /**
   * Who vouched for the workflow's identity: GitHub Actions' address, or an Enterprise server's.
   */
  issuer: string;
  /** `https://github.com/acme/app`. */
  sourceRepository: string;
  /** GitHub's numeric id; null while it is not known. */
  repositoryId: number | null;
  /** A trusted root as JSON, see https://github.com/sigstore/protobuf-specs `TrustedRoot`. */
  trustedRoot: unknown;
  /**
   * `public-good`: a certificate log and a transparency log vouch for the moment; `github`:
   * GitHub's own time stamps do.
   */
  instance: 'public-good' | 'github';
};

/** What is vouched for. */
export const PREDICATE_TYPES: readonly string[] = [
  'https://slsa.dev/provenance/v1',
  'https://slsa.dev/provenance/v0.2',
];
const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
const THRESHOLDS = {
  'public-good': { ctlogThreshold: 1, tlogThreshold: 1, timestampThreshold: 1 },
  github: { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 1 },
} as const;
/** https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md */
const FULCIO = '1.3.6.1.4.1.57264.1';
const SOURCE_REPOSITORY_URI = `${FULCIO}.12`;
const SOURCE_REPOSITORY_ID = `${FULCIO}.15`;

const statementSchema = z.object({
  _type: z.enum(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1']),
  subject: z
    .array(z.object({ name: z.string().optional(), digest: z.record(z.string(), z.string()) }))
    .max(1024),
  predicateType: z.string(),
});

/**
 * What it may be about: a file, or what lists it, by its lower-case hex sha256, and the end of its
 * name, whole parts between slashes (`owner/app` for `ghcr.io/owner/app`).
 */
export type Subject = { sha256: string; name: string };

/**
 * The identity that signed, and which of the subjects it is about. Throws `Fault`
 * `ATTESTATION_INVALID` with what is wrong.
 */
export function verifyAttestation(
  json: unknown,
  subjects: readonly [Subject, ...Subject[]],
  rules: AttestationRules,
): { identity: string; subject: Subject } {
  const bundle = attempt(() => bundleFromJSON(json), 'is no Sigstore bundle');
  // A bare signature over bytes says nothing about where they were built.
  if (!isBundleWithDsseEnvelope(bundle)) throw invalid('is a signature, not an attestation');
  const { payload, payloadType, signatures } = bundle.content.dsseEnvelope;
  if (payloadType !== PAYLOAD_TYPE || signatures.length !== 1)
    throw invalid('is not an in-toto statement with one signature');
  // Arbitrary installation: the root is the operator's choice, never the bundle's.
  const material = attempt(
    () => toTrustMaterial(TrustedRoot.fromJSON(rules.trustedRoot)),
    "can't be checked: the trust root is damaged",
  );
  const verifier = new Verifier(material, THRESHOLDS[rules.instance]);
  const signer = attempt(() => verifier.verify(toSignedEntity(bundle)), 'does not hold');
  assertIdentity(signer.identity, rules);
  const statement = attempt(
    () => statementSchema.parse(JSON.parse(payload.toString('utf8'))),
    'is not an in-toto statement',
  );
  if (!PREDICATE_TYPES.includes(statement.predicateType))
    throw invalid(`is not about how it was built (${statement.predicateType})`);
  // The library does not look at what an envelope is about: this is what binds it to these bytes.
  const about = subjects.flatMap((wanted) =>
    statement.subject
      .filter(({ digest }) => digest['sha256'] === wanted.sha256)
      .map(({ name }) => ({ wanted, name })),
  );
  const [first] = about;
  if (first === undefined) throw invalid(`is about other bytes than sha256 ${subjects[0].sha256}`);
  // Wrong software: another output of the same build, under this name.
  const found = about.find(({ name, wanted }) => isCalled(name, wanted.name));
  if (found === undefined)
    throw invalid(
      `is about ${first.name ?? 'something without a name'}, and not about ${first.wanted.name}`,
    );
  return { identity: signer.identity?.subjectAlternativeName ?? '', subject: found.wanted };
}

/** Whole parts: `ghcr.io/evil-acme/app` is not `acme/app`. */
function isCalled(name: string | undefined, wanted: string): boolean {
  return `/${name ?? ''}`.endsWith(`/${wanted}`);
}

/** Wrong software: whole strings, since `acme/ap` is a prefix of `acme/app`. */
function assertIdentity(identity: Signer['identity'], rules: AttestationRules): void {
  const { subjectAlternativeName = 'nobody', extensions, oids = [] } = identity ?? {};
  if (subjectAlternativeName !== rules.identity)
    throw invalid(`was made by ${subjectAlternativeName}, and not by ${rules.identity}`);
  if (extensions?.issuer !== rules.issuer)
    throw invalid(`has the issuer ${extensions?.issuer ?? 'none'}, and not ${rules.issuer}`);
  const named = (oid: string) => {
    const value = oids.find((pair) => pair.oid?.id.join('.') === oid)?.value;
    return value === undefined ? null : utf8String(value);
  };
  const source = named(SOURCE_REPOSITORY_URI);
  if (source !== rules.sourceRepository)
    throw invalid(
      `was built from ${source ?? 'an unknown repository'}, and not from ${rules.sourceRepository}`,
    );
  const id = named(SOURCE_REPOSITORY_ID);
  if (rules.repositoryId !== null && id !== null && id !== String(rules.repositoryId))
    throw invalid(
      `was built from the repository of id ${id}, and ${rules.sourceRepository} has ${rules.repositoryId}`,
    );
}

/** DER: a UTF8String of less than 128 bytes, or of two bytes of length. */
function utf8String(value: Buffer): string {
  const long = value[0] === 0x0c && value[1] === 0x81;
  if (value[0] !== 0x0c) return value.toString('utf8');
  return value.subarray(long ? 3 : 2).toString('utf8');
}

function attempt<T>(act: () => T, what: string): T {
  try {
    return act();
  } catch (error) {
    throw invalid(`${what} (${(error as Error).message.split('\n')[0]?.slice(0, 200)})`);
  }
}

function invalid(what: string): Fault {
  return new Fault('ATTESTATION_INVALID', `the attestation ${what}`);
}

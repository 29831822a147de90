/**
 * Attestations of a Sigstore instance of our own, wrong in every way, and real ones that GitHub's
 * workflows made.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type AttestationRules,
  type Subject,
  verifyAttestation,
} from '../../src/trust/attestation.ts';
import { PUBLIC_GOOD_ROOT } from '../../src/trust/roots.ts';
import { type BundleJson, IDENTITY, ISSUER, Sigstore } from '../support/sigstore.ts';

const NAME = 'app.tar.gz';
const about = (sha256: string, name = NAME): [Subject] => [{ sha256, name }];
const SHA = createHash('sha256').update('the app').digest('hex');
const OTHER = createHash('sha256').update('something else').digest('hex');
/** Of malancas/attest-demo, by a workflow that github/artifact-attestations-workflows shares. */
const REUSABLE = {
  sha256: '49a3aa6075e0f49f82843e74b5baa614ad2a588e6675612bf108a0a008c5ac25',
  rules: {
    identity:
      'https://github.com/github/artifact-attestations-workflows/.github/workflows/attest.yml@09b495c3f12c7881b3cc17209a327792065c1a1d',
    sourceRepository: 'https://github.com/malancas/attest-demo',
    repositoryId: null,
  },
};
const CUSTOM_ISSUER = {
  sha256: 'afa27b44d43b02a9fea41d13cedc2e4016cfcf87c5dbf990e593669aa8ce286d',
  rules: {
    identity:
      'https://github.com/too-legit/attest/.github/workflows/integration.yml@refs/heads/main',
    issuer: 'https://token.actions.githubusercontent.com/hammer-time',
    sourceRepository: 'https://github.com/too-legit/attest',
    repositoryId: null,
  },
};
let sigstore: Sigstore;
let stranger: Sigstore;
let good: BundleJson;

before(async () => {
  sigstore = await Sigstore.start();
  stranger = await Sigstore.start();
  good = await sigstore.attest(SHA);
});
after(async () => {
  await sigstore[Symbol.asyncDispose]();
  await stranger[Symbol.asyncDispose]();
});

function rules(overrides: Partial<AttestationRules> = {}): AttestationRules {
  const sourceRepository = 'https://github.com/acme/app';
  return {
    identity: IDENTITY,
    issuer: ISSUER,
    sourceRepository,
    repositoryId: 4711,
    trustedRoot: sigstore.trustedRoot,
    instance: 'public-good',
    ...overrides,
  };
}

function refused(
  json: unknown,
  pattern: RegExp,
  overrides: Partial<AttestationRules> = {},
  sha256 = SHA,
): void {
  assert.throws(
    () => verifyAttestation(json, about(sha256), rules(overrides)),
    (error: Error & { code?: string }) =>
      error.code === 'ATTESTATION_INVALID' &&
      pattern.test(error.message) &&
      !error.message.includes('\n'),
  );
}

/** The bundle with one thing changed. */
function changed(change: (bundle: BundleJson) => void): BundleJson {
  const copy = structuredClone(good);
  change(copy);
  return copy;
}

/** One bit of a base64 text. */
function flipped(text: string, at = 20): string {
  const bytes = Buffer.from(text, 'base64');
  bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ 1;
  return bytes.toString('base64');
}

describe('an attestation', () => {
  it('that holds names who built', () => {
    assert.equal(verifyAttestation(good, about(SHA), rules()).identity, IDENTITY);
    assert.equal(
      verifyAttestation(good, about(SHA), rules({ repositoryId: null })).identity,
      IDENTITY,
    );
  });

  it('of several files holds for each of them', async () => {
    const both = await sigstore.attest(SHA, {
      subjects: [
        { name: 'a', sha256: OTHER },
        { name: 'b', sha256: SHA },
      ],
    });
    assert.equal(verifyAttestation(both, about(SHA, 'b'), rules()).identity, IDENTITY);
  });

  it('of what lists a file holds for the file, and says which it is about', async () => {
    const pushed = await sigstore.attest(SHA, { name: 'ghcr.io/acme/app' });
    const list = { sha256: SHA, name: 'acme/app' };
    const { subject } = verifyAttestation(pushed, [{ sha256: OTHER, name: NAME }, list], rules());
    assert.equal(subject, list);
    for (const name of ['evil/app', 'cme/app', 'app/acme', 'app:acme/app/x', 'ghcr.io/acme'])
      assert.throws(
        () =>
          verifyAttestation(
            pushed,
            [
              { sha256: OTHER, name: NAME },
              { ...list, name },
            ],
            rules(),
          ),
        { code: 'ATTESTATION_INVALID', message: /is about ghcr\.io\/acme\/app, and not about/ },
      );
  });
});

describe('an attestation is refused', () => {
  it('of another workflow', () =>
    refused(good, /was made by/, { identity: IDENTITY.replace('release.yml', 'test.yml') }));
  it('of an identity that is only a prefix of the wanted one', async () => {
    refused(await sigstore.attest(SHA, {}, { sub: IDENTITY.slice(0, -1) }), /was made by/);
  });
  it('of an identity of which the wanted one is a prefix', async () => {
    refused(await sigstore.attest(SHA, {}, { sub: `${IDENTITY}-evil` }), /was made by/);
  });
  it('of an identity that a regular expression would accept', async () => {
    refused(await sigstore.attest(SHA, {}, { sub: IDENTITY.replaceAll('.', 'x') }), /was made by/);
  });
  it('of the same workflow on another tag', async () => {
    refused(
      await sigstore.attest(SHA, {}, { sub: IDENTITY.replace('v2.0.0', 'v1.0.0') }),
      /refs\/tags\/v1\.0\.0/,
    );
  });
  it('of the same workflow on a branch', async () => {
    refused(
      await sigstore.attest(
        SHA,
        {},
        { sub: IDENTITY.replace('refs/tags/v2.0.0', 'refs/heads/main') },
      ),
      /refs\/heads\/main/,
    );
  });
  it('of the same workflow in a fork', async () => {
    refused(
      await sigstore.attest(
        SHA,
        {},
        { sub: IDENTITY.replace('acme', 'mallory'), repository: 'mallory/app' },
      ),
      /mallory/,
    );
  });
  it('of a shared workflow that was run for another repository', async () => {
    refused(
      await sigstore.attest(SHA, {}, { repository: 'mallory/app' }),
      /built from https:\/\/github\.com\/mallory\/app/,
    );
  });
  it('of a repository whose name begins with ours', async () => {
    refused(await sigstore.attest(SHA, {}, { repository: 'acme/app-evil' }), /acme\/app-evil/);
  });
  it('of a repository that has taken over the name', async () => {
    refused(await sigstore.attest(SHA, {}, { repository_id: '9' }), /of id 9/);
  });
  it('by another issuer', async () =>
    refused(
      await sigstore.attest(SHA, {}, { iss: 'https://accounts.example' }),
      /issuer https:\/\/accounts\.example/,
    ));
  it('of other bytes', () => refused(good, /other bytes/, {}, OTHER));
  it('of another file of the same build', async () =>
    refused(
      await sigstore.attest(SHA, { subjects: [{ name: 'debug_windows.zip', sha256: SHA }] }),
      /about debug_windows\.zip/,
    ));
  it('that says something else than how it was built', async () => {
    refused(
      await sigstore.attest(SHA, { predicateType: 'https://spdx.dev/Document/v2.3' }),
      /is not about how it was built/,
    );
  });
  it('whose statement is of an unknown kind', async () =>
    refused(
      await sigstore.attest(SHA, { type: 'https://in-toto.io/Statement/v9' }),
      /not an in-toto statement/,
    ));
  it('whose envelope is of another kind', async () =>
    refused(await sigstore.attest(SHA, { payloadType: 'text/plain' }), /not an in-toto statement/));
  it('that is a bare signature over the very bytes', async () =>
    refused(await sigstore.sign(Buffer.from('the app')), /a signature, not an attestation/));
  it('of another certificate authority and log', async () =>
    refused(await stranger.attest(SHA), /does not hold/));
  it('of ours under the public-good root', () =>
    refused(good, /does not hold/, { trustedRoot: PUBLIC_GOOD_ROOT }));
  it('under a root without authorities', () => {
    refused(good, /does not hold/, {
      trustedRoot: { ...(sigstore.trustedRoot as object), certificateAuthorities: [] },
    });
  });
  it('under a root without a transparency log', () =>
    refused(good, /does not hold/, {
      trustedRoot: { ...(sigstore.trustedRoot as object), tlogs: [] },
    }));
  it('under a root without a certificate log', () =>
    refused(good, /does not hold/, {
      trustedRoot: { ...(sigstore.trustedRoot as object), ctlogs: [] },
    }));
  it('under a root that is none', () =>
    refused(good, /trust root is damaged|does not hold/, {
      trustedRoot: { certificateAuthorities: [{ certChain: 7 }] },
    }));
  it('with a changed payload', () =>
    refused(
      changed((bundle) => {
        bundle.dsseEnvelope.payload = flipped(bundle.dsseEnvelope.payload, 80);
      }),
      /does not hold/,
    ));
  it('with a changed signature', () => {
    refused(
      changed((bundle) => {
        bundle.dsseEnvelope.signatures[0].sig = flipped(bundle.dsseEnvelope.signatures[0].sig);
      }),
      /does not hold/,
    );
  });
  it('with no signature', () =>
    refused(
      changed((bundle) => {
        bundle.dsseEnvelope.signatures = [];
      }),
      /not an in-toto statement with one signature|no Sigstore bundle/,
    ));
  it('with two signatures, of which a verifier may look at the other', () => {
    refused(
      changed((bundle) => bundle.dsseEnvelope.signatures.push(bundle.dsseEnvelope.signatures[0])),
      /one signature|no Sigstore bundle/,
    );
  });
  it('with a changed certificate', () => {
    refused(
      changed((bundle) => {
        bundle.verificationMaterial.certificate.rawBytes = flipped(
          bundle.verificationMaterial.certificate.rawBytes,
          300,
        );
      }),
      /does not hold/,
    );
  });
  it('without a certificate', () =>
    refused(
      changed((bundle) => {
        delete bundle.verificationMaterial.certificate;
      }),
      /no Sigstore bundle/,
    ));
  it("with another bundle's certificate", async () => {
    const other = await stranger.attest(SHA);
    refused(
      changed((bundle) => {
        bundle.verificationMaterial.certificate = other.verificationMaterial.certificate;
      }),
      /does not hold/,
    );
  });
  it('without an entry in the transparency log', () =>
    refused(
      changed((bundle) => {
        bundle.verificationMaterial.tlogEntries = [];
      }),
      /does not hold|no Sigstore bundle/,
    ));
  it("with another bundle's log entry", async () => {
    const other = await sigstore.attest(OTHER);
    refused(
      changed((bundle) => {
        bundle.verificationMaterial.tlogEntries = other.verificationMaterial.tlogEntries;
      }),
      /does not hold/,
    );
  });
  it('whose log entry was given another time', () => {
    refused(
      changed((bundle) => {
        bundle.verificationMaterial.tlogEntries[0].integratedTime = '1';
      }),
      /does not hold/,
    );
  });
  it('whose log entry has another promise', () => {
    refused(
      changed((bundle) => {
        const promise = bundle.verificationMaterial.tlogEntries[0].inclusionPromise;
        promise.signedEntryTimestamp = flipped(promise.signedEntryTimestamp);
      }),
      /does not hold/,
    );
  });
  it('of an unknown media type', () =>
    refused(
      changed((bundle) => {
        bundle.mediaType = 'application/json';
      }),
      /no Sigstore bundle/,
    ));
  for (const [what, json] of [
    ['null', null],
    ['a list', []],
    ['a number', 7],
    ['a text', 'bundle'],
    ['an empty object', {}],
  ] as const)
    it(`that is ${what}`, () => refused(json, /no Sigstore bundle/));
});

describe('what GitHub really makes', () => {
  const real = (name: string) =>
    JSON.parse(readFileSync(path.join(import.meta.dirname, 'bundles', name), 'utf8'));

  it('holds under the shipped public-good root: a reusable workflow, known by its own identity and the repository that ran it', () => {
    const { identity } = verifyAttestation(
      real('reusable-workflow.sigstore.json'),
      about(REUSABLE.sha256, 'github_provenance_demo-0.0.0-py3-none-any.whl'),
      {
        ...rules(),
        ...REUSABLE.rules,
        trustedRoot: PUBLIC_GOOD_ROOT,
      },
    );
    assert.equal(identity, REUSABLE.rules.identity);
    assert.throws(
      () =>
        verifyAttestation(real('reusable-workflow.sigstore.json'), about(SHA), {
          ...rules(),
          ...REUSABLE.rules,
          trustedRoot: PUBLIC_GOOD_ROOT,
        }),
      /other bytes/,
    );
  });

  it('with the issuer of an enterprise holds for that issuer only', () => {
    const enterprise = { ...rules(), ...CUSTOM_ISSUER.rules, trustedRoot: PUBLIC_GOOD_ROOT };
    assert.equal(
      verifyAttestation(
        real('custom-issuer.sigstore.json'),
        about(CUSTOM_ISSUER.sha256, 'artifact'),
        enterprise,
      ).identity,
      CUSTOM_ISSUER.rules.identity,
    );
    assert.throws(
      () =>
        verifyAttestation(
          real('custom-issuer.sigstore.json'),
          about(CUSTOM_ISSUER.sha256, 'artifact'),
          { ...enterprise, issuer: ISSUER },
        ),
      /issuer/,
    );
  });
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Release } from '../../src/machines/model.ts';
import { Fault } from '../../src/support/fault.ts';
import {
  type Evidence,
  explain,
  isUrgencyVerified,
  judge,
  type Rules,
} from '../../src/trust/judge.ts';
import { sumsFor } from '../../src/trust/sums.ts';
import { release } from '../support/machine.ts';
import { FakeMinisign } from '../support/minisign.ts';

const [right, wrong] = ['a'.repeat(64), 'b'.repeat(64)];
const SIZE = 9;
const found = release('2.0.0');
const offering = (digest: string | null): Release => ({
  ...found,
  asset: { ...found.asset, digest },
});
const listing = (sum: string, name = 'app.tar.gz') => `${sum}  ${name}\n${wrong}  other.tar.gz\n`;

function evidence(overrides: Partial<Evidence> & { sumsText?: string } = {}): Evidence {
  const { sumsText, ...rest } = overrides;
  const bytes = Buffer.from(sumsText ?? '');
  const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest();
  const sums =
    sumsText === undefined
      ? null
      : {
          name: 'checksums.txt',
          text: sumsText,
          sha256: digest('sha256').toString('hex'),
          blake2b512: digest('blake2b512'),
        };
  return {
    sizeBytes: SIZE,
    sha256: right,
    blake2b512: Buffer.alloc(64),
    sums,
    minisigs: [],
    bundles: [],
    manifests: [],
    ...rest,
  };
}

function rules(...conditions: Rules['conditions']): Rules {
  return {
    conditions,
    minisignKeys: [],
    minisignBinding: 'version',
    verifyAttestation: null,
    attestation: null,
  };
}
const digest = rules('digest');
const code = (act: () => unknown, expected: string) => assert.throws(act, { code: expected });

describe('what a release says about its bytes', () => {
  it('is believed when all of it agrees', () => {
    assert.deepEqual(judge(offering(right), evidence(), digest), ['digest']);
    assert.deepEqual(judge(offering(null), evidence({ sumsText: listing(right) }), digest), [
      'checksums',
    ]);
    assert.deepEqual(judge(offering(right), evidence({ sumsText: listing(right) }), digest), [
      'digest',
      'checksums',
    ]);
  });

  it('is refused when any of it disagrees', () => {
    code(() => judge(offering(wrong), evidence(), digest), 'DIGEST_MISMATCH');
    code(
      () => judge(offering(null), evidence({ sumsText: listing(wrong) }), digest),
      'DIGEST_MISMATCH',
    );
    code(
      () => judge(offering(right), evidence({ sumsText: listing(wrong) }), digest),
      'DIGEST_MISMATCH',
    );
    code(
      () => judge(offering(wrong), evidence({ sumsText: listing(right) }), digest),
      'DIGEST_MISMATCH',
    );
  });

  it('is refused when there is none of it', () => {
    code(() => judge(offering(null), evidence(), digest), 'DIGEST_MISSING');
    code(
      () => judge(offering(null), evidence({ sumsText: listing(right, 'another.tar.gz') }), digest),
      'DIGEST_MISSING',
    );
  });

  it('is refused when the length is another: the body was cut, or went on', () => {
    code(
      () => judge(offering(right), evidence({ sizeBytes: SIZE - 1 }), digest),
      'LENGTH_MISMATCH',
    );
    code(
      () => judge(offering(right), evidence({ sizeBytes: SIZE + 1 }), digest),
      'LENGTH_MISMATCH',
    );
  });

  it('is compared also where only a signature was asked for', () => {
    code(() => judge(offering(wrong), evidence(), rules('minisign')), 'DIGEST_MISMATCH');
  });

  it('is not looked at under `none`, and that is said', () => {
    assert.deepEqual(judge(offering(wrong), evidence(), rules()), []);
    assert.match(
      explain(offering(wrong), evidence(), rules())[0]?.text ?? '',
      /nothing is checked/,
    );
  });
});

describe('a condition that was asked for', () => {
  const attested: Rules = {
    ...rules('attestation'),
    verifyAttestation: (_, [subject]) => ({ identity: 'us', subject }),
    attestation: {} as NonNullable<Rules['attestation']>,
  };
  const failing: Rules = {
    ...attested,
    verifyAttestation: (json, [subject, ...others]) => {
      if (json === 'good') return { identity: 'us', subject };
      const manifest = others.find(({ name }) => name === json);
      if (manifest) return { identity: 'us', subject: manifest };
      throw new Fault('ATTESTATION_INVALID', 'the attestation was made by mallory');
    },
  };
  const bundle = (json: unknown, over: 'asset' | 'sums' = 'asset') => ({
    over,
    from: 'GitHub',
    json,
  });

  it('and can not be shown is a refusal: key compromise, when one of two is met', () => {
    code(
      () => judge(offering(right), evidence(), rules('digest', 'minisign')),
      'SIGNATURE_MISSING',
    );
    code(
      () =>
        judge(offering(right), evidence(), { ...attested, conditions: ['digest', 'attestation'] }),
      'ATTESTATION_MISSING',
    );
    code(
      () =>
        judge(offering(right), evidence({ bundles: [bundle('good')] }), {
          ...attested,
          conditions: ['minisign', 'attestation'],
        }),
      'SIGNATURE_MISSING',
    );
  });

  it('holds when one of several attestations does', () => {
    assert.deepEqual(
      judge(offering(right), evidence({ bundles: [bundle('bad'), bundle('good')] }), failing),
      ['digest', 'attestation'],
    );
    code(
      () => judge(offering(right), evidence({ bundles: [bundle('bad')] }), failing),
      'ATTESTATION_INVALID',
    );
  });

  it('is not met by an attested file of sums that does not list the asset', () => {
    assert.deepEqual(
      judge(
        offering(right),
        evidence({ sumsText: listing(right), bundles: [bundle('good', 'sums')] }),
        failing,
      ),
      ['digest', 'checksums', 'attestation'],
    );
    code(
      () =>
        judge(
          offering(right),
          evidence({ sumsText: listing(right, 'other'), bundles: [bundle('good', 'sums')] }),
          failing,
        ),
      'ATTESTATION_MISSING',
    );
    code(
      () => judge(offering(right), evidence({ bundles: [bundle('good', 'sums')] }), failing),
      'ATTESTATION_MISSING',
    );
  });

  it('is met by an attested manifest that lists the asset under its name, and by no other', () => {
    const manifest = (...files: { sha256: string; name: string }[]) => ({
      sha256: wrong,
      name: 'acme/app',
      files: [{ sha256: wrong, name: 'README.md' }, ...files],
    });
    const { name } = offering(right).asset;
    const listed = evidence({
      bundles: [bundle('acme/app')],
      manifests: [manifest({ sha256: right, name })],
    });
    assert.deepEqual(judge(offering(right), listed, failing), ['digest', 'attestation']);
    assert.match(
      explain(offering(right), listed, failing)
        .map(({ text }) => text)
        .join('\n'),
      /listed in the manifest of acme\/app, which was built by us/,
    );
    const twice = [right, wrong].map((sha256) => ({ sha256, name }));
    for (const files of [
      [],
      [{ sha256: wrong, name }],
      [{ sha256: right, name: `old-${name}` }],
      // Which of two it built under one name, nobody said.
      twice,
    ])
      code(
        () =>
          judge(
            offering(right),
            evidence({ bundles: [bundle('acme/app')], manifests: [manifest(...files)] }),
            failing,
          ),
        'ATTESTATION_INVALID',
      );
  });

  it('is not met by signed bytes of another release under this one: rollback by a renamed release', () => {
    const named = (name: string) => ({
      ...offering(right),
      asset: { ...offering(right).asset, name },
    });
    code(
      () =>
        judge(
          named('app_1.0.0_linux_amd64.tar.gz'),
          evidence({ bundles: [bundle('good')] }),
          failing,
        ),
      'VERSION_MISMATCH',
    );
    for (const name of [
      'app_1.2.0_linux.tar.gz',
      'app_2.0.01.tar.gz',
      'app_12.0.0.tar.gz',
      'app-1.0.0-node2.0.0.tar.gz',
      'app_1.9_linux.tar.gz',
    ])
      code(
        () => judge(named(name), evidence({ bundles: [bundle('good')] }), failing),
        'VERSION_MISMATCH',
      );
    for (const name of [
      'app_2.0.0_linux_amd64.tar.gz',
      'app-linux.tar.gz',
      'app-2.0.0-node20.1.0.tar.gz',
      'app-v2.tar.gz',
      'app-v2.0.0.tar.gz',
    ])
      assert.ok(
        judge(named(name), evidence({ bundles: [bundle('good')] }), failing).includes(
          'attestation',
        ),
        name,
      );
  });

  it('makes urgent only what the signed sums list', () => {
    const urgent = { ...offering(right), urgent: true };
    const marked = `${listing(right)}${wrong}  urgent.txt\n`;
    assert.equal(isUrgencyVerified(urgent, evidence(), digest), true);
    assert.equal(
      isUrgencyVerified(urgent, evidence({ bundles: [bundle('good')] }), failing),
      false,
    );
    assert.equal(
      isUrgencyVerified(urgent, evidence({ sumsText: marked, bundles: [bundle('good')] }), failing),
      false,
    );
    assert.equal(
      isUrgencyVerified(
        urgent,
        evidence({ sumsText: marked, bundles: [bundle('bad', 'sums')] }),
        failing,
      ),
      false,
    );
    assert.equal(
      isUrgencyVerified(
        urgent,
        evidence({ sumsText: marked, bundles: [bundle('good', 'sums')] }),
        failing,
      ),
      true,
    );
    // Replay: another release's, which was urgent, with the bytes of one that is not.
    const others = `${wrong}  app-old.tar.gz\n${wrong}  urgent.txt\n`;
    assert.equal(
      isUrgencyVerified(
        urgent,
        evidence({ sumsText: others, bundles: [bundle('good'), bundle('good', 'sums')] }),
        failing,
      ),
      false,
    );
    const sums = {
      name: 'checksums.txt',
      sha256: evidence({ sumsText: marked }).sums?.sha256 ?? '',
    };
    for (const [files, verified] of [
      [[sums], true],
      [[{ ...sums, sha256: right }], false],
    ] as const)
      assert.equal(
        isUrgencyVerified(
          urgent,
          evidence({
            sumsText: marked,
            bundles: [bundle('acme/app', 'sums')],
            manifests: [{ sha256: wrong, name: 'acme/app', files }],
          }),
          failing,
        ),
        verified,
      );
    assert.equal(
      isUrgencyVerified(
        { ...urgent, urgent: false },
        evidence({ sumsText: marked, bundles: [bundle('good', 'sums')] }),
        failing,
      ),
      false,
    );
  });

  it('is explained with every other, also after the first that does not hold', () => {
    const findings = explain(
      offering(wrong),
      evidence({ sumsText: listing(right), bundles: [bundle('bad')] }),
      failing,
    );
    assert.deepEqual(
      findings.map(({ rule, ok }) => `${ok ? 'holds' : 'FAILS'} ${rule}`),
      ['holds size', 'FAILS digest', 'holds checksums', 'FAILS attestation'],
    );
  });
});

describe('a file of sums', () => {
  it('is read as sha256sum writes it, or as one bare sum', () => {
    assert.deepEqual(sumsFor(`${right} *app.tar.gz\r\n`, 'app.tar.gz'), [right]);
    assert.deepEqual(sumsFor(`${right.toUpperCase()}  ./app.tar.gz\n`, 'app.tar.gz'), [right]);
    assert.deepEqual(sumsFor(`${right}\n`, 'app.tar.gz'), [right]);
    assert.deepEqual(sumsFor(`${right}  app.tar.gz.sig\n`, 'app.tar.gz'), []);
  });

  it('with two sums for one name is refused: mix-and-match', () => {
    assert.deepEqual(sumsFor(`${right}  app.tar.gz\n${right}  app.tar.gz\n`, 'app.tar.gz'), [
      right,
    ]);
    code(
      () =>
        judge(
          offering(right),
          evidence({ sumsText: `${right}  app.tar.gz\n${wrong}  app.tar.gz\n` }),
          digest,
        ),
      'DIGEST_MISMATCH',
    );
  });

  it('that GitHub computed another digest of is refused', () => {
    const checksums = { ...found.asset, name: 'checksums.txt', digest: wrong };
    code(
      () =>
        judge({ ...offering(right), checksums }, evidence({ sumsText: listing(right) }), digest),
      'DIGEST_MISMATCH',
    );
  });

  it('of a quarter of a megabyte of blanks is read at once', () => {
    assert.deepEqual(
      sumsFor(`${right}  x${' '.repeat(256 * 1024)}y\n${right}  app.tar.gz\n`, 'app.tar.gz'),
      [right],
    );
  });
});

describe('a signed list of releases', () => {
  const signer = new FakeMinisign();
  const both: Rules = { ...rules('digest', 'minisign'), minisignKeys: [signer.key] };
  const listed = (digest: string | null, indexKey = signer.key.id): Release => ({
    ...offering(digest),
    asset: { ...offering(digest).asset, sizeBytes: SIZE },
    indexKey,
    urgent: true,
  });

  it('vouches for the bytes whose sum it names, and for their urgency', () => {
    assert.deepEqual(judge(listed(right), evidence(), both), ['digest', 'minisign']);
    assert.ok(isUrgencyVerified(listed(right), evidence(), both));
  });

  it('vouches for nothing without a sum, or by a key that is no longer the operator’s', () => {
    const sums = { sumsText: listing(right) };
    code(() => judge(listed(null), evidence(sums), both), 'SIGNATURE_MISSING');
    const revoked = listed(right, new FakeMinisign().key.id);
    code(() => judge(revoked, evidence(), both), 'SIGNATURE_MISSING');
    assert.ok(!isUrgencyVerified(revoked, evidence(), both));
  });
});

/** Rollback by signed bytes: whether a minisign signature says which version it is for. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Release } from '../../src/machines/model.ts';
import { isVersionOfName, readsAsAnotherVersion } from '../../src/trust/binding.ts';
import {
  type Evidence,
  explain,
  isUrgencyVerified,
  judge,
  type Rules,
} from '../../src/trust/judge.ts';
import { release } from '../support/machine.ts';
import { FakeMinisign } from '../support/minisign.ts';

const CONTENT = Buffer.from('the bytes of 1.0.0, signed for ever');
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');
const signer = new FakeMinisign();
const rules: Rules = {
  conditions: ['minisign'],
  minisignKeys: [signer.key],
  minisignBinding: 'version',
  verifyAttestation: null,
  attestation: null,
};

/** The release as an attacker publishes it: any tag, any name, bytes that were once signed. */
function published(tag: string, name: string, repository = 'acme/app'): Release {
  const version = tag.replace(/^v/, '');
  const found = release(version);
  return {
    ...found,
    repository,
    tag,
    asset: { ...found.asset, name, sizeBytes: CONTENT.length, digest: SHA256 },
  };
}

const hash = (algorithm: string, bytes: Buffer) => createHash(algorithm).update(bytes).digest();
const evidence = (rest: Partial<Evidence>): Evidence => ({
  sizeBytes: CONTENT.length,
  sha256: SHA256,
  blake2b512: hash('blake2b512', CONTENT),
  sums: null,
  minisigs: [],
  bundles: [],
  manifests: [],
  ...rest,
});
const signed = (comment: string) =>
  evidence({ minisigs: [{ over: 'asset', text: signer.sign(CONTENT, comment) }] });
/** As minisign signs without -t. */
const signedAs = (name: string) => signed(`timestamp:1700000000\tfile:${name}\thashed`);
function signedSums(
  text: string,
  comment = 'timestamp:1\tfile:checksums.txt\thashed',
  name = 'checksums.txt',
): Evidence {
  const bytes = Buffer.from(text);
  const sums = {
    name,
    text,
    sha256: hash('sha256', bytes).toString('hex'),
    blake2b512: hash('blake2b512', bytes),
  };
  return evidence({ sums, minisigs: [{ over: 'sums', text: signer.sign(bytes, comment) }] });
}
const UNBOUND = { code: 'VERSION_UNBOUND' };

describe('an attack by signed bytes of another version is refused', () => {
  const attacks: [string, string, string, string?][] = [
    ['v2.0.0', 'appv1.0.0.tar.gz', 'behind the name and a v'],
    ['v2.0.0', 'app1.0.0.tar.gz', 'behind the name'],
    ['v2.0.0', 'app_2.0.0-rc.1_linux_amd64.tar.gz', 'a prerelease of the same version'],
    ['v2.0.0', 'app-2.0.0-beta.tar.gz', 'a prerelease without a number'],
    ['v2.0.0', 'app-2.0.0.beta-linux-amd64.tar.gz', 'a prerelease behind a dot'],
    ['v2.0.0', 'app-2.0.0-1.tar.gz', 'a prerelease that is a number'],
    ['v2.0.0', 'app_2.0.0rc1_linux.tar.gz', 'a prerelease as Python writes it'],
    ['v2.0.0-rc.1', 'app_2.0.0-rc.1.1_linux.tar.gz', 'a longer prerelease'],
    ['v2.0.0-rc.1', 'app_2.0.0_linux.tar.gz', 'the release under its own prerelease'],
    ['v20.1.0', 'node-20.1.0.tar.gz', "another program's version"],
    ['v20.1.0', 'app-node-20.1.0-linux-x64.tar.gz', "a runtime's version"],
    ['v20.1.0', 'app-node20.1.0.tar.gz', "a runtime's version, behind its name"],
    ['v20.1.0', 'app-1.0.0-node-20.1.0.tar.gz', "the version beside a runtime's"],
    ['v22.4.0', 'app_1.0.0_ubuntu-22.4.0.tar.gz', "a system's version"],
    ['v2.0.0', 'app_1_0_0.tar.gz', 'with underscores'],
    ['v1.0.0', 'app_1_0_0.tar.gz', 'with underscores, and the same numbers'],
    ['v2.0.0', 'app-1-0-0-linux.tar.gz', 'with hyphens'],
    ['v2.0.0', 'app-20240105-linux.tar.gz', 'a date'],
    ['v2.0.0', 'app-2024.01.05-linux.tar.gz', 'a date with dots'],
    ['v2.0.0', 'app-2.0.0-20240105.tar.gz', 'the version and a date'],
    ['v2.0.0', 'app_1.2.0.0_linux.tar.gz', 'the end of a longer number'],
    ['v2.0.0', 'app_2.0.0.1_linux.tar.gz', 'the beginning of a longer number'],
    ['v2.0.0', 'app_12.0.0_linux.tar.gz', 'the end of a larger number'],
    ['v2.0.0', 'app-2.0.0-gdeadbee.tar.gz', 'the version and a commit'],
    ['v2.0.0', 'app-v1-linux-2.0.0.tar.gz', 'two versions'],
    ['v2.0.0', 'app-linux-amd64.tar.gz', 'no version at all'],
    ['v2.0.0', 'app-2.0.0-linux-2.0.0-rc.1.tar.gz', 'the version twice, and once a prerelease'],
    ['v2.0.0', 'app%2d2.0.0-x1.tar.gz', 'what nobody can read'],
    ['v386', 'app-linux-386.tar.gz', 'a platform’s word for a version'],
    ['v64', 'app-linux-64.tar.gz', 'a platform’s number for a version'],
    ['64', 'app_x86_64.tar.gz', 'half of a platform’s word'],
    ['v32', 'app-win-32.zip', 'how wide a processor is'],
    ['v8', 'app-linux-arm64-v8.tar.gz', 'a level of the platform'],
    ['v3', 'app_linux_amd64_v3.tar.gz', 'a level as goreleaser writes it'],
    ['v14', 'app-macos-14.tar.gz', "a system's number"],
    ['v2.31', 'app_linux_glibc-2.31.tar.gz', "a library's version"],
    [
      'v2.0.0',
      'app-64.2.0.0.tar.gz',
      'the end of a longer number that begins with a platform’s word',
    ],
    [
      'v2.0.0',
      'app-2.0.0.64.tar.gz',
      'the beginning of a longer number that ends with a platform’s word',
    ],
    ['v2.0.0', 'app-2.0.0-386.tar.gz', 'a prerelease that is a platform’s word'],
    ['v2.0.0', 'app-2.0.0+386.tar.gz', 'a build that is a platform’s word'],
    ['v2.0.0', 'app-2.0.0\u0435.tar.gz', 'a letter of another script'],
    ['v2.0.0', 'app-\uff11.0.0-2.0.0.tar.gz', 'a version in digits of another script'],
    ['v2.0.0', 'app-2.0.0-\u00e9.tar.gz', 'a letter with an accent'],
    ['v2.0.0', 'app-2.0.0-\u2460.tar.gz', 'a number in a circle'],
    [
      'v2.0.0',
      '\u212as-2.0.0.tar.gz',
      'a sign that is a letter of ours once it is small',
      'acme/ks',
    ],
  ];
  for (const [tag, name, title, repository] of attacks)
    it(`${title}: ${name} under ${tag}`, () => {
      assert.throws(() => judge(published(tag, name, repository), signedAs(name), rules), UNBOUND);
      const sums = signedSums(`${SHA256}  ${name}\n`);
      assert.throws(() => judge(published(tag, name, repository), sums, rules), UNBOUND);
    });

  it('renamed: a name counts only where the signature covers it', () => {
    const name = 'app_2.0.0_linux_amd64.tar.gz';
    assert.throws(() => judge(published('v2.0.0', name), signed('signed by hand'), rules), UNBOUND);
    assert.throws(
      () => judge(published('v2.0.0', name), signedAs('app_1.0.0_linux_amd64.tar.gz'), rules),
      { code: 'SIGNATURE_INVALID' },
    );
    // A sum without a name is of any file: a shared list says nothing by it, and a file's own does
    // not name the file.
    assert.throws(() => judge(published('v2.0.0', name), signedSums(`${SHA256}\n`), rules), {
      code: 'SIGNATURE_MISSING',
    });
    const own = `${name}.sha256`;
    assert.throws(
      () =>
        judge(published('v2.0.0', name), signedSums(`${SHA256}\n`, 'signed by hand', own), rules),
      UNBOUND,
    );
    const remark = `# ${name}\n${SHA256}  other.tar.gz\n${SHA256}\n`;
    assert.throws(() => judge(published('v2.0.0', name), signedSums(remark), rules), {
      code: 'SIGNATURE_MISSING',
    });
  });

  it('by a signed list of sums of an older release, under a new tag', () => {
    const name = 'app_linux_amd64.tar.gz';
    assert.throws(
      () => judge(published('v2.0.0', name), signedSums(`${SHA256}  ${name}\n`), rules),
      UNBOUND,
    );
    const bound = signedSums(`${SHA256}  ${name}\n`, 'file:checksums.txt tag:v1.0.0');
    assert.throws(() => judge(published('v2.0.0', name), bound, rules), {
      code: 'SIGNATURE_INVALID',
    });
    const byName = signedSums(
      `${SHA256}  ${name}\n`,
      'file:app_1.0.0_checksums.txt',
      'app_1.0.0_checksums.txt',
    );
    assert.throws(() => judge(published('v2.0.0', name), byName, rules), UNBOUND);
  });

  it('by an attested name in which a letter of another script ends the version', () => {
    for (const name of ['app-2.0.0\u0435.tar.gz', 'app-2.0.0\u2460.tar.gz', 'app-1.0.0.tar.gz'])
      assert.equal(readsAsAnotherVersion(name, '2.0.0'), true, name);
    for (const name of ['app-2.0.0.tar.gz', 'app-v2.0.0_linux.tar.gz', 'app.tar.gz'])
      assert.equal(readsAsAnotherVersion(name, '2.0.0'), false, name);
  });

  it('by signed sums that call an older release urgent', () => {
    const name = 'app_linux_amd64.tar.gz';
    const text = `${SHA256}  ${name}\n${SHA256}  urgent.txt\n`;
    const urgent = { ...published('v2.0.0', name), urgent: true };
    assert.equal(isUrgencyVerified(urgent, signedSums(text), rules), false);
    assert.equal(
      isUrgencyVerified(urgent, signedSums(text, 'file:checksums.txt tag:v2.0.0'), rules),
      true,
    );
  });

  it('by sums in BSD form that disagree', () => {
    const name = 'app_2.0.0_linux_amd64.tar.gz';
    const wrong = 'b'.repeat(64);
    const found = published('v2.0.0', name);
    const digest: Rules = { ...rules, conditions: ['digest'] };
    const saying = (text: string) => signedSums(text);
    assert.throws(() => judge(found, saying(`SHA256 (${name}) = ${wrong}\n`), digest), {
      code: 'DIGEST_MISMATCH',
    });
    assert.throws(
      () =>
        judge(found, saying(`SHA256 (${name}) = ${SHA256}\nSHA256 (${name}) = ${wrong}\n`), digest),
      { code: 'DIGEST_MISMATCH' },
    );
    assert.throws(
      () => judge(found, saying(`${SHA256}  ${name}\nSHA256 (${name}) = ${wrong}\n`), digest),
      { code: 'DIGEST_MISMATCH' },
    );
    assert.deepEqual(judge(found, saying(`SHA256 (${name}) = ${SHA256}\n`), digest), [
      'digest',
      'checksums',
    ]);
    assert.ok(
      judge(found, saying(`SHA256 (${name}) = ${SHA256}\n`), rules).includes('minisign'),
      'the name in a list of that form binds',
    );
  });
});

describe('signed bytes are taken', () => {
  it('by the name in a signed list, in every form in which sums are read', () => {
    const name = 'app_2.0.0_linux_amd64.tar.gz';
    for (const line of [
      `${SHA256}  ${name}`,
      `${SHA256} *./dist/${name}`,
      `SHA256(${name})= ${SHA256}`,
      `SHA2-256 (${name}) = ${SHA256}`,
      `${name}: ${SHA256}`,
    ])
      assert.ok(
        judge(published('v2.0.0', name), signedSums(`${line}\n`), rules).includes('minisign'),
        line,
      );
  });

  it('by the name of their own file of sums, which holds a sum alone', () => {
    const name = 'app_2.0.0_linux_amd64.tar.gz';
    const own = `${name}.sha256`;
    assert.ok(
      judge(
        published('v2.0.0', name),
        signedSums(`${SHA256}\n`, `timestamp:1\tfile:${own}\thashed`, own),
        rules,
      ).includes('minisign'),
    );
  });

  it('by their name, where the version is the only thing in it that reads as one', () => {
    for (const [tag, name, repository] of [
      ['v2.0.0', 'app_2.0.0_linux_amd64.tar.gz'],
      ['v2.0.0', 'app-v2.0.0-x86_64-unknown-linux-musl.tar.gz'],
      ['v2.0.0', 'appv2.0.0.tar.gz'],
      ['v2.0.0', 'app_2.0.0_Linux_amd64_v1.tar.gz'],
      ['v2.0.0', '2.0.0.zip'],
      ['v2.0.0', 'app-linux-arm64-v2.0.0.tar.gz'],
      ['v2.0.0-rc.1', 'app_2.0.0-rc.1_linux_amd64.tar.gz'],
      ['v20.1.0', 'node-v20.1.0-linux-x64.tar.gz', 'nodejs/node'],
      ['v0.32.5', 'k9s_0.32.5_linux_amd64.tar.gz', 'derailed/k9s'],
      ['v3.7.1', 'git-lfs-linux-amd64-v3.7.1.tar.gz', 'git-lfs/git-lfs'],
      ['2024.1.5', 'app-2024.1.5.tgz'],
      ['v2.0.0', 'app_2.0.0_linux_386.tar.gz'],
      ['v2.0.0', 'app-linux-386-2.0.0.tar.gz'],
      ['v2.0.0', 'app_2.0.0_386.tar.gz'],
      ['v2.0.0', 'app-2.0.0.x86_64.tar.gz'],
      ['v2.0.0', 'app.x86_64.2.0.0.tar.gz'],
      ['v2.0.0', 'app-windows-2.0.0.zip'],
      ['v386', 'app-v386-linux-386.tar.gz'],
      ['v1.25.1', 'app_linux-amd64.v1.25.1.tar.gz'],
      ['v1.25.1', 'app_linux-amd64.1.25.1.tar.gz'],
      ['v14', 'app-14-macos.tar.gz'],
      ['v14', 'app-macos-v14.tar.gz'],
      ['v1.2', 'app-linux-1.2.tar.gz'],
    ] as const)
      assert.deepEqual(
        judge(published(tag, name, repository), signedAs(name), rules),
        ['digest', 'minisign'],
        name,
      );
  });

  it('by the trusted comment, whatever the name says: the remedy that the refusal names works', () => {
    for (const name of ['app-linux.tar.gz', 'node-20.1.0.tar.gz', 'app_1_0_0.tar.gz']) {
      for (const field of ['tag:v2.0.0', 'version:2.0.0', 'version:v2.0.0'])
        assert.ok(
          judge(published('v2.0.0', name), signed(`file:${name} ${field}`), rules).includes(
            'minisign',
          ),
          `${name} ${field}`,
        );
      assert.throws(
        () => judge(published('v2.0.0', name), signedAs(name), rules),
        ({ message }: Error) => {
          const [, comment = ''] = /-t '([^']+)'/.exec(message) ?? [];
          return (
            judge(published('v2.0.0', name), signed(comment), rules).includes('minisign') &&
            !message.includes('\n')
          );
        },
      );
    }
  });

  it('by the name of the signed list, as goreleaser names it, or by a name that it lists', () => {
    const sums = signedSums(
      `${SHA256}  app_linux.tar.gz\n`,
      'file:app_2.0.0_checksums.txt',
      'app_2.0.0_checksums.txt',
    );
    assert.ok(judge(published('v2.0.0', 'app_linux.tar.gz'), sums, rules).includes('minisign'));
    const plain = signedSums(`${SHA256} *app_2.0.0_linux.tar.gz\n`);
    assert.ok(
      judge(published('v2.0.0', 'app_2.0.0_linux.tar.gz'), plain, rules).includes('minisign'),
    );
  });

  it('of any version under UPDATE_MINISIGN_BINDING=none, and that is said', () => {
    const [found, shown, any] = [
      published('v2.0.0', 'app_1.0.0.tar.gz'),
      signedAs('app_1.0.0.tar.gz'),
      { ...rules, minisignBinding: 'none' as const },
    ];
    assert.deepEqual(judge(found, shown, any), ['digest', 'minisign']);
    assert.match(
      explain(found, shown, any).at(-1)?.text ?? '',
      /NOT bound to a version \(UPDATE_MINISIGN_BINDING=none\)/,
    );
    assert.throws(
      () => judge(found, signed('tag:v1.0.0'), any),
      { code: 'SIGNATURE_INVALID' },
      'what the comment does say must be right',
    );
  });

  it("by the project's own name, and not by a group's", () => {
    assert.equal(isVersionOfName('app_2.0.0.tar.gz', '2.0.0', 'acme/tools/app'), true);
    assert.equal(isVersionOfName('tools_2.0.0.tar.gz', '2.0.0', 'acme/tools/app'), false);
  });

  it('by a name of the longest kind at once', () => {
    assert.equal(isVersionOfName(`${'1.'.repeat(50_000)}tar.gz`, '1.1.1', 'acme/app'), false);
    assert.equal(isVersionOfName(`app_${'a-'.repeat(50_000)}2.0.0`, '2.0.0', 'acme/app'), false);
  });
});

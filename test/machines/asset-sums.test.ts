import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseChecksums } from '../../src/machines/asset.ts';

const NAME = 'app_1.0.0_linux_amd64.tar.gz';

function sumsAmong(names: string[], name = NAME): string | null {
  const assets = [name, ...names].map((each) => ({ name: each }));
  const chosen = chooseChecksums(assets, name)?.name ?? null;
  assert.equal(
    chooseChecksums(assets.toReversed(), name)?.name ?? null,
    chosen,
    'the order of the list decides nothing',
  );
  return chosen;
}

describe('the file of sums for an asset', () => {
  const shared = [
    'checksums.txt',
    'checksum.txt',
    'checksums',
    'SHA256SUMS',
    'SHA256SUMS.txt',
    'SHASUMS256.txt',
    'sha256sums',
    'sha256sum.txt',
    'sha256.txt',
    'checksums.sha256',
  ].concat([
    'hashes.sha256',
    'checksums-sha256.txt',
    'checksums_sha256.txt',
    'app_1.0.0_checksums.txt',
    'app-1.0.0-SHA256SUMS',
    'checksums_linux.txt',
    'sha256-checksums.txt',
    'shasums.txt',
  ]);
  for (const name of shared)
    it(`is ${name}`, () => assert.equal(sumsAmong([name, 'README.md', 'install.sh']), name));

  const own = ['.sha256', '.sha256sum', '.SHA256', '.sha256.txt']
    .map((ending) => NAME + ending)
    .concat('app_1.0.0_linux_amd64.sha256');
  for (const name of own)
    it(`is ${name} rather than one for all`, () =>
      assert.equal(sumsAmong(['checksums.txt', name, 'SHA256SUMS']), name));

  it('is `.sha`, which says not which algorithm, where nothing says better', () => {
    assert.equal(sumsAmong([`${NAME}.sha`]), `${NAME}.sha`);
    assert.equal(sumsAmong([`${NAME}.sha`, 'checksums.txt']), 'checksums.txt');
  });

  it('is none of another algorithm, of another asset, nor a signature', () => {
    const names = [
      'SHA512SUMS',
      'checksums.md5',
      'checksums_sha512.txt',
      'md5sums.txt',
      'sha1sums.txt',
      'B2SUMS',
      `${NAME}.sha512`,
      `${NAME}.md5`,
      `${NAME}.sha1`,
    ].concat([
      'SHA256SUMS.asc',
      'SHA256SUMS.sig',
      'checksums.txt.pem',
      'checksums.txt.sigstore.json',
      'sha256sums.zip',
      'app_1.0.0_linux_arm64.tar.gz',
      'app_1.0.0_linux_arm64.tar.gz.sha256',
    ]);
    assert.equal(sumsAmong(names), null);
  });

  it('is the one for sha256 where there are several algorithms', () => {
    assert.equal(sumsAmong(['SHA1SUMS', 'SHA512SUMS', 'SHA256SUMS']), 'SHA256SUMS');
    assert.equal(
      sumsAmong(['checksums.txt', 'checksums_sha256.txt', 'checksums_sha512.txt']),
      'checksums_sha256.txt',
    );
  });

  it('is the one of this platform and program where there are several', () => {
    assert.equal(
      sumsAmong(['app-linux-checksums.txt', 'app-mac-checksums.txt', 'app-windows-checksums.txt']),
      'app-linux-checksums.txt',
    );
    assert.equal(
      sumsAmong(['appctl_1.0.0_checksums.txt', 'app_1.0.0_checksums.txt']),
      'app_1.0.0_checksums.txt',
    );
    assert.equal(
      sumsAmong([
        'app_1.0.0_checksums.txt',
        'app_1.0.0_linux_amd64_checksums.txt',
        'app_1.0.0_linux_arm64_checksums.txt',
      ]),
      'app_1.0.0_linux_amd64_checksums.txt',
    );
  });
});

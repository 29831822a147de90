import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseAsset, chooseChecksums } from '../../src/machines/asset.ts';

const LINUX = { os: 'linux', arch: 'amd64', libc: 'glibc' };
const ARM = { os: 'linux', arch: 'arm64', libc: 'glibc' };
const MUSL = { os: 'linux', arch: 'amd64', libc: 'musl' };

function chosen(names: string[], platform = LINUX): string {
  const choice = chooseAsset(
    names.map((name) => ({ name })),
    null,
    platform,
  );
  return choice.kind === 'one' ? choice.asset.name : choice.kind;
}

describe('the asset for this platform', () => {
  const cases: [string, string[], string, typeof LINUX?][] = [
    [
      'goreleaser',
      [
        'app_1.0.0_linux_amd64.tar.gz',
        'app_1.0.0_linux_arm64.tar.gz',
        'app_1.0.0_darwin_amd64.tar.gz',
        'checksums.txt',
      ],
      'app_1.0.0_linux_amd64.tar.gz',
    ],
    [
      'goreleaser on arm64',
      ['app_1.0.0_linux_amd64.tar.gz', 'app_1.0.0_linux_arm64.tar.gz'],
      'app_1.0.0_linux_arm64.tar.gz',
      ARM,
    ],
    [
      'goreleaser with uname names',
      ['app_Linux_x86_64.tar.gz', 'app_Linux_arm64.tar.gz', 'app_Darwin_x86_64.tar.gz'],
      'app_Linux_x86_64.tar.gz',
    ],
    [
      'rust triples',
      [
        'app-x86_64-unknown-linux-gnu.tar.gz',
        'app-x86_64-unknown-linux-musl.tar.gz',
        'app-aarch64-apple-darwin.tar.gz',
      ],
      'app-x86_64-unknown-linux-gnu.tar.gz',
    ],
    [
      'rust triples on musl',
      ['app-x86_64-unknown-linux-gnu.tar.gz', 'app-x86_64-unknown-linux-musl.tar.gz'],
      'app-x86_64-unknown-linux-musl.tar.gz',
      MUSL,
    ],
    ['node names', ['app-v1-linux-x64.tar.gz', 'app-v1-win-x64.zip'], 'app-v1-linux-x64.tar.gz'],
    ['joined names', ['app-linux64.zip', 'app-win64.zip', 'app-macos.zip'], 'app-linux64.zip'],
    ['a sole neutral archive', ['app-1.0.0.tar.gz', 'app-1.0.0.tar.gz.sha256'], 'app-1.0.0.tar.gz'],
    [
      'several wrappings of one build',
      ['app_linux_amd64.zip', 'app_linux_amd64.tar.gz'],
      'app_linux_amd64.tar.gz',
    ],
    [
      'packages, sums, signatures and SBOMs passed over',
      [
        'app_linux_amd64.deb',
        'app_linux_amd64.rpm',
        'app_linux_amd64.tar.gz',
        'app_linux_amd64.tar.gz.sig',
        'app_linux_amd64.tar.gz.sbom.json',
      ],
      'app_linux_amd64.tar.gz',
    ],
    [
      'a bare executable',
      ['app-linux-amd64', 'app-linux-arm64', 'app-darwin-amd64', 'app-windows-amd64.exe'],
      'app-linux-amd64',
    ],
    ['an operating system alone', ['app-linux.tar.gz', 'app-macos.tar.gz'], 'app-linux.tar.gz'],
    ['32 bits are not 64', ['app_linux_386.tar.gz'], 'none'],
    ['another platform only', ['app_windows_amd64.zip'], 'none'],
    ['nothing', [], 'none'],
    ['two that fit', ['app-a_linux_amd64.tar.gz', 'app-b_linux_amd64.tar.gz'], 'several'],
    ['two neutral ones', ['client.tar.gz', 'server.tar.gz'], 'several'],
    [
      'sources are not the app',
      ['app-source.tar.gz', 'app_linux_amd64.tar.gz'],
      'app_linux_amd64.tar.gz',
    ],
  ];
  for (const [title, names, expected, platform] of cases)
    it(`${title} → ${expected}`, () => assert.equal(chosen(names, platform), expected));

  it("the operator's pattern decides alone", () => {
    const pattern = { glob: 'b*', matches: (name: string) => name.startsWith('b') };
    const choice = chooseAsset(
      [{ name: 'a_linux_amd64.tar.gz' }, { name: 'b.whatever' }],
      pattern,
      LINUX,
    );
    assert.equal(choice.kind === 'one' && choice.asset.name, 'b.whatever');
  });

  it('finds the sums: its own before the shared', () => {
    const of = (names: string[]) =>
      chooseChecksums(
        names.map((name) => ({ name })),
        'app.tar.gz',
      )?.name ?? null;
    assert.equal(of(['app.tar.gz', 'checksums.txt']), 'checksums.txt');
    assert.equal(of(['app_1.0.0_checksums.txt']), 'app_1.0.0_checksums.txt');
    assert.equal(of(['SHA256SUMS', 'app.tar.gz.sha256']), 'app.tar.gz.sha256');
    assert.equal(of(['README']), null);
  });
});

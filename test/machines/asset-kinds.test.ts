/** Kinds of names that real releases have; whole lists of real projects are asked in test/world. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chooseAsset } from '../../src/machines/asset.ts';

const AMD = { os: 'linux', arch: 'amd64', libc: 'glibc' };
const ARM = { os: 'linux', arch: 'arm64', libc: 'glibc' };
const MUSL = { os: 'linux', arch: 'amd64', libc: 'musl' };

function choose(names: string, repository = 'app', platform = AMD) {
  return chooseAsset(
    names
      .trim()
      .split(/\s+/)
      .map((name) => ({ name })),
    null,
    platform,
    repository,
  );
}

function chosen(names: string, repository?: string, platform?: typeof AMD): string {
  const choice = choose(names, repository, platform);
  return choice.kind === 'one' ? choice.asset.name : choice.kind;
}

describe('other systems', () => {
  const systems = `aix android darwin dragonfly freebsd hurd illumos ios js nacl netbsd openbsd plan9 solaris wasip1 windows zos
    sunos macos macosx mac osx haiku mingw mingw64 cygwin msvc msys2 win win32 win64 win10 wasm wasm32 wasi emscripten fuchsia redox uefi
    tvos watchos visionos openwrt synology linux-android linux-androideabi linux-ohos pc-windows-gnu apple-darwin mac-os`;
  it('are never ours, with a processor or without', () => {
    for (const system of systems.trim().split(/\s+/))
      for (const name of [
        `app-${system}.tar.gz`,
        `app_1.0.0_${system}_amd64.zip`,
        `app-x86_64-${system}`,
        `app-${system}-x64.tar.xz`,
      ])
        assert.equal(chosen(name), 'none', name);
  });

  it('are told by their packages too', () => {
    assert.equal(chosen('app-x64.zip app-x64.msi app-arm64.zip app-arm64.msi'), 'none');
    assert.equal(chosen('app.exe.zip app.exe.gz app-x64.exe'), 'none');
  });
});

describe('processors', () => {
  const spelled: [typeof AMD, string][] = [
    [
      AMD,
      'amd64 x64 x86_64 x86-64 x86.64 X64 64bit 64-bit Linux-64 linux64 lin64 linux-x64 LinuxAMD64 amd64v1 x86_64_v2 intel_64 linux_64-bit ubuntu-x64 manylinux_2_17_x86_64',
    ],
    [
      ARM,
      'arm64 aarch64 ARM64 armv8 arm64-v8a arm64v8 arm_64 aarch_64 linuxarm64 linux-arm64 linux_aarch64 Linux-ARM64 LinuxArm64',
    ],
  ];
  for (const [platform, words] of spelled)
    it(`of ${platform.arch} are read however they are spelled`, () => {
      const others =
        'app-1.0.0-linux-riscv64.tar.gz app-1.0.0-linux-i686.tar.gz app-1.0.0-linux-armv7.tar.gz app-1.0.0-linux-s390x.tar.gz app-1.0.0-darwin-x64.tar.gz';
      for (const word of words.split(' ')) {
        const name = `app-1.0.0-${/^(?:lin|ubuntu|many)/i.test(word) ? '' : 'linux-'}${word}.tar.gz`;
        assert.equal(
          chosen(`${name} ${others} app-1.0.0-darwin-arm64.tar.gz`, 'app', platform),
          name,
        );
      }
    });

  it('that this one is not are never taken', () => {
    const others = `386 i386 i686 x86 ia32 32bit 32-bit linux32 arm armhf armv5 armv6 armv6l armv7 armv7l arm-v7 arm32v7 armeabi-v7a ppc64 ppc64le powerpc64le s390x
      riscv64 riscv64gc loong64 loongarch64 mips mipsle mips64 mips64le mips64el mips64r6el sparc64 m68k alpha ia64 x32 ppcle_64 s390_64`;
    for (const word of others.trim().split(/\s+/))
      for (const platform of [AMD, ARM])
        assert.equal(chosen(`app_linux_${word}.tar.gz`, 'app', platform), 'none', word);
  });

  it('left unsaid mean amd64, unless the name says universal', () => {
    assert.equal(chosen('app-linux.tar.gz'), 'app-linux.tar.gz');
    assert.equal(chosen('app-linux.tar.gz', 'app', ARM), 'none');
    for (const word of ['universal', 'all', 'noarch', 'any'])
      assert.equal(chosen(`app-linux-${word}.tar.gz`, 'app', ARM), `app-linux-${word}.tar.gz`);
  });

  it('called `arm` mean arm64 only where the project calls its Macs so, and names no 32-bit one', () => {
    assert.equal(
      chosen('app-linux-arm.zip app-linux-x86_64.zip app-macos-arm.zip', 'app', ARM),
      'app-linux-arm.zip',
    );
    assert.equal(
      chosen('app-linux-arm.zip app-linux.zip app-macos.zip', 'app', ARM),
      'app-linux-arm.zip',
    );
    assert.equal(
      chosen('app-linux-arm.zip app-linux-amd64.zip app-linux-386.zip', 'app', ARM),
      'none',
    );
    assert.equal(
      chosen('app-linux-arm.zip app-linux-armv7.zip app-macos-arm.zip', 'app', ARM),
      'none',
    );
  });

  it('of several levels: the baseline', () => {
    assert.equal(
      chosen('app-linux-x86_64_v3.tar.gz app-linux-x86_64_v2.tar.gz app-linux-x86_64.tar.gz'),
      'app-linux-x86_64.tar.gz',
    );
    assert.equal(
      chosen('app_linux_amd64v3.tar.gz app_linux_amd64v1.tar.gz'),
      'app_linux_amd64v1.tar.gz',
    );
    assert.equal(
      chosen('app-linux-amd64-v3.2.0.tar.gz app-linux-arm64-v3.2.0.tar.gz'),
      'app-linux-amd64-v3.2.0.tar.gz',
      'a version is no level',
    );
  });
});

describe('libraries of C', () => {
  const rust = 'app-x86_64-unknown-linux-gnu.tar.gz app-x86_64-unknown-linux-musl.tar.gz';
  it("are this machine's", () => {
    assert.equal(chosen(rust), 'app-x86_64-unknown-linux-gnu.tar.gz');
    assert.equal(chosen(rust, 'app', MUSL), 'app-x86_64-unknown-linux-musl.tar.gz');
    assert.equal(chosen('app-alpine-x64.tar.gz app-linux-x64.tar.gz'), 'app-linux-x64.tar.gz');
    assert.equal(
      chosen('app-alpine-x64.tar.gz app-linux-x64.tar.gz', 'app', MUSL),
      'app-alpine-x64.tar.gz',
    );
    assert.equal(
      chosen('app-linux-x64-static.tar.gz app-linux-x64.tar.gz', 'app', MUSL),
      'app-linux-x64-static.tar.gz',
    );
  });

  it('of musl serve everywhere; those of glibc only where there is glibc; what names none serves', () => {
    assert.equal(
      chosen('app-x86_64-unknown-linux-musl.tar.gz'),
      'app-x86_64-unknown-linux-musl.tar.gz',
    );
    assert.equal(
      chosen('app-aarch64-linux-musleabihf.tar.gz', 'app', ARM),
      'app-aarch64-linux-musleabihf.tar.gz',
    );
    for (const word of ['unknown-linux-gnu', 'linux-glibc231', 'manylinux2014'])
      assert.equal(chosen(`app-x86_64-${word}.tar.gz`, 'app', MUSL), 'none', word);
    assert.equal(chosen('app_linux_amd64.tar.gz', 'app', MUSL), 'app_linux_amd64.tar.gz');
  });

  it('of several ages: the oldest; what names none is before', () => {
    assert.equal(
      chosen('app-ubuntu-24.04-x64.tgz app-ubuntu-20.04-x64.tgz app-ubuntu-22.04-x64.tgz'),
      'app-ubuntu-20.04-x64.tgz',
    );
    assert.equal(
      chosen('app-linux-glibc235-x64.tgz app-linux-glibc231-x64.tgz'),
      'app-linux-glibc231-x64.tgz',
    );
    assert.equal(
      chosen('app-linux-x64.tgz app-ubuntu20.04-x64.tgz app-el8-x64.tgz'),
      'app-linux-x64.tgz',
    );
  });
});

describe('what is never the app', () => {
  const never = `app_1.0.0_amd64.deb app-1.0.0.x86_64.rpm app_1.0.0_x86_64.apk app.1.0.0.nupkg app-x86_64.AppImage app-x86_64.AppImage.zsync app-1.0.0-linux-amd64.pkg.tar.zst
    app-1.0.0-1-x86_64.pkg.tar.xz app_amd64.snap app-x86_64.flatpak app-1.0.0-cp311-manylinux_2_17_x86_64.whl app-linux-amd64.vsix app-linux-amd64.iso
    libapp-linux-amd64.tar.gz libapp.so app-linux-amd64.so app-linux-amd64.a app-linux-x64-headers.tar.gz app-linux-x64-c-api.tar.gz app.h
    app-1.0.0-source.tar.gz app-1.0.0-src.zip app-linux-amd64-vendor.tar.gz app-linux-amd64.sha256 app-linux-amd64.tar.gz.sha512 app-linux-amd64.tar.gz.md5
    app-linux-amd64.asc app-linux-amd64.sig app-linux-amd64.minisig app-linux-amd64.pem app-linux-amd64.sigstore.json app-linux-amd64.intoto.jsonl app-linux-amd64.proof
    app-linux-amd64.sbom app-linux-amd64.spdx.json app-linux-amd64.cdx.xml app-linux-amd64-sbom.tar.gz app-completions.tar.gz app.bash app-man.tar.gz app.1.gz
    app-docs.zip app-web-ui.tar.gz app-linux-amd64-debug.tar.gz app-linux-amd64-dbgsym.tar.gz app-linux-amd64-symbols.zip app-linux-amd64.debug
    app-linux-amd64.tar.gz.part1 checksums.txt SHA256SUMS install.sh README.md LICENSE.txt app.rb manifest.json`;
  for (const name of never.trim().split(/\s+/))
    it(`${name}`, () => {
      assert.equal(chosen(name), 'none');
      assert.equal(chosen(`${name} app_1.0.0_linux_amd64.tar.gz`), 'app_1.0.0_linux_amd64.tar.gz');
    });

  it('is judged by the words that are not of the repository', () => {
    assert.equal(
      chosen('docs-server-linux-amd64.tar.gz', 'docs-server'),
      'docs-server-linux-amd64.tar.gz',
    );
    assert.equal(chosen('libreapp-linux-amd64.tar.gz', 'libreapp'), 'libreapp-linux-amd64.tar.gz');
    assert.equal(chosen('sbom-tool-linux-x64', 'sbom-tool'), 'sbom-tool-linux-x64');
  });
});

describe('the name of the repository', () => {
  it('tells no platform', () => {
    assert.equal(
      chosen('linux-foo_1.0.0_windows_amd64.zip linux-foo_1.0.0_darwin_arm64.tar.gz', 'linux-foo'),
      'none',
    );
    assert.equal(chosen('win-bar-linux-x64.tar.gz', 'win-bar'), 'win-bar-linux-x64.tar.gz');
    assert.equal(
      chosen('arm-x_linux_amd64.tar.gz arm-x_linux_arm64.tar.gz', 'arm-x'),
      'arm-x_linux_amd64.tar.gz',
    );
    assert.equal(
      chosen('darwin_y.tar.gz', 'acme/darwin-y'),
      'darwin_y.tar.gz',
      'also with its owner',
    );
    assert.equal(chosen('deno-linux-arm64.zip', 'deno-arm64'), 'none', 'but only as a whole');
  });

  const several: [string, string, string][] = [
    ['omni', 'omni-linux-amd64 omnictl-linux-amd64', 'omni-linux-amd64'],
    ['pkl', 'pkl-linux-amd64 pkldoc-linux-amd64 pkl-codegen-java', 'pkl-linux-amd64'],
    ['foo-go', 'foo_linux_amd64.tar.gz bar_linux_amd64.tar.gz', 'foo_linux_amd64.tar.gz'],
    ['foo.js', 'foo-linux-x64 bar-linux-x64', 'foo-linux-x64'],
    ['foo-rs', 'foo-x86_64-linux.tar.gz foo-extra-x86_64-linux.tar.gz', 'foo-x86_64-linux.tar.gz'],
    ['Foo_Bar', 'foobar-linux-x64.zip baz-linux-x64.zip', 'foobar-linux-x64.zip'],
    ['suite', 'tool-linux-x64.zip tool-extra-linux-x64.zip', 'tool-linux-x64.zip'],
    ['suite', 'client-linux-x64.zip server-linux-x64.zip', 'several'],
  ];
  for (const [repository, names, expected] of several)
    it(`of several programs in ${repository} gives ${expected}`, () =>
      assert.equal(chosen(names, repository), expected));

  it('forbids a companion where the program itself is not for this platform', () => {
    assert.equal(
      chosen('omni-linux-amd64 omnictl-linux-amd64 omnictl-linux-arm64', 'omni', ARM),
      'none',
    );
  });
});

describe('what names no platform', () => {
  const cases: [string, string, string, typeof AMD?][] = [
    ['an archive, where nothing does', 'app-1.0.0.tar.gz checksums.txt', 'app-1.0.0.tar.gz'],
    [
      'an archive is no program for here where another name tells a platform',
      'app-1.0.0.tar.gz app_linux_arm64.tar.gz',
      'none',
    ],
    [
      'the executable that tells a platform comes before it',
      'app-1.0.0.tar.gz app-linux-amd64',
      'app-linux-amd64',
    ],
    ['an executable', 'app checksums.txt', 'app'],
    [
      'an executable beside marked ones is the common one',
      'app app-arm64 app-darwin app.exe',
      'app',
    ],
    ['but not on another processor', 'app app-armhf app-darwin app.exe', 'none', ARM],
    [
      'a jar, where there is nothing else',
      'app-1.0.0.jar app-1.0.0-sources.jar app-1.0.0-javadoc.jar',
      'app-1.0.0.jar',
    ],
    ['a jar beside installers for other systems', 'app.jar app-setup.exe app.dmg', 'app.jar'],
    ['an archive before a jar', 'app-1.0.0.tar.gz app-1.0.0.jar', 'app-1.0.0.tar.gz'],
    ['several jars', 'client.jar server.jar', 'several'],
    ['a compressed executable', 'app.gz', 'app.gz'],
  ];
  for (const [title, names, expected, platform] of cases)
    it(`${title}: ${expected}`, () => assert.equal(chosen(names, 'app', platform), expected));
});

describe('formats', () => {
  const build = 'app_linux_amd64';
  it('that can be unpacked are all taken', () => {
    for (const ending of [
      '.tar.gz',
      '.tgz',
      '.tar.zst',
      '.tar.xz',
      '.txz',
      '.tar.bz2',
      '.tbz2',
      '.tar',
      '.zip',
      '.gz',
      '.xz',
      '.bz2',
      '.zst',
      '',
    ])
      assert.equal(chosen(`${build}${ending} app_darwin_arm64${ending}`), `${build}${ending}`);
  });

  it('of one build: what unpacks without a tool comes first, an archive before the executable itself', () => {
    const best = (...endings: string[]) =>
      chosen(endings.map((ending) => build + ending).join(' '));
    assert.equal(best('', '.zip', '.tar.bz2', '.tar.xz', '.tar.zst', '.tar.gz'), `${build}.tar.gz`);
    assert.equal(best('.zip', '.tar.xz'), `${build}.tar.xz`);
    assert.equal(best('.gz', '.zip'), `${build}.zip`);
    assert.equal(best('', '.gz'), `${build}.gz`);
    assert.equal(best('', '.xz'), build, 'no tool is needed');
    assert.equal(
      chosen('app_linux_amd64.tar.gz app-Linux-x86_64.tar.gz'),
      'app-Linux-x86_64.tar.gz',
      'one build under two names',
    );
  });

  it('that can not are named, so that the refusal can say so', () => {
    for (const name of [
      'app-linux-amd64.7z',
      'app-linux-amd64.rar',
      'app_1.0.0_amd64.deb',
      'app-x86_64.AppImage',
      'app-1.0.0.x86_64.rpm',
      'app.7z',
    ]) {
      const choice = choose(
        `${name} checksums.txt app-windows-amd64.zip`.replace(
          name === 'app.7z' ? ' app-windows-amd64.zip' : '',
          '',
        ),
      );
      assert.deepEqual(choice.kind === 'none' && choice.unusable, [name]);
    }
    const choice = choose('app_1.0.0_arm64.deb app-windows-amd64.7z app-windows.exe');
    assert.deepEqual(
      choice.kind === 'none' && choice.unusable,
      [],
      "another platform's are no reason",
    );
  });
});

describe('the program of the repository', () => {
  it('comes before a helper whose name tells more of the platform', () => {
    const names = `kitten-linux-amd64 kitten-linux-arm64 kitten-darwin-amd64 kitty-0.35.2-arm64.txz kitty-0.35.2-x86_64.txz
      kitty-0.35.2.dmg kitty-0.35.2.tar.xz kitty-0.35.2.tar.xz.sig`;
    assert.equal(chosen(names, 'kitty'), 'kitty-0.35.2-x86_64.txz');
    assert.equal(chosen(names, 'kitty', ARM), 'kitty-0.35.2-arm64.txz');
    assert.equal(
      chosen('tool-linux-amd64 app-x64.zip app-macos.zip'),
      'tool-linux-amd64',
      'a .zip without a system may be for Windows',
    );
  });

  it('under its version and as the latest is one build', () => {
    const names =
      'rqlite-v8.26.7-linux-amd64.tar.gz rqlite-latest-linux-amd64.tar.gz rqlite-v8.26.7-linux-amd64-musl.tar.gz';
    assert.equal(chosen(names, 'rqlite'), 'rqlite-v8.26.7-linux-amd64.tar.gz');
    assert.equal(chosen('app-latest-linux-amd64.tar.gz'), 'app-latest-linux-amd64.tar.gz');
  });
});

describe('any names at all', () => {
  const word = fc.constantFrom(
    ...'app linux amd64 arm64 musl gnu darwin windows arm x86 64 bit v1 2 src linuxmusl static ubuntu 22 tool jar'.split(
      ' ',
    ),
  );
  const ending = fc.constantFrom(
    '',
    '.tar.gz',
    '.zip',
    '.gz',
    '.exe',
    '.deb',
    '.sha256',
    '.7z',
    '.jar',
  );
  const name = fc
    .tuple(
      fc.array(word, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('-', '_', '.', ''),
      ending,
    )
    .map(([words, by, end]) => words.join(by) + end);

  it('give the same answer in any order, and one of the names', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { maxLength: 12 }),
        fc.constantFrom(AMD, ARM, MUSL),
        fc.infiniteStream(fc.nat()),
        (names, platform, random) => {
          const ask = (list: readonly string[]) => {
            const choice = chooseAsset(
              list.map((each) => ({ name: each })),
              null,
              platform,
              'app',
            );
            return choice.kind === 'one'
              ? choice.asset.name
              : `${choice.kind}: ${choice.kind === 'several' ? choice.names.toSorted().join(' ') : ''}`;
          };
          const shuffled = names
            .map((each) => ({ each, at: random.next().value ?? 0 }))
            .toSorted((a, b) => a.at - b.at)
            .map(({ each }) => each);
          const answer = ask(names);
          assert.equal(ask(shuffled), answer);
          assert.ok(/^(?:none|several): /.test(answer) || names.includes(answer));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('of any length are read', () => {
    const hostile = [
      'linuxmusl'.repeat(28),
      `${'aA'.repeat(125)}`,
      '-'.repeat(255),
      '1.'.repeat(127),
      `linux-amd64-${'b-'.repeat(120)}`,
    ].map((each) => each.slice(0, 250));
    const names = Array.from(
      { length: 1000 },
      (_, index) => `${hostile[index % hostile.length]}${index}`,
    );
    assert.ok(choose(names.join(' '), 'a'.repeat(100)).kind !== 'one');
  });
});

describe('docs/assets.md', () => {
  const text = readFileSync(path.join(import.meta.dirname, '../../docs/assets.md'), 'utf8');
  const rows = [...text.matchAll(/^\| ([a-z-]+) \| (`.+`) \| `?([^`|]+?)`? \|$/gm)];
  it('has examples', () => assert.ok(rows.length >= 10));
  for (const [, repository = '', names = '', expected = ''] of rows)
    it(`says the truth about ${names}`, () =>
      assert.equal(chosen(names.replaceAll('`', ''), repository), expected));
});

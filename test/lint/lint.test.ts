/** What `lint` tells: platforms, settings that were tried, levels, needs, advice. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { hostPlatform } from '../../src/cli/host.ts';
import { rulesUnder } from '../../src/cli/lint-subject.ts';
import { Inspection } from '../../src/lint/inspect.ts';
import { IMAGE_GLIBC, IMAGE_LIBRARIES, nameOf, PLATFORMS } from '../../src/lint/platforms.ts';
import { annotationOf, narrowRowsOf } from '../../src/lint/present.ts';
import { sourceOfFiles } from '../../src/lint/release-files.ts';
import type { LintReport } from '../../src/lint/report.ts';
import { SeenSource } from '../../src/lint/seen-source.ts';
import { archive } from '../support/app.ts';
import { linked } from '../support/elf.ts';
import { FakeForgejo } from '../support/forges/forgejo.ts';
import { FakeGitLab } from '../support/forges/gitlab.ts';
import { FakeGitHub } from '../support/github/server.ts';
import {
  AMD64,
  ARCHIVE,
  ARM64,
  elf,
  lintOf,
  packed,
  ReleaseDirectory,
  sha256,
} from '../support/lint.ts';
import { FakeMinisign } from '../support/minisign.ts';
import { TestRegistry } from '../support/registry/registry.ts';

let app: Buffer;
const temporary = mkdtempSync(path.join(os.tmpdir(), 'lint-rooms-'));
before(async () => {
  app = await packed();
  process.env['TMPDIR'] = temporary;
});
after(() => {
  assert.deepEqual(readdirSync(temporary), [], 'a place is left');
  rmSync(temporary, { recursive: true });
});

async function files(
  all: Record<string, string | Buffer>,
  environment: Record<string, string> = {},
  { as = 'acme/app@v1.2.3', platforms = [] as string[] } = {},
): Promise<LintReport> {
  using directory = new ReleaseDirectory().write(all);
  return await lintOf(directory.root, environment, { as, platforms });
}
const on = ({ platforms }: LintReport, name: string) =>
  platforms.find(({ platform }) => platform === name);
const codes = ({ findings }: LintReport) => findings.map(({ level, code }) => `${level} ${code}`);
const vouched = (name = ARCHIVE, bytes = app): Record<string, Buffer> => ({
  [name]: bytes,
  'checksums.txt': Buffer.from(`${sha256(bytes)}  ${name}\n`),
});

describe('the platforms', () => {
  it('have this machine among them, by the name that the updater gives it', () => {
    const { arch, libc } = hostPlatform();
    assert.ok(
      PLATFORMS.some((one) => one.arch === arch && one.libc === libc && one.os === 'linux'),
    );
    assert.equal(new Set(PLATFORMS.map(nameOf)).size, PLATFORMS.length);
    assert.deepEqual(PLATFORMS.filter(({ isOfImage }) => isOfImage).map(nameOf), [
      'linux/amd64',
      'linux/arm64',
    ]);
  });

  it('of the image have the libraries and the glibc that its builder puts there', () => {
    const read = (name: string) =>
      readFileSync(path.join(import.meta.dirname, '..', '..', name), 'utf8');
    const copied =
      /for library in ([\w ]+); do/.exec(read('docker/assemble'))?.[1]?.split(' ') ?? [];
    assert.ok(copied.length > 5);
    for (const name of copied) assert.match(`lib${name}.so.6`, IMAGE_LIBRARIES);
    assert.match(read('Dockerfile'), /^ARG DEBIAN_IMAGE=debian:bookworm-slim$/m);
    assert.ok(read('docs/getting-started.md').includes(`glibc ${IMAGE_GLIBC} `));
  });

  it('are each served by the file that an updater there would take', async () => {
    const report = await files({
      [ARCHIVE]: app,
      'app_1.2.3_linux_arm64.tar.gz': await packed(elf(ARM64)),
      'app_1.2.3_linux_amd64_musl.tar.gz': app,
    });
    const taken = report.platforms.flatMap(({ platform, asset, result }) =>
      result === 'absent' ? [] : [`${platform} ${asset?.name}`],
    );
    assert.deepEqual(taken, [
      `linux/amd64 ${ARCHIVE}`,
      'linux/arm64 app_1.2.3_linux_arm64.tar.gz',
      'linux/amd64/musl app_1.2.3_linux_amd64_musl.tar.gz',
      'linux/arm64/musl app_1.2.3_linux_arm64.tar.gz',
    ]);
    assert.equal(report.ok, true);
  });

  it('that nothing was published for are no error, unless they were named', async () => {
    const report = await files(vouched());
    assert.deepEqual(codes(report), ['notice UNSIGNED', 'notice NOT_SERVED']);
    assert.equal(on(report, 'linux/arm64')?.result, 'absent');
    const named = await files(vouched(), {}, { platforms: ['linux/amd64', 'linux/arm64'] });
    assert.deepEqual(codes(named), ['error ASSET_MISSING', 'notice UNSIGNED']);
    assert.deepEqual(named.findings[0]?.platforms, ['linux/arm64']);
    assert.equal(named.ok, false);
  });

  it('of others than the image are warned of', async () => {
    const dynamic = await packed(elf(AMD64, '/lib64/ld-linux-x86-64.so.2'));
    const report = await files(vouched(ARCHIVE, dynamic));
    assert.deepEqual(codes(report).slice(0, 1), ['warning INTERPRETER_MISSING']);
    assert.deepEqual(report.findings[0]?.platforms, ['linux/amd64/musl']);
    assert.equal(report.ok, true);
    const named = await files(vouched(ARCHIVE, dynamic), {}, { platforms: ['linux/amd64/musl'] });
    assert.equal(named.ok, false);
  });

  it('of a pattern for one of them are judged for that one', async () => {
    const all = { ...vouched(), 'app_1.2.3_linux_arm64.tar.gz': await packed(elf(ARM64)) };
    const report = await files(all, { UPDATE_ASSET: '*_amd64.tar.gz' });
    assert.equal(on(report, 'linux/amd64')?.result, 'served');
    assert.equal(on(report, 'linux/arm64')?.result, 'absent');
    assert.equal(report.ok, true);
    assert.deepEqual(report.settings, ['UPDATE_ASSET=*_amd64.tar.gz']);
  });
});

describe('a setting that would help', () => {
  const server = { 'server.js': { content: 'serve()' }, LICENSE: { content: 'MIT' } };

  it('is tried, and named, and the refusal stays an error without it', async () => {
    const report = await files({ 'app_1.2.3.tar.gz': await archive(server) });
    assert.deepEqual(on(report, 'linux/amd64')?.settings, ['UPDATE_APP_COMMAND=node server.js']);
    assert.equal(on(report, 'linux/amd64')?.start, 'node server.js');
    assert.deepEqual(on(report, 'linux/amd64')?.needs?.programs, ['node']);
    assert.equal(report.ok, false);
    const given = { UPDATE_APP_COMMAND: 'node server.js' };
    const set = await files({ 'app_1.2.3.tar.gz': await archive(server) }, given);
    assert.equal(set.ok, true);
    assert.deepEqual(on(set, 'linux/amd64')?.settings, []);
  });

  it('may bring the next one to light', async () => {
    const report = await files(
      {
        'client-1.2.3-linux-amd64.tar.gz': await archive(server),
        'server-1.2.3-linux-amd64.tar.gz': await archive(server),
      },
      {},
      { as: 'acme/suite@release-1.2.3', platforms: ['linux/amd64'] },
    );
    assert.deepEqual(on(report, 'linux/amd64')?.settings, [
      'UPDATE_TAG_PREFIX=release-',
      'UPDATE_ASSET=client-*-linux-amd64.tar.gz',
      'UPDATE_APP_COMMAND=node server.js',
    ]);
    assert.deepEqual(
      codes(report).filter((code) => code.startsWith('error')),
      ['error TAG_UNREADABLE', 'error ASSET_AMBIGUOUS', 'error ENTRY_POINT_MISSING'],
    );
  });

  it('that does not help in the end is not named', async () => {
    const report = await files(
      { 'app_1.2.3.tar.gz': await archive({ README: { content: '' } }) },
      {},
      { as: 'acme/app@release-1.2.3' },
    );
    assert.deepEqual(on(report, 'linux/amd64')?.settings, []);
    assert.equal(on(report, 'linux/amd64')?.result, 'refused');
  });
});

describe('what vouches for a file', () => {
  it('is told, whether it was looked at or not', async () => {
    const signer = new FakeMinisign();
    const sums = `${sha256(app)}  ${ARCHIVE}\n`;
    const all = {
      [ARCHIVE]: app,
      'checksums.txt': sums,
      'checksums.txt.minisig': signer.sign(Buffer.from(sums), 'file:checksums.txt tag:v1.2.3'),
    };
    const unchecked = await files(all);
    assert.deepEqual(on(unchecked, 'linux/amd64')?.evidence, ['digest', 'checksums', 'minisign']);
    assert.deepEqual(on(unchecked, 'linux/amd64')?.verifiedBy, ['digest', 'checksums']);
    assert.ok(codes(unchecked).includes('notice UNCHECKED_SIGNATURE'));
    const checked = await files(all, {
      UPDATE_VERIFY: 'digest,minisign',
      UPDATE_MINISIGN_KEYS: signer.publicKey,
    });
    assert.deepEqual(on(checked, 'linux/amd64')?.verifiedBy, ['digest', 'checksums', 'minisign']);
    assert.deepEqual(codes(checked), ['notice NOT_SERVED']);
  });

  it('has to be among the files for a forge, which tells no digests', async () => {
    const forge = { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: 'https://codeberg.org' };
    assert.ok(codes(await files({ [ARCHIVE]: app }, forge)).includes('error DIGEST_MISSING'));
    assert.equal((await files(vouched(), forge)).ok, true);
    const alone = codes(await files({ [ARCHIVE]: app }));
    assert.ok(alone.includes('warning SUMS_MISSING'), alone.join());
  });

  it('that lists another file alone is told', async () => {
    const all = { [ARCHIVE]: app, 'checksums.txt': `${sha256(app)}  another.tar.gz\n` };
    assert.ok(codes(await files(all)).includes('warning SUMS_INCOMPLETE'));
  });
});

describe('a .tar.xz', () => {
  it('that the xz of the image can not read is told', async () => {
    const tar = gunzipSync(app);
    const name = 'app_1.2.3_linux_amd64.tar.xz';
    for (const [options, isTold] of [
      [['-9'], false],
      [['--x86', '--lzma2=preset=0'], true],
    ] as const) {
      const bytes = execFileSync('xz', ['-c', ...options], { input: tar });
      const report = await files(vouched(name, bytes), {}, { platforms: ['linux/amd64'] });
      assert.equal(on(report, 'linux/amd64')?.result, 'served');
      assert.equal(codes(report).includes('warning XZ_DEMANDING'), isTold, options.join(' '));
    }
  });
});

describe('what is not what was announced', () => {
  it('is not unpacked', async () => {
    const broken = Buffer.from('an error page');
    using directory = new ReleaseDirectory().list({ [ARCHIVE]: broken }, { sha256: sha256(app) });
    const report = await lintOf(directory.root, {}, { platforms: ['linux/amd64'] });
    assert.deepEqual(codes(report), ['error DIGEST_MISMATCH']);
  });
});

describe('the disk', () => {
  it('holds one tree at a time', async () => {
    using directory = new ReleaseDirectory().write({
      [ARCHIVE]: app,
      'app_1.2.3_linux_arm64.tar.gz': await packed(elf(ARM64)),
    });
    const root = mkdtempSync(path.join(os.tmpdir(), 'one-tree-'));
    const { signal } = new AbortController();
    const options = { tag: 'v1.2.3', tellsDigests: true, signal };
    const inspection = new Inspection({
      root,
      places: {
        root: path.join(root, 'place'),
        bakedDir: '/none',
        repository: 'acme/app',
        versioning: 'semver',
        tagPrefix: '',
      },
      source: new SeenSource(await sourceOfFiles(directory.root, options)),
      tag: 'v1.2.3',
      rulesUnder: (settings) => rulesUnder({ GH_USER: 'acme', GH_REPO: 'app' }, settings),
      onProgress: () => {},
      warn: () => {},
    });
    for (const platform of PLATFORMS.slice(0, 2)) {
      const { report } = await inspection.platform(platform, signal);
      assert.equal(report.result, 'served');
      assert.equal(readdirSync(root).filter((name) => name.startsWith('tree-')).length, 1);
    }
    rmSync(root, { recursive: true });
  });
});

describe('what a program needs', () => {
  it('is its loader, and programs that the image lacks are told', async () => {
    const static_ = await files(vouched());
    assert.equal(on(static_, 'linux/amd64')?.needs?.linkage, 'static');
    const musl = await packed(elf(AMD64, '/lib/ld-musl-x86_64.so.1'));
    const report = await files(vouched('app_1.2.3_linux_amd64_musl.tar.gz', musl));
    assert.equal(on(report, 'linux/amd64/musl')?.needs?.linkage, 'musl');
    assert.ok(codes(report).includes('error INTERPRETER_MISSING'));
    const script = await packed('#!/usr/bin/env python3\n');
    const scripted = await files(vouched('app_1.2.3.tar.gz', script));
    assert.deepEqual(on(scripted, 'linux/amd64')?.needs?.programs, ['python3']);
    assert.ok(codes(scripted).includes('notice PROGRAM_NEEDED'));
  });

  it('is the newest glibc of its program and its libraries, and no library of others', async () => {
    const shared = (glibc: string, library = 'libc.so.6') => ({
      content: linked([glibc], { library }),
      mode: 0o755,
    });
    const good = await files(
      vouched(
        ARCHIVE,
        await archive({ app: shared('GLIBC_2.28'), 'a.node': shared('GLIBC_2.36') }),
      ),
    );
    assert.equal(on(good, 'linux/amd64')?.needs?.glibc, '2.36');
    assert.ok(!codes(good).some((code) => /GLIBC_NEWER|LIBRARY_NEEDED/.test(code)));
    const newer = { app: shared('GLIBC_2.28'), 'a.node': shared('GLIBC_2.38') };
    const report = await files(vouched(ARCHIVE, await archive(newer)));
    assert.ok(codes(report).includes('warning GLIBC_NEWER'));
    const other = { app: shared('OPENSSL_3.0.0', 'libssl.so.3') };
    assert.ok(
      codes(await files(vouched(ARCHIVE, await archive(other)))).includes('warning LIBRARY_NEEDED'),
    );
    const along = { ...other, 'lib/libssl.so.3': { content: linked(['GLIBC_2.4']) } };
    assert.ok(
      !codes(await files(vouched(ARCHIVE, await archive(along)))).some((code) =>
        /LIBRARY/.test(code),
      ),
    );
  });

  it('is told of native libraries for another processor', async () => {
    const addon = { content: elf(ARM64) };
    const bytes = await archive({
      app: { content: elf(AMD64), mode: 0o755 },
      'node_modules/a/build/a.node': addon,
      'node_modules/b/prebuilds/linux-arm64/b.node': addon,
    });
    const report = await files(vouched(ARCHIVE, bytes));
    const found = report.findings.find(({ code }) => code === 'NATIVE_FOREIGN');
    assert.match(found?.message ?? '', /\(node_modules\/a\/build\/a\.node\)/);
  });
});

describe('a release at GitHub', () => {
  it('is asked for once, and each file downloaded once, however many platforms take it', async () => {
    const github = await new FakeGitHub().listen();
    try {
      github.publish('v1.2.2', { [ARCHIVE]: app });
      github.publish('v1.2.3', vouched('app_1.2.3.tar.gz'));
      const environment = { UPDATE_GH_API_URL: github.url, UPDATE_ASSET_HOSTS: 'localhost' };
      const report = await lintOf('acme/app', environment);
      assert.equal(report.tag, 'v1.2.3');
      assert.equal(on(report, 'linux/amd64')?.result, 'served');
      assert.ok(report.platforms.every(({ asset }) => asset?.name === 'app_1.2.3.tar.gz'));
      const asked = github.requests.map(({ path: asked }) => asked);
      assert.equal(asked.filter((one) => one.endsWith('/releases/latest')).length, 1);
      for (const { id } of github.releases[0]?.assets ?? [])
        assert.equal(asked.filter((one) => one.startsWith(`/storage/${id}?`)).length, 1);
      assert.equal((await lintOf('acme/app@v1.2.2', environment)).tag, 'v1.2.2');
      github.misbehave = { assetStatus: 404 };
      const before = github.requests.length;
      const refused = await lintOf('acme/app', environment);
      assert.deepEqual(codes(refused), ['error DOWNLOAD_REFUSED', 'warning DOWNLOAD_REFUSED']);
      const storage = github.requests
        .slice(before)
        .filter(({ path: one }) => /^.storage/.test(one));
      assert.equal(storage.length, 1, 'a file that is gone was asked for again');
    } finally {
      await github.close();
    }
  });
});

describe('another source', () => {
  const looksAt = async (environment: Record<string, string>, repository = 'acme/app') => {
    for (const operand of [repository, `${repository}@v1.2.3`]) {
      const report = await lintOf(operand, environment, { platforms: ['linux/amd64'] });
      assert.equal(report.source, environment['UPDATE_SOURCE']);
      assert.ok(
        on(report, 'linux/amd64')?.verifiedBy.includes('checksums'),
        JSON.stringify(report),
      );
      assert.deepEqual(codes(report), ['notice UNSIGNED']);
    }
  };
  const elsewhere = { UPDATE_ASSET_HOSTS: 'localhost' };

  it('is asked as UPDATE_SOURCE says', async () => {
    await using forgejo = await new FakeForgejo().listen();
    await using gitlab = await new FakeGitLab({ project: 'acme/tools/app' }).listen();
    await using registry = await TestRegistry.start();
    const github = await new FakeGitHub().listen();
    try {
      for (const server of [forgejo, gitlab, github]) server.publish('v1.2.3', vouched());
      await registry.publish('v1.2.3', vouched());
      await looksAt({ UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: forgejo.url, ...elsewhere });
      await looksAt(
        { UPDATE_SOURCE: 'gitlab', UPDATE_SOURCE_URL: gitlab.url, ...elsewhere },
        'acme/tools/app',
      );
      await looksAt({ UPDATE_SOURCE: 'oci', UPDATE_SOURCE_URL: registry.url });
      await looksAt({
        UPDATE_SOURCE: 'github-web',
        UPDATE_SOURCE_URL: github.url,
        UPDATE_GH_API_URL: github.url,
        ...elsewhere,
      });
    } finally {
      await github.close();
    }
  });
});

describe('an annotation', () => {
  it('holds no second command, whatever a release is called', () => {
    const line = annotationOf({
      level: 'error',
      code: 'ASSET_MISSING',
      message: '100% of\n::set-env name=PATH::/tmp\r::stop-commands::x',
      platforms: ['linux/amd64', 'a:b,c'],
    });
    assert.equal(
      line,
      '::error title=ASSET_MISSING (linux/amd64%2C a%3Ab%2Cc)::100%25 of ::set-env name=PATH::/tmp ::stop-commands::x',
    );
  });
});

it('tells a platform in two rows where the terminal is narrow, without what is empty', () => {
  const rows = [
    ['linux/amd64', 'served', 'app.tar.gz', 'digest', 'app', 'static'],
    ['linux/arm64', 'absent', '-', '-', '-', '-'],
  ];
  assert.deepEqual(narrowRowsOf(rows), [
    ['linux/amd64', 'served', 'app.tar.gz'],
    ['', '', 'verified by digest; starts app; needs static'],
    ['linux/arm64', 'absent', '-'],
  ]);
});

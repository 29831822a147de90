/**
 * Archives, and trees of older versions of this program, that would never end or lead astray. Those
 * that would take all memory: test/product/archive-memory.test.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { explain } from '../../../src/effects/archive/errors.ts';
import { cutAtFrames } from '../../../src/effects/archive/zstd-frames.ts';
import { removeTree } from '../../../src/effects/durable.ts';
import { type ExtractDependencies, extract } from '../../../src/effects/extract.ts';
import { problemsOf } from '../../../src/effects/integrity.ts';
import {
  MANIFEST_NAME,
  readEntries,
  readManifest,
  type TreeEntry,
  writeManifest,
} from '../../../src/effects/manifest.ts';
import { isHostFailure } from '../../../src/machines/failure.ts';
import { pax, paxHeader, type TarEntry, tar, zip } from '../../support/hostile.ts';
import { release } from '../../support/machine.ts';

const APP: TarEntry = { path: 'app', mode: 0o755, body: '#!/bin/sh\n' };
const link = (name: string, linkpath: string): TarEntry => ({
  path: name,
  type: 'SymbolicLink',
  linkpath,
});
const directory = (name: string): TarEntry => ({
  path: `${name}/`,
  type: 'Directory',
  mode: 0o755,
});

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'endless-'));
  mkdirSync(path.join(root, 'tmp'));
});
afterEach(() => removeTree(root));

function dependencies(changes: Partial<ExtractDependencies> = {}): ExtractDependencies {
  return {
    places: {
      root,
      bakedDir: path.join(root, 'baked'),
      repository: 'acme/app',
      versioning: 'semver',
      tagPrefix: '',
    },
    app: { command: null, repositoryName: 'app', workdir: null, args: [], environment: {} },
    linked: { names: [], directory: path.join(root, 'data'), owner: null },
    maxUnpackedBytes: 1e9,
    maxEntries: 100_000,
    sealed: new Map(),
    warn: assert.fail,
    ...changes,
  };
}

/** The tree. */
async function install(
  bytes: Buffer,
  { version = '2.0.0', ...changes }: Partial<ExtractDependencies> & { version?: string } = {},
): Promise<string> {
  const file = path.join(root, 'tmp', 'x.part');
  writeFileSync(file, bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const fact = await extract(
    { release: release(version), path: file, sha256 },
    AbortSignal.timeout(100_000),
    dependencies(changes),
  );
  assert.ok(fact.type === 'installed');
  return fact.version.path;
}

const refused = { code: 'ARCHIVE_REFUSED', message: /leads out of the tree|goes upwards/ };
/** What this process has read, in bytes; proc(5). */
const bytesRead = () => Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);

describe('a tree of links is walked once', () => {
  it('two links to the directory they lie in: installed, and verified', {
    timeout: 60_000,
  }, async () => {
    const tree = await install(tar(APP, link('a', '.'), link('b', '.')));
    assert.deepEqual(await problemsOf(tree, []), []);
    assert.deepEqual(readdirSync(tree).sort(), [MANIFEST_NAME, 'a', 'app', 'b']);
    const { entries } = await contentOf(tree);
    assert.deepEqual(
      entries.map(({ path: name }) => name),
      ['a', 'app', 'b'],
    );
  });

  it('two thousand links to a directory of two thousand files have four thousand entries', {
    timeout: 60_000,
  }, async () => {
    const many = (make: (i: number) => TarEntry) => Array.from({ length: 2000 }, (_, i) => make(i));
    const bytes = tar(
      APP,
      ...many((i) => ({ path: `d/${i}` })),
      ...many((i) => link(`to-${i}`, 'd')),
    );
    const { entries } = await contentOf(await install(bytes));
    assert.equal(entries.length, 1 + 1 + 4000);
  });

  it('a link upwards in a deep directory, through every level', { timeout: 60_000 }, async () => {
    const deep = Array.from({ length: 40 }, () => 'd');
    const links = deep.map((_, i) =>
      link(`${deep.slice(0, i + 1).join('/')}/up`, '../'.repeat(i + 1)),
    );
    const tree = await install(tar(APP, ...links));
    assert.deepEqual(await problemsOf(tree, []), []);
  });

  it('a chain of thousands of links, each of many steps, is refused after forty', {
    timeout: 60_000,
  }, async () => {
    const steps = 'd/../'.repeat(60);
    const links = Array.from({ length: 5000 }, (_, i) => [
      paxHeader(pax('linkpath', `${steps}l${(i + 1) % 5000}`)),
      link(`l${i}`, 'x'),
    ]).flat();
    await assert.rejects(install(tar(APP, directory('d'), ...links)), {
      code: 'ARCHIVE_REFUSED',
      message: /more than 40 links/,
    });
  });

  it('a file of a thousand names is read once', async () => {
    const names = Array.from(
      { length: 1000 },
      (_, i): TarEntry => ({ path: `h${i}`, type: 'Link', linkpath: 'big' }),
    );
    const before = bytesRead();
    const tree = await install(
      gzipSync(tar(APP, { path: 'big', body: Buffer.alloc(2_000_000, 'x') }, ...names)),
    );
    assert.deepEqual(await problemsOf(tree, []), []);
    assert.ok(bytesRead() - before < 100_000_000, `${bytesRead() - before} bytes were read`);
  });
});

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function contentOf(tree: string): Promise<{ entries: TreeEntry[] }> {
  return { entries: await allOf(readEntries(tree)) };
}

describe('a link counts as it will lie on the disk', () => {
  const wrapped = { ...APP, path: 'app-1.0/app' };
  const ASTRAY: Record<string, Buffer> = {
    'by the name of the directory that is taken off': tar(
      wrapped,
      link('app-1.0/x', '../app-1.0/app'),
    ),
    'by that name, from further below': tar(wrapped, link('app-1.0/d/x', '../../app-1.0/app')),
    'by that name, to what is not there': tar(wrapped, link('app-1.0/x', '../app-1.0/missing')),
    'by that name, in a hidden turn': tar(
      wrapped,
      directory('app-1.0/d'),
      link('app-1.0/x', 'd/../../app-1.0/app'),
    ),
    'by that name, through another link': tar(
      wrapped,
      link('app-1.0/up', 'd/e'),
      directory('app-1.0/d/e'),
      link('app-1.0/x', 'up/../../../app-1.0/app'),
    ),
    'through a link that leaves and comes back': tar(
      wrapped,
      link('app-1.0/d/out', '../../app-1.0'),
      link('app-1.0/x', 'd/out/app'),
    ),
    'in a zip': zip([
      { name: 'app-1.0/app', body: '#!/bin/sh\n', mode: 0o100755 },
      { name: 'app-1.0/x', body: '../app-1.0/app', mode: 0o120777 },
    ]),
    'upwards from what is missing': tar(APP, link('x', 'missing/../../outside/../tmp')),
    'upwards from a circle': tar(APP, link('circle', 'circle'), link('d/x', '../circle/../../tmp')),
    'upwards at the end of a long chain': tar(
      wrapped,
      ...Array.from({ length: 30 }, (_, i) => link(`app-1.0/c${i}`, i === 29 ? '.' : `c${i + 1}`)),
      link('app-1.0/d/x', '../c0/../app-1.0/app'),
    ),
  };
  for (const [title, bytes] of Object.entries(ASTRAY))
    it(`${title}: refused`, async () => {
      await assert.rejects(install(bytes), refused);
      assert.deepEqual(readdirSync(path.join(root, 'releases')), []);
    });

  it('version 2 does not run as version 1, whose tree its own directory is named after', async () => {
    const first = await install(tar(APP), { version: '1.0.0' });
    const name = path.basename(first);
    await assert.rejects(
      install(tar({ path: `${name}/other` }, link(`${name}/app`, `../${name}/app`))),
      refused,
    );
    assert.deepEqual(readdirSync(path.join(root, 'releases')), [name]);
  });

  it('links within the directory that is taken off stay', async () => {
    const tree = await install(
      tar(
        wrapped,
        link('app-1.0/d/x', '../app'),
        link('app-1.0/d/y', '../d/../d/x'),
        link('app-1.0/z', './/d/.//y'),
      ),
    );
    assert.equal(readFileSync(path.join(tree, 'z'), 'utf8'), '#!/bin/sh\n');
    assert.deepEqual(await problemsOf(tree, []), []);
  });

  it('a link to the app’s data stays, and one upwards from there does not: it would lead into the data', async () => {
    const linked = { names: ['data/'], directory: path.join(root, 'data'), owner: null };
    const tree = await install(tar(APP, directory('data'), link('config', 'data/config')), {
      linked,
    });
    assert.equal(lstatSync(path.join(tree, 'data')).isSymbolicLink(), true);
    assert.deepEqual(await problemsOf(tree, ['data']), []);
    await assert.rejects(
      install(tar(APP, directory('data'), link('x', 'data/../lib'), directory('lib')), {
        linked,
        version: '3.0.0',
      }),
      refused,
    );
  });
});

describe('a tree that an older version of this program installed', () => {
  /** As the old walk left it, links and all. */
  async function old(spoil: (tree: string) => TreeEntry[]): Promise<string> {
    const tree = await install(tar(APP), { version: '1.0.0' });
    execFileSync('chmod', ['u+w', tree, path.join(tree, MANIFEST_NAME)]);
    const manifest = JSON.parse(readFileSync(path.join(tree, MANIFEST_NAME), 'utf8')) as {
      entries: TreeEntry[];
    };
    manifest.entries.push(...spoil(tree));
    writeFileSync(path.join(tree, MANIFEST_NAME), JSON.stringify(manifest));
    return tree;
  }
  const placed = (tree: string, name: string, target: string): TreeEntry => {
    symlinkSync(target, path.join(tree, name));
    return { path: name, type: 'link', mode: 0o777, sizeBytes: 0, content: target };
  };

  it('is verified to its end where its links lead to themselves', { timeout: 60_000 }, async () => {
    const tree = await old((at) => [placed(at, 'a', '.'), placed(at, 'b', '.')]);
    assert.deepEqual(await problemsOf(tree, []), []);
  });

  it('is said to have a link that leads to another tree', async () => {
    const tree = await old((at) => [placed(at, 'x', '../1.0.0/app')]);
    assert.match((await problemsOf(tree, [])).join(), /"x" leads out of the tree/);
  });

  it('is read to its end where the app has put endless links and FIFOs in it, and in place of what it brought', {
    timeout: 60_000,
  }, async () => {
    const tree = await old((at) => {
      for (const name of ['a', 'b', 'c']) symlinkSync('.', path.join(at, name));
      execFileSync('rm', ['-f', path.join(at, 'app')]);
      execFileSync('mkfifo', [path.join(at, 'app'), path.join(at, 'other')]);
      return [];
    });
    assert.match((await problemsOf(tree, [])).join(), /^the archive is refused: "app" is neither/);
    execFileSync('rm', [path.join(tree, MANIFEST_NAME)]);
    execFileSync('mkfifo', [path.join(tree, MANIFEST_NAME)]);
    assert.deepEqual(await problemsOf(tree, []), ['no manifest']);
  });

  it('has a manifest that is read by its head, whatever comes after, and whatever a name says', async () => {
    const name = '"entries":[},{"path":“ü”\\';
    const tree = await old((at) => {
      writeFileSync(path.join(at, name), '');
      const more = Array.from({ length: 5000 }, (_, i) => ({
        path: `${name}/${i}`,
        type: 'file' as const,
        mode: 0o444,
        sizeBytes: 0,
        content: 'c',
      }));
      return [
        {
          path: name,
          type: 'file',
          mode: 0o644,
          sizeBytes: 0,
          content: createHash('sha256').digest('hex'),
        },
        ...more,
      ];
    });
    const whole = JSON.parse(readFileSync(path.join(tree, MANIFEST_NAME), 'utf8')) as {
      version: unknown;
      entries: TreeEntry[];
    };
    assert.deepEqual(await allOf(readEntries(tree)), whole.entries);
    assert.deepEqual((await readManifest(tree))?.version, whole.version);
    writeFileSync(
      path.join(tree, MANIFEST_NAME),
      readFileSync(path.join(tree, MANIFEST_NAME)).subarray(0, -40),
    );
    assert.match((await problemsOf(tree, [])).join(), /manifest is truncated/);
  });
});

describe('a manifest that could not be read back is not written', () => {
  const known = () => ({
    schema: 1 as const,
    version: {
      repository: 'acme/app',
      version: '2.0.0',
      tag: 'v2.0.0',
      digest: null,
      fingerprint: null,
    },
    verifiedUnder: '',
  });
  const file: TreeEntry = { path: 'app', type: 'file', mode: 0o555, sizeBytes: 1, content: '' };
  const refusedManifest = { code: 'ARCHIVE_REFUSED', message: /described|could not be read back/ };

  it('where its head is as long as its reader goes, or longer', async () => {
    const found = release('2.0.0');
    const sized = (length: number) => ({
      ...known(),
      release: { ...found, asset: { ...found.asset, url: 'u'.repeat(length) } },
    });
    const rest = JSON.stringify(sized(0)).length;
    for (const length of [
      2 ** 20 - rest - 20,
      2 ** 20 - rest - 10,
      2 ** 20 - rest,
      2 ** 20 - rest + 20,
      2 ** 21,
    ]) {
      const written = await writeManifest(root, sized(length), [file]).then(
        () => true,
        (error: { code: string }) => error.code !== 'ARCHIVE_REFUSED',
      );
      assert.equal((await readManifest(root)) !== null, written, `${length}`);
      if (written) execFileSync('rm', [path.join(root, MANIFEST_NAME)]);
    }
  });

  it('where an entry is too long, or is none', async () => {
    const manifest = { ...known(), release: release('2.0.0') };
    await assert.rejects(
      writeManifest(root, manifest, [file, { ...file, path: '\u0001'.repeat(20_000) }]),
      refusedManifest,
    );
    await assert.rejects(writeManifest(root, manifest, [{ ...file, mode: Number.NaN }]));
    assert.equal(await readManifest(root), null);
    assert.deepEqual(readdirSync(root), ['tmp'], 'and nothing is left of it');
  });

  it('where its release is one that the journal would not take', async () => {
    await assert.rejects(
      writeManifest(root, { ...known(), release: { ...release('2.0.0'), tag: 'v'.repeat(256) } }, [
        file,
      ]),
      refusedManifest,
    );
  });

  it('and nothing is unpacked for it', async () => {
    const bytes = tar(APP);
    writeFileSync(path.join(root, 'tmp', 'x.part'), bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const found = { ...release('2.0.0'), publishedAt: '0'.repeat(1_200_000) };
    await assert.rejects(
      extract(
        { release: found, path: path.join(root, 'tmp', 'x.part'), sha256 },
        AbortSignal.timeout(60_000),
        dependencies(),
      ),
      refusedManifest,
    );
    assert.deepEqual(readdirSync(path.join(root, 'tmp')), ['x.part']);
  });
});

describe('zstd data of nothing but frames', () => {
  const payload = () => zstdCompressSync(tar(APP));
  const SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  const EMPTY = zstdCompressSync(Buffer.alloc(0));
  const repeated = (frame: Buffer, count: number) => Buffer.alloc(frame.length * count, frame);
  const endless = { code: 'ARCHIVE_REFUSED', message: /more than 100000 zstd frames/ };

  it('a million skippable frames behind it: refused', { timeout: 60_000 }, async () => {
    await assert.rejects(
      install(Buffer.concat([payload(), repeated(SKIPPABLE, 1_000_000)])),
      endless,
    );
    await assert.rejects(
      install(Buffer.concat([repeated(SKIPPABLE, 1_000_000), payload()])),
      endless,
    );
  });

  it('a million empty frames: refused', { timeout: 60_000 }, async () => {
    await assert.rejects(install(Buffer.concat([payload(), repeated(EMPTY, 1_000_000)])), endless);
  });

  it('skippable frames are left out wherever they are, and however the pieces fall', async () => {
    const filled = Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 0, 1, 0x28, 0xb5, 0x2f]);
    const sized = zstdCompressSync(tar(APP), { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
    const data = [payload(), EMPTY, sized, zstdCompressSync(randomBytes(20_000))];
    const whole = Buffer.concat([
      filled,
      SKIPPABLE,
      ...data.flatMap((frame) => [frame, filled, SKIPPABLE]),
      Buffer.alloc(700),
    ]);
    for (const size of [1, 2, 3, 5, 7, 4096, whole.length]) {
      async function* pieces() {
        const buffer = Buffer.alloc(size);
        // The buffer is used again, as that of a file is.
        for (let at = 0; at < whole.length; at += size)
          yield buffer.subarray(0, whole.copy(buffer, 0, at, at + size));
      }
      const parts: Buffer[] = [];
      for await (const part of cutAtFrames(pieces())) parts.push(Buffer.from(part));
      assert.deepEqual(Buffer.concat(parts), Buffer.concat(data), `in pieces of ${size}`);
      const ends = endsOf(parts);
      for (const end of endsOf(data))
        assert.ok(ends.includes(end), 'no part reaches over the end of a frame');
    }
  });

  function endsOf(parts: readonly Buffer[]): number[] {
    let end = 0;
    return parts.map(({ length }) => {
      end += length;
      return end;
    });
  }

  it('frames of a few kB, as chunked archives have them, are read, seek tables and all', {
    timeout: 60_000,
  }, async () => {
    const body = randomBytes(3_000_000);
    const bytes = tar(APP, { path: 'data', body });
    const frames: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 4096)
      frames.push(zstdCompressSync(bytes.subarray(at, at + 4096)), SKIPPABLE);
    assert.deepEqual(readFileSync(path.join(await install(Buffer.concat(frames)), 'data')), body);
  });
});

it('millions of empty gzip members are read to their end', { timeout: 60_000 }, async () => {
  const empty = gzipSync(Buffer.alloc(0));
  assert.ok(
    await install(
      Buffer.concat([gzipSync(tar(APP)), Buffer.alloc(empty.length * 2_000_000, empty)]),
    ),
  );
});

describe('what no file system holds is the archive’s fault, and is not fetched for ever', () => {
  const failed = (code: string, syscall: string) => {
    const errno = -((os.constants.errno as Record<string, number>)[code] ?? 0);
    return Object.assign(new Error(`${code}: it failed, ${syscall} '/data/tmp/tree-1/x'`), {
      code,
      syscall,
      errno,
      path: '/data/tmp/tree-1/x',
    });
  };
  const refusals: [string, string, string][] = [
    ['more hard links than a file may have', 'EMLINK', 'link'],
    ['more directories than a directory may have', 'EMLINK', 'mkdir'],
    ['a name that is too long', 'ENAMETOOLONG', 'open'],
    ['links in a circle', 'ELOOP', 'mkdir'],
    ['a name in another encoding', 'EILSEQ', 'open'],
    ['a name with characters that vfat lacks', 'EINVAL', 'mkdir'],
    ['a link of such a name', 'EINVAL', 'symlink'],
    ['a program of such a name', 'EINVAL', 'copyfile'],
  ];
  for (const [title, code, syscall] of refusals)
    it(`${title}: ${code} of ${syscall}`, () => {
      const fault = explain(failed(code, syscall));
      assert.equal(fault.code, 'ARCHIVE_REFUSED');
      assert.ok(!isHostFailure(fault.code));
    });

  it('what the disk says stays the disk’s', () => {
    for (const [code, syscall] of [
      ['EIO', 'write'],
      ['ENOSPC', 'mkdir'],
      ['EINVAL', 'read'],
      ['EROFS', 'open'],
      ['EBUSY', 'open'],
      ['ESTALE', 'link'],
      ['EFBIG', 'write'],
      ['EFBIG', 'ftruncate'],
    ] as const)
      assert.ok(isHostFailure(explain(failed(code, syscall)).code), code);
  });

  it('a limit on the size of files (ulimit -f) is the machine’s: the release is not denied for it', {
    timeout: 60_000,
  }, () => {
    const file = path.join(root, 'archive');
    writeFileSync(file, gzipSync(tar(APP, { path: 'data', body: Buffer.alloc(3_000_000) })));
    const program = path.join(import.meta.dirname, '..', '..', 'support', 'extract-child.ts');
    // In blocks of 512 bytes, as POSIX has it.
    const said = execFileSync(
      '/bin/sh',
      ['-c', 'ulimit -f 2000; exec "$@"', 'sh', process.execPath, program, file, root],
      { encoding: 'utf8' },
    );
    const { outcome } = JSON.parse(said) as { outcome: string };
    assert.match(outcome, /^NO_SPACE: EFBIG.*ulimit -f/);
    assert.ok(isHostFailure('NO_SPACE'));
  });

  it('65,010 hard links to one file are refused, or installed where the file system has no such limit', {
    timeout: 120_000,
  }, async () => {
    const links = Array.from(
      { length: 65_010 },
      (_, i): TarEntry => ({ path: `l/${i}`, type: 'Link', linkpath: 'app' }),
    );
    await install(gzipSync(tar(APP, ...links), { level: 1 })).catch((error: unknown) => {
      assert.equal((error as { code: string }).code, 'ARCHIVE_REFUSED', String(error));
    });
  });
});

it('a map of holes that comes in pieces of one byte is read once', {
  timeout: 60_000,
}, async () => {
  const { SparseWriter } = await import('../../../src/effects/archive/sparse.ts');
  const runs = 90_000;
  const map = Buffer.from(
    `${runs}\n${Array.from({ length: runs }, (_, i) => `${i * 4096}\n0\n`).join('')}`,
  );
  const padded = Buffer.concat([map, Buffer.alloc((512 - (map.length % 512)) % 512)]);
  const said: string[] = [];
  const tree = {
    setSize: (bytes: number) => said.push(`size ${bytes}`),
    closeFile: () => said.push('closed'),
    writeAt: () => said.push('written'),
  };
  const writer = new SparseWriter(
    { path: null, sizeBytes: runs * 4096, runs: null },
    tree as never,
  );
  for (let at = 0; at < padded.length; at++) writer.write(padded.subarray(at, at + 1));
  writer.end();
  assert.deepEqual(said, [`size ${runs * 4096}`, 'closed']);
});

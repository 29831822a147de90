/** Every format as its own tools make it: read whole, bounded, and nothing may follow the end. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { findTool, toolFor } from '../../src/effects/archive/tool.ts';
import { unpack } from '../../src/effects/archive/unpack.ts';
import { removeTree } from '../../src/effects/durable.ts';

const LIMITS = { maxEntries: 1000, maxUnpackedBytes: 200_000_000 };
const CASES = path.join(import.meta.dirname, '..', 'support', 'archives');
const MIB = 1024 * 1024;

let root: string;
let into: string;
const PATH = process.env['PATH'];
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'formats-'));
  into = path.join(root, 'inside');
  mkdirSync(into);
});
afterEach(async () => {
  process.env['PATH'] = PATH;
  await removeTree(root);
});

const shell = (script: string, input?: Buffer) =>
  execFileSync('bash', ['-o', 'pipefail', '-c', script], {
    cwd: root,
    input,
    maxBuffer: 400 * MIB,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
const patient = () => AbortSignal.timeout(60_000);

async function unpacked(bytes: Buffer, asset = 'app.tar.gz', limits = LIMITS): Promise<string[]> {
  await removeTree(into);
  mkdirSync(into);
  const file = path.join(root, 'archive');
  writeFileSync(file, bytes);
  await unpack(file, into, { asset, program: 'app' }, limits, patient());
  return (readdirSync(into, { recursive: true }) as string[]).sort();
}

/** Half of it can be compressed. */
function content(bytes: number): Buffer {
  const blocks: Buffer[] = [];
  let block = createHash('sha512').update('seed').digest();
  for (let have = 0; have < bytes; have += 128) {
    block = createHash('sha512').update(block).digest();
    blocks.push(block, Buffer.alloc(64));
  }
  return Buffer.concat(blocks).subarray(0, bytes);
}

const PROGRAM = Buffer.from('#!/bin/sh\nexit 0\n');

/** A tar of a program and of `bytes` of data, by GNU tar. */
function plainTar(bytes = 300_000): Buffer {
  const directory = path.join(root, 'in');
  mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(directory, 'app'), PROGRAM, { mode: 0o755 });
  writeFileSync(path.join(directory, 'data'), content(bytes));
  return shell('tar -C in -c app data');
}

const busyboxOnly = () => {
  const directory = path.join(root, 'applets');
  mkdirSync(directory);
  const busybox = shell('command -v busybox').toString().trim();
  for (const applet of ['xz', 'bzip2']) symlinkSync(busybox, path.join(directory, applet));
  process.env['PATH'] = directory;
};

const PACKERS: Record<string, string> = {
  ...Object.fromEntries(
    [
      'gzip -1',
      'gzip -9',
      'bzip2 -1',
      'bzip2 -9',
      'zstd -q -1',
      'zstd -q -19',
      'zstd -q --ultra -22 --long=27',
    ].map((packer) => [packer, packer]),
  ),
  ...Object.fromEntries(
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '9e'].map((level) => [
      `xz -${level}`,
      `xz -${level}`,
    ]),
  ),
  'xz --check=sha256': 'xz --check=sha256',
  'xz --check=none': 'xz --check=none',
  'xz of several blocks': 'xz -T2 --block-size=65536',
  'xz with padding': '(xz -0; printf "\\0\\0\\0\\0")',
};

describe('a tar packed by', { concurrency: false }, () => {
  for (const platform of ['the tools on PATH', 'busybox alone'])
    for (const [title, packer] of Object.entries(PACKERS)) {
      const usesTool = /xz|bzip2/.test(title);
      if (platform === 'busybox alone' && (!usesTool || title === 'xz with padding')) continue;
      it(`${title} is unpacked by ${platform}`, async () => {
        const plain = plainTar();
        const packed = shell(packer, plain);
        if (platform === 'busybox alone') busyboxOnly();
        assert.deepEqual(await unpacked(packed), ['app', 'data']);
        assert.ok(readFileSync(path.join(into, 'data')).equals(content(300_000)));
        assert.equal(statSync(path.join(into, 'app')).mode & 0o777, 0o555);
      });
    }

  for (const packer of ['gzip', 'bzip2', 'xz', 'zstd -q'])
    it(`${packer} in many parts, one behind the other, is read whole`, async () => {
      const plain = plainTar(2_000_000);
      const parts: Buffer[] = [];
      // Some end where a piece that is read ends.
      for (let at = 0; at < plain.length; at += 256 * 1024)
        parts.push(shell(packer, plain.subarray(at, at + 256 * 1024)));
      assert.deepEqual(await unpacked(Buffer.concat(parts)), ['app', 'data']);
      assert.ok(readFileSync(path.join(into, 'data')).equals(content(2_000_000)));
      if (!/xz|bzip2/.test(packer)) return;
      busyboxOnly();
      assert.deepEqual(await unpacked(Buffer.concat(parts)), ['app', 'data']);
    });

  it('pzstd, with skippable frames before, between and behind, is read whole', async () => {
    const skippable = Buffer.from('5e2a4d1803000000616263', 'hex');
    const empty = Buffer.from('502a4d1800000000', 'hex');
    const whole = shell('pzstd -q -p 4 -c', plainTar(9_000_000));
    for (const bytes of [whole, Buffer.concat([skippable, empty, whole, empty, skippable])]) {
      assert.deepEqual(await unpacked(bytes, 'app.tar.zst'), ['app', 'data']);
      assert.ok(readFileSync(path.join(into, 'data')).equals(content(9_000_000)));
    }
  });

  it('a seekable archive of two frames, as published, is read whole', async () => {
    assert.deepEqual(
      await unpacked(readFileSync(path.join(CASES, 'A13h-multiframe-small.tar.zst')), 'x.tar.zst'),
      ['server', 'zz-data.bin'],
    );
    assert.equal(statSync(path.join(into, 'zz-data.bin')).size, 30_000);
  });

  it('pixz, whose index follows the tar, is unpacked', async () => {
    writeFileSync(path.join(root, 'plain.tar'), plainTar());
    assert.deepEqual(await unpacked(shell('pixz plain.tar plain.tpxz && cat plain.tpxz')), [
      'app',
      'data',
    ]);
  });

  for (const packer of ['gzip', 'bzip2', 'xz', 'zstd -q'])
    it(`${packer} with zeros behind it, in the same piece and in the next, is padded as bsdtar does it`, async () => {
      const packed = shell(packer, plainTar());
      for (const busybox of [false, true]) {
        if (busybox) busyboxOnly();
        for (const zeros of [1, 4, 512, 600_000])
          assert.deepEqual(
            await unpacked(Buffer.concat([packed, Buffer.alloc(zeros)])),
            ['app', 'data'],
            `${zeros}`,
          );
      }
    });
});

describe('what is cut off, followed by something, or spoilt is refused', {
  concurrency: false,
}, () => {
  for (const packer of ['gzip', 'bzip2', 'xz', 'zstd -q']) {
    it(packer, async () => {
      const packed = shell(packer, plainTar());
      const rubbish = Buffer.from('rubbish');
      const spoilt = Buffer.from(packed);
      spoilt[packed.length >> 1] = (spoilt[packed.length >> 1] ?? 0) ^ 0xff;
      const bad = {
        'cut off': packed.subarray(0, -1),
        half: packed.subarray(0, packed.length >> 1),
        head: packed.subarray(0, 20),
        followed: Buffer.concat([packed, rubbish]),
        'followed by zeros and something': Buffer.concat([packed, Buffer.alloc(100), rubbish]),
        spoilt,
        twice: shell(packer, packed),
      };
      for (const busybox of [false, true]) {
        if (busybox) busyboxOnly();
        for (const [title, bytes] of Object.entries(bad))
          await assert.rejects(unpacked(bytes), { code: 'ARCHIVE_CORRUPT' }, title);
      }
    });
  }
});

describe('a bomb', { concurrency: false }, () => {
  for (const packer of ['bzip2 -9', 'xz -0', 'gzip -9', 'zstd -q'])
    for (const name of ['app.tar.x', 'app.gz'])
      it(`of zeros by ${packer}, called ${name}, is refused early, and no process is left`, async () => {
        const program = Buffer.concat([PROGRAM, Buffer.alloc(512)]);
        writeFileSync(
          path.join(root, 'head'),
          name === 'app.gz' ? program : plainTar(1000).subarray(0, 1024),
        );
        const bytes = shell(`(cat head; head -c ${128 * MIB} /dev/zero) | ${packer}`);
        const limits = { maxEntries: 1000, maxUnpackedBytes: 4096 * MIB };
        await assert.rejects(unpacked(bytes, name, limits), {
          code: /^ARCHIVE_(?:TOO_LARGE|CORRUPT)$/,
        });
        const left = (readdirSync(into) as string[]).reduce(
          (sum, file) => sum + statSync(path.join(into, file)).size,
          0,
        );
        assert.ok(left < 80 * MIB, `${left} bytes were written`);
        assert.deepEqual(childrenOf(process.pid), []);
      });

  it('of a hole, which takes no space in the archive, counts with its size', async () => {
    mkdirSync(path.join(root, 'in'));
    writeFileSync(path.join(root, 'in', 'hole'), '');
    truncateSync(path.join(root, 'in', 'hole'), 5 * 1024 * MIB);
    await assert.rejects(unpacked(shell('tar -C in -S --format=pax -cz hole')), {
      code: 'ARCHIVE_TOO_LARGE',
    });
    await assert.rejects(
      unpacked(shell('tar -C in -S --format=pax -cz hole'), 'app.tar.gz', {
        maxEntries: 9,
        maxUnpackedBytes: 1e12,
      }),
      {
        code: 'ARCHIVE_TOO_LARGE',
      },
    );
  });
});

/** Processes whose parent is this one, zombies included, except what the test runner holds. */
function childrenOf(pid: number): string[] {
  return execFileSync('ps', ['--ppid', String(pid), '-o', 'comm='], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => /xz|bzip2|busybox/.test(name));
}

describe('the tool of the platform', { concurrency: false }, () => {
  it('is told by the name, before anything is downloaded', () => {
    const tools = [
      'a.tar.xz',
      'a.TXZ',
      'a.xz',
      'a.tar.bz2',
      'a.tbz',
      'a.tbz2',
      'a.bz2',
      'a.tar.gz',
      'a.zip',
      'a',
      'a.zst',
    ].map(toolFor);
    assert.deepEqual(tools, [
      'xz',
      'xz',
      'xz',
      'bzip2',
      'bzip2',
      'bzip2',
      'bzip2',
      null,
      null,
      null,
      null,
    ]);
  });

  it('is the complete one where there are two', () => {
    busyboxOnly();
    const applets = process.env['PATH'] ?? '';
    assert.equal(findTool('xz'), path.join(applets, 'xz'));
    assert.notEqual(findTool('xz', `${applets}:${PATH}`), path.join(applets, 'xz'));
  });

  it('is asked for by name where it is missing', async () => {
    const packed = shell('xz', plainTar());
    process.env['PATH'] = path.join(root, 'nothing');
    await assert.rejects(unpacked(packed), {
      code: 'TOOL_MISSING',
      message: /`xz`.*xz-utils.*UPDATE_ASSET/,
    });
  });

  for (const [title, packer] of [
    ['a filter', 'xz --x86 --lzma2'],
    ['a dictionary of 96 MiB', 'xz --lzma2=preset=0,dict=96MiB'],
  ] as const)
    it(`is busybox's, which can't read ${title}: that is said, and XZ Utils read it`, async () => {
      const packed = shell(packer, plainTar());
      assert.deepEqual(await unpacked(packed), ['app', 'data']);
      busyboxOnly();
      await assert.rejects(unpacked(packed), (error: Error & { code: string }) => {
        assert.equal(error.code, 'TOOL_FAILED');
        return error.message.includes(`made with ${title}`) && error.message.includes('xz-utils');
      });
    });

  it('gets nothing of the environment, and ends with whoever reads from it', async () => {
    const directory = path.join(root, 'slow');
    mkdirSync(directory);
    writeFileSync(
      path.join(directory, 'xz'),
      `#!/bin/sh\n/usr/bin/env > ${root}/environment; echo $$ > ${root}/pid; exec /bin/sleep 600\n`,
    );
    chmodSync(path.join(directory, 'xz'), 0o755);
    const packed = shell('xz', plainTar());
    process.env['PATH'] = directory;
    process.env['UPDATE_GH_TOKEN'] = 'canary';
    writeFileSync(path.join(root, 'archive'), packed);
    const controller = new AbortController();
    const unpacking = unpack(
      path.join(root, 'archive'),
      into,
      { asset: 'a.tar.xz', program: 'app' },
      LIMITS,
      controller.signal,
    );
    unpacking.catch(() => {});
    while (
      !readdirSync(root).includes('pid') ||
      readFileSync(path.join(root, 'pid'), 'utf8') === ''
    )
      await new Promise(setImmediate);
    controller.abort();
    await assert.rejects(unpacking, { name: 'AbortError' });
    delete process.env['UPDATE_GH_TOKEN'];
    assert.throws(() => process.kill(Number(readFileSync(path.join(root, 'pid'), 'utf8')), 0), {
      code: 'ESRCH',
    });
    assert.doesNotMatch(readFileSync(path.join(root, 'environment'), 'utf8'), /canary/);
  });
});

describe('one file instead of an archive', { concurrency: false }, () => {
  const elf = () => readFileSync('/bin/true');
  for (const [ending, packer] of Object.entries({
    gz: 'gzip',
    xz: 'xz',
    bz2: 'bzip2',
    zst: 'zstd -q',
  }))
    it(`.${ending} of a program is one program, of a tar it is a tree, of another file that file`, async () => {
      assert.deepEqual(await unpacked(shell(packer, elf()), `app_linux_amd64.${ending}`), ['app']);
      assert.ok(readFileSync(path.join(into, 'app')).equals(elf()));
      assert.equal(statSync(path.join(into, 'app')).mode & 0o777, 0o555);
      assert.deepEqual(await unpacked(shell(packer, plainTar()), `app_linux_amd64.${ending}`), [
        'app',
        'data',
      ]);
      assert.deepEqual(
        await unpacked(shell(packer, Buffer.from('console.log(1)')), `server.js.${ending}`),
        ['server.js'],
      );
      await assert.rejects(unpacked(shell(packer, Buffer.from('hello')), `app.tar.${ending}`), {
        code: 'ARCHIVE_CORRUPT',
      });
    });

  it('.zip with backslashes between folders, as old .NET makes it, is the same tree', async () => {
    const made = shell(
      'mkdir -p z/dist/lib && echo 1 > z/dist/app && echo 2 > z/dist/lib/data && cd z && zip -qrD - dist',
    );
    for (const name of ['dist/app', 'dist/lib/data'])
      for (let at = made.indexOf(name); at >= 0; at = made.indexOf(name, at + 1))
        made.write(name.replaceAll('/', '\\'), at);
    assert.ok(made.includes('dist\\lib\\data'));
    assert.deepEqual(
      (await unpacked(made, 'app.zip')).filter((name) => /app$|data$/.test(name)),
      ['dist/app', 'dist/lib/data'],
    );
  });

  it('.zip that is encrypted, or compressed by anything but Deflate, is refused for what it is', async () => {
    for (const [how, reason] of [
      ['-P pw', /is encrypted/],
      ['-Z bzip2', /is compressed by BZip2, and of a \.zip only Deflate is read/],
    ] as const) {
      const made = shell(`mkdir -p e && seq 1000 > e/app && cd e && zip -q ${how} - app`);
      await assert.rejects(unpacked(made, 'app.zip'), { code: 'ARCHIVE_REFUSED', message: reason });
    }
  });

  it('is kept under its own name where that is no archive’s, whatever its bytes are', async () => {
    const jar = readFileSync(path.join(CASES, 'A08-nomodes-windows.zip'));
    assert.deepEqual(await unpacked(jar, 'app-1.2.3.jar'), ['app-1.2.3.jar']);
    assert.deepEqual(await unpacked(jar, 'app-1.2.3.zip'), ['README.txt', 'server']);
    assert.deepEqual(await unpacked(Buffer.from('#!/usr/bin/env node\n'), 'cli.mjs'), ['cli.mjs']);
    assert.deepEqual(await unpacked(zstdCompressSync(plainTar()), 'app-linux'), ['app', 'data']);
    assert.deepEqual(await unpacked(elf(), 'app-linux'), ['app']);
    assert.deepEqual(await unpacked(Buffer.from('MZqFpD=1'), 'app.llamafile'), ['app.llamafile']);
  });

  it('never leaves the tree by its name', async () => {
    for (const name of ['../x.jar', 'a/b.jar', '..\\x.jar', 'a\nb.jar'])
      await assert.rejects(unpacked(Buffer.from('x'), name), { code: 'ARCHIVE_REFUSED' });
  });
});

describe('files with holes', { concurrency: false }, () => {
  const holey = () => {
    mkdirSync(path.join(root, 'in'));
    const file = path.join(root, 'in', 'world.db');
    writeFileSync(file, '');
    // Data, hole, data … and a hole at the end: more parts than one block of a map holds.
    shell(
      'for i in $(seq 0 99); do printf "part %03d" $i | dd of=in/world.db bs=1 seek=$((i * 65536 + 7)) conv=notrunc; done; truncate -s 7000000 in/world.db; cp in/world.db in/z; echo tail > in/zz',
    );
    return readFileSync(file);
  };
  for (const version of ['0.0', '0.1', '1.0'])
    it(`in version ${version} of GNU's PAX format become what they were`, async () => {
      const whole = holey();
      assert.deepEqual(
        await unpacked(
          shell(`tar -C in -S --format=pax --sparse-version=${version} -cz world.db z zz`),
        ),
        ['world.db', 'z', 'zz'],
      );
      assert.ok(readFileSync(path.join(into, 'world.db')).equals(whole));
      assert.ok(readFileSync(path.join(into, 'z')).equals(whole));
      assert.equal(readFileSync(path.join(into, 'zz'), 'utf8'), 'tail\n');
    });

  it('as bsdtar, which is the tar of macOS, writes them', async () => {
    const whole = holey();
    assert.deepEqual(await unpacked(shell('bsdtar -C in --format=pax -czf - world.db z zz')), [
      'world.db',
      'z',
      'zz',
    ]);
    assert.ok(readFileSync(path.join(into, 'world.db')).equals(whole));
  });

  it('as published', async () => {
    await unpacked(readFileSync(path.join(CASES, 'A21b-sparse-pax.tar.gz')));
    const sparse = readFileSync(path.join(into, 'sparse'));
    assert.equal(sparse.length, 2_097_153);
    assert.equal(
      createHash('sha256').update(sparse).digest('hex'),
      shell(`tar -xzOf ${CASES}/A21b-sparse-pax.tar.gz sparse | sha256sum`).toString().slice(0, 64),
    );
  });

  it("in GNU's old format are refused, with the option that helps", async () => {
    holey();
    await assert.rejects(unpacked(shell('tar -C in -S --format=gnu -cz world.db')), {
      code: 'ARCHIVE_REFUSED',
      message: /--format=pax/,
    });
  });
});

describe('what macOS adds is left out', { concurrency: false }, () => {
  it('in the archives of bug reports', async () => {
    assert.deepEqual(await unpacked(readFileSync(path.join(CASES, 'A01-appledouble.tar.gz'))), [
      'README.md',
      'server',
    ]);
    assert.deepEqual(await unpacked(readFileSync(path.join(CASES, 'A30-dsstore.tar.gz'))), [
      'app-1.0',
      'app-1.0/server',
    ]);
  });

  it('in every folder, and a file that is only called like that stays', async () => {
    const double = Buffer.from('0005160700020000', 'hex');
    const files: Record<string, Buffer> = {
      app: PROGRAM,
      '._app': double,
      'a/._b': double,
      'a/b': PROGRAM,
      '__MACOSX/._app': double,
      '__MACOSX/x/y': double,
    };
    files['a/.DS_Store'] = double;
    files['._config'] = Buffer.from('mine');
    files['__MACOSX_notes'] = Buffer.from('mine');
    for (const [name, bytes] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(root, 'in', name)), { recursive: true });
      writeFileSync(path.join(root, 'in', name), bytes);
    }
    const wanted = ['._config', '__MACOSX_notes', 'a', 'a/b', 'app'];
    assert.deepEqual(await unpacked(shell('tar -C in -cz .')), wanted);
    assert.deepEqual(await unpacked(shell('cd in && zip -qr - .'), 'a.zip'), wanted);
  });
});

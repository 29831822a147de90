/**
 * Archives as people publish them, and archives as attackers do: nothing outside the tree changes.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Header } from 'tar';
import yazl from 'yazl';
import { unpack } from '../../../src/effects/archive/unpack.ts';
import { walk } from '../../../src/effects/archive/walk.ts';

let root: string;
let into: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'archive-'));
  into = path.join(root, 'inside');
  mkdirSync(into);
  writeFileSync(path.join(root, 'outside'), 'untouched');
});
afterEach(() => {
  execFileSync('chmod', ['-R', 'u+w', root]);
  rmSync(root, { recursive: true });
});

const LIMITS = { maxEntries: 1000, maxUnpackedBytes: 10_000_000 };

type Entry = {
  path: string;
  type?: string;
  mode?: number;
  linkpath?: string;
  body?: string | Buffer;
  size?: number;
  uid?: number;
};

/** A tar made byte by byte, as no tool would make it. */
function tar(...entries: Entry[]): Buffer {
  const blocks = entries.flatMap(
    ({ path: name, type = 'File', mode = 0o644, linkpath = '', body = '', size, uid = 0 }) => {
      const bytes = Buffer.from(body);
      const header = Buffer.alloc(512);
      new Header({
        path: name,
        type: type as 'File',
        mode,
        linkpath,
        size: size ?? bytes.length,
        uid,
        gid: uid,
        mtime: new Date(0),
      }).encode(header, 0);
      return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
    },
  );
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

async function zip(
  build: (file: yazl.ZipFile) => void,
  options: Pick<yazl.EndOptions, 'forceZip64Format'> = { forceZip64Format: false },
): Promise<Buffer> {
  const file = new yazl.ZipFile();
  build(file);
  file.end({ ...options, comment: '' });
  const chunks: Buffer[] = [];
  for await (const chunk of file.outputStream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function unpacked(bytes: Buffer, limits = LIMITS, name = 'app.tar.gz'): Promise<void> {
  const file = path.join(root, 'archive');
  writeFileSync(file, bytes);
  await unpack(file, into, { asset: name, program: 'app' }, limits, AbortSignal.timeout(20_000));
  await walk(into);
}

const APP: Entry = { path: 'app', mode: 0o755, body: '#!/bin/sh\n' };

describe('archives as people publish them', () => {
  const plain = () =>
    tar(
      { path: 'bin/', type: 'Directory', mode: 0o755 },
      { ...APP, path: 'bin/app' },
      { path: 'link', type: 'SymbolicLink', linkpath: 'bin/app' },
    );
  for (const [name, bytes] of [
    ['.tar', () => plain()],
    ['.tar.gz', () => gzipSync(plain())],
    ['.tar.zst', () => zstdCompressSync(plain())],
  ] as const) {
    it(`${name} is unpacked with its modes and links`, async () => {
      await unpacked(bytes());
      assert.equal(readFileSync(path.join(into, 'bin', 'app'), 'utf8'), '#!/bin/sh\n');
      assert.ok(lstatSync(path.join(into, 'bin', 'app')).mode & 0o100);
      assert.equal(readlinkSync(path.join(into, 'link')), 'bin/app');
    });
  }

  it('.zip too', async () => {
    await unpacked(
      await zip((file) => {
        file.addBuffer(Buffer.from('#!/bin/sh\n'), 'bin/app', { mode: 0o100755 });
        file.addBuffer(Buffer.from('bin/app'), 'link', { mode: 0o120777 });
      }),
    );
    assert.ok(lstatSync(path.join(into, 'bin', 'app')).mode & 0o100);
    assert.equal(readlinkSync(path.join(into, 'link')), 'bin/app');
  });

  it('.zip in the form for more than 4 GiB', async () => {
    await unpacked(
      await zip((file) => file.addBuffer(Buffer.from('#!/bin/sh\n'), 'app', { mode: 0o100755 }), {
        forceZip64Format: true,
      }),
    );
    assert.deepEqual(readdirSync(into), ['app']);
  });

  it('a bare executable becomes one', async () => {
    await unpacked(Buffer.from('#!/bin/sh\nexit 0\n'));
    assert.deepEqual(readdirSync(into), ['app']);
  });

  it('no setuid, setgid or sticky bit survives', async () => {
    await unpacked(tar({ ...APP, mode: 0o7755 }));
    assert.equal(lstatSync(path.join(into, 'app')).mode & 0o7000, 0);
  });

  it('no foreign owner survives', async () => {
    await unpacked(tar({ ...APP, uid: 12_345 }));
    assert.equal(lstatSync(path.join(into, 'app')).uid, process.getuid?.());
  });
});

const hostile: [string, () => Buffer, RegExp][] = [
  ['..', () => tar(APP, { path: '../outside', body: 'x' }), /leads out of the tree/],
  ['.. in the middle', () => tar({ path: 'a/../../outside', body: 'x' }), /leads out/],
  ['an absolute path', () => tar({ path: '/tmp/outside', body: 'x' }), /leads out/],
  ['a Windows path', () => tar({ path: 'C:\\windows\\x', body: 'x' }), /Windows path/],
  [
    'a symbolic link that leaves the tree',
    () => tar({ path: 'l', type: 'SymbolicLink', linkpath: '../outside' }),
    /leads out/,
  ],
  [
    'an absolute symbolic link',
    () => tar({ path: 'l', type: 'SymbolicLink', linkpath: '/etc/passwd' }),
    /leads out/,
  ],
  [
    'a link that leaves the tree through another link',
    () =>
      tar(
        { path: 'd/', type: 'Directory', mode: 0o755 },
        { path: 'd/e/', type: 'Directory', mode: 0o755 },
        { path: 'up', type: 'SymbolicLink', linkpath: 'd/e' },
        { path: 'out', type: 'SymbolicLink', linkpath: 'up/../../../outside' },
      ),
    /leads out|can't be checked/,
  ],
  [
    'a file through a link',
    () => tar({ path: 'l', type: 'SymbolicLink', linkpath: '.' }, { path: 'l/x', body: 'x' }),
    /lies below a link/,
  ],
  [
    'a hard link that leaves the tree',
    () => tar({ path: 'l', type: 'Link', linkpath: '../outside' }),
    /leads out/,
  ],
  [
    'a hard link to nothing of the archive',
    () => tar({ path: 'l', type: 'Link', linkpath: 'nothing' }),
    /hard link to something/,
  ],
  ['a character device', () => tar({ path: 'tty', type: 'CharacterDevice' }), /neither a file/],
  ['a block device', () => tar({ path: 'sda', type: 'BlockDevice' }), /neither a file/],
  ['a FIFO', () => tar({ path: 'pipe', type: 'FIFO' }), /neither a file/],
  ['a name twice', () => tar(APP, APP), /in it twice/],
  ['names equal after case folding', () => tar({ path: 'App' }, { path: 'app' }), /only by case/],
  [
    'names equal after normalisation',
    () => tar({ path: 'caf\u00e9' }, { path: 'cafe\u0301' }),
    /only by case or encoding/,
  ],
  ['a line break in a name', () => tar({ path: 'a\nb' }), /control characters/],
  ['an escape sequence in a name', () => tar({ path: 'a\u001b[2Jb' }), /control characters/],
  [
    'depth',
    () =>
      tar(
        { path: '././@LongLink', type: 'NextFileHasLongPath', body: `${'d/'.repeat(130)}x\0` },
        { path: 'd' },
      ),
    /deeper than 128/,
  ],
  [
    'too many entries',
    () => tar(...Array.from({ length: 1100 }, (_, i) => ({ path: `f${i}` }))),
    /more than 1000 entries/,
  ],
  [
    'too many bytes',
    () => gzipSync(tar({ path: 'big', body: Buffer.alloc(11_000_000) })),
    /more than 10000000 bytes/,
  ],
  ['a wrong header checksum', () => Buffer.from(tar(APP).fill(0x41, 150, 152)), /can't be read/],
  [
    'a truncated gzip',
    () => gzipSync(tar(APP, { path: 'x', body: Buffer.alloc(50_000, 'x') })).subarray(0, 60),
    /can't be read/,
  ],
  ['a gzip with a wrong CRC', () => flip(gzipSync(tar(APP)), -6), /can't be read/],
  [
    'a body shorter than its header says',
    () => tar({ path: 'x', body: 'x', size: 5_000_000 }),
    /can't be read/,
  ],
  ['not an archive at all', () => Buffer.from('hello, world'), /unknown format/],
];

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 0xff;
  return copy;
}

describe('archives as attackers publish them are refused, and nothing outside is touched', () => {
  for (const [title, make, message] of hostile) {
    it(title, async () => {
      const before = readdirSync(os.tmpdir()).length;
      await assert.rejects(unpacked(make()), (error: Error) => {
        assert.match((error as { code?: string }).code ?? '', /^ARCHIVE_/, error.stack);
        assert.match(error.message, message);
        return true;
      });
      assert.equal(readFileSync(path.join(root, 'outside'), 'utf8'), 'untouched');
      assert.deepEqual(readdirSync(root).sort(), ['archive', 'inside', 'outside']);
      assert.ok(!existsSync('/tmp/outside'));
      assert.ok(Math.abs(readdirSync(os.tmpdir()).length - before) < 50);
    });
  }

  it('a zip that climbs', async () => {
    const bytes = await zip((file) => file.addBuffer(Buffer.from('x'), 'aa/outside'));
    const evil = Buffer.from(
      bytes.toString('latin1').replaceAll('aa/outside', '../outside'),
      'latin1',
    );
    await assert.rejects(unpacked(evil), { code: /^ARCHIVE_/ });
    assert.equal(readFileSync(path.join(root, 'outside'), 'utf8'), 'untouched');
  });
});

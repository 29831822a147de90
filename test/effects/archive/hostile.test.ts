/**
 * Archives as attackers publish them, byte by byte, through the very effect that installs. Each is
 * refused, or is harmless and said to be so; and either way a hash of everything outside the tree
 * is unchanged, and nothing was executed.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
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
import { describe, it } from 'node:test';
import { constants, deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { removeTree } from '../../../src/effects/durable.ts';
import { extract } from '../../../src/effects/extract.ts';
import {
  bomb,
  END,
  entry,
  longLink,
  longName,
  pax,
  paxHeader,
  type TarEntry,
  tar,
  zip,
} from '../../support/hostile.ts';
import { release } from '../../support/machine.ts';

const LIMITS = { maxEntries: 1000, maxUnpackedBytes: 10_000_000 };
const MIB = 1024 * 1024;

/**
 * All that this process has ever given to write(2), also what is deleted by now; proc(5),
 * /proc/pid/io.
 */
const bytesWritten = () =>
  Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);

/** Everything in a directory, by name, mode, time and content. */
function hashOf(directory: string, except: string): string {
  const hash = createHash('sha256');
  const visit = (file: string): void => {
    if (file === except) return;
    const stats = lstatSync(file);
    hash.update(`${path.relative(directory, file)} ${stats.mode} ${stats.uid} ${stats.nlink}\n`);
    if (stats.isSymbolicLink()) hash.update(readlinkSync(file));
    else if (stats.isFile()) hash.update(`${stats.mtimeMs} `).update(readFileSync(file));
    else for (const name of readdirSync(file).sort()) visit(path.join(file, name));
  };
  visit(directory);
  return hash.digest('hex');
}

/** A machine with things to lose, and the updater's own place in it. */
class Victim implements Disposable {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'hostile-'));
  readonly data = path.join(this.root, 'data');

  constructor() {
    mkdirSync(path.join(this.root, 'etc'));
    writeFileSync(path.join(this.root, 'etc', 'passwd'), 'root:x:0:0');
    writeFileSync(path.join(this.root, 'outside'), 'untouched', { mode: 0o600 });
    mkdirSync(path.join(this.data, 'tmp'), { recursive: true });
    mkdirSync(path.join(this.data, 'releases'));
    mkdirSync(path.join(this.data, 'state'));
    writeFileSync(path.join(this.data, 'state', 'journal.db'), 'facts');
  }

  /** What an app would do if anybody ran it. */
  get app(): TarEntry {
    return { path: 'app', mode: 0o755, body: `#!/bin/sh\ntouch ${this.root}/executed\n` };
  }

  async install(bytes: Buffer, limits = LIMITS): Promise<string | null> {
    const archive = path.join(this.data, 'tmp', 'x.part');
    writeFileSync(archive, bytes);
    const places = {
      root: this.data,
      bakedDir: '/nonexistent',
      repository: 'acme/app',
      versioning: 'semver',
      tagPrefix: '',
    } as const;
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const app = { command: null, repositoryName: 'app', workdir: null, args: [], environment: {} };
    const linked = { names: [], directory: path.join(this.root, 'linked'), owner: null };
    const deps = {
      places,
      app,
      linked,
      ...limits,
      sealed: new Map([[archive, sha256]]),
      warn: assert.fail,
    };
    const input = { release: release('2.0.0'), path: archive, sha256 };
    try {
      await extract(input, AbortSignal.timeout(30_000), deps);
      return null;
    } catch (error) {
      return `${(error as { code?: string }).code}: ${(error as Error).message}`;
    }
  }

  [Symbol.dispose](): void {
    execFileSync('chmod', ['-R', 'u+rwX', this.root]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

type Make = (victim: Victim) => Buffer;
const withApp =
  (...entries: TarEntry[]): Make =>
  (victim) =>
    tar(victim.app, ...entries);
const raw =
  (...parts: (TarEntry | Buffer)[]): Make =>
  (victim) =>
    Buffer.concat([
      entry(victim.app),
      ...parts.map((part) => (Buffer.isBuffer(part) ? part : entry(part))),
      END,
    ]);
const at = (offset: number, bytes: Buffer | string) => (header: Buffer) =>
  void Buffer.from(bytes).copy(header, offset);
const SIZE_AT = 124;
const PREFIX_AT = 345;
const base256 = (value: bigint) => {
  const bytes = Buffer.alloc(12);
  bytes.writeBigInt64BE(value, 4);
  bytes[0] = 0x80 | (value < 0n ? 0xff : 0);
  if (value < 0n) bytes.fill(0xff, 1, 4);
  return bytes;
};
const directory = (name: string): TarEntry => ({ path: name, type: 'Directory', mode: 0o755 });
const symlink = (name: string, linkpath: string): TarEntry => ({
  path: name,
  type: 'SymbolicLink',
  linkpath,
});
const hardlink = (name: string, linkpath: string): TarEntry => ({
  path: name,
  type: 'Link',
  linkpath,
});
const S_IFLNK = 0o120777;

const REFUSED: Record<string, Make> = {
  // What follows the end would be missing in silence.
  'a second archive behind the end of the first': (victim) =>
    Buffer.concat([tar(victim.app), tar({ path: 'x', body: 'x' })]),
  'a second gzip behind the first': (victim) =>
    Buffer.concat([gzipSync(tar(victim.app)), gzipSync(tar({ path: 'x', body: 'x' }))]),
  'rubbish behind the end': (victim) => Buffer.concat([tar(victim.app), noise(5000)]),
  // Names that lead out.
  '..': withApp({ path: '..', body: 'x' }),
  '../outside': withApp({ path: '../outside', body: 'x' }),
  'many ../': withApp({ path: `${'../'.repeat(20)}tmp/outside`, body: 'x' }),
  '.. in the middle': withApp({ path: 'a/../../outside', body: 'x' }),
  '.. behind a dot': withApp({ path: './../outside', body: 'x' }),
  '.. among slashes': withApp({ path: 'a//..//..//outside', body: 'x' }),
  'a directory ..': withApp(directory('../evil/')),
  'an absolute path': withApp({ path: '/etc/passwd', body: 'x' }),
  'two slashes': withApp({ path: '//etc/passwd', body: 'x' }),
  'a Windows drive': withApp({ path: 'C:\\Windows\\x', body: 'x' }),
  'a Windows drive with slashes': withApp({ path: 'C:/Windows/x', body: 'x' }),
  'a Windows share': withApp({ path: '\\\\server\\share\\x', body: 'x' }),
  '..\\ as Windows has it': withApp({ path: '..\\..\\outside', body: 'x' }),
  '.. in the ustar prefix': raw({ path: 'outside', body: 'x', spoil: at(PREFIX_AT, '../..') }),
  '.. in a GNU long name': withApp(longName('../outside'), { path: 'x', body: 'x' }),
  '.. in a PAX path': withApp(paxHeader(pax('path', '../outside')), { path: 'x', body: 'x' }),
  'an absolute PAX path': withApp(paxHeader(pax('path', '/etc/passwd')), { path: 'x', body: 'x' }),
  // Names that deceive.
  'a line break in a name': withApp({ path: 'a\nb' }),
  'a carriage return in a name': withApp({ path: 'a\rb' }),
  'an escape sequence in a name': withApp({ path: 'a\u001b[2Jb' }),
  'DEL in a name': withApp({ path: 'a\u007fb' }),
  'a C1 control in a name': withApp({ path: 'a\u0085b' }),
  'a name that turns the direction of writing': withApp({ path: 'a\u202Etxt.exe' }),
  'a name that is not UTF-8': raw({ path: 'xyz', spoil: at(0, Buffer.from([0xff, 0xfe, 0x80])) }),
  'a name of 300 bytes': withApp(longName('n'.repeat(300)), { path: 'n' }),
  'a path of 5,000 bytes': withApp(
    longName(`${`${'d/'.repeat(60)}${'e'.repeat(200)}/`.repeat(16)}f`),
    { path: 'f' },
  ),
  'a depth of 1,100': withApp(longName(`${'d/'.repeat(1100)}x`), { path: 'd' }),
  'a depth of 1,100 by PAX': withApp(paxHeader(pax('path', `${'d/'.repeat(1100)}x`)), {
    path: 'd',
  }),
  'a name twice': (victim) => tar(victim.app, victim.app),
  'a file, then a directory of its name': withApp({ path: 'd' }, directory('d/')),
  'a directory, then a file of its name': withApp(directory('d/'), { path: 'd' }),
  'a file, then a file below it': withApp({ path: 'd', body: 'x' }, { path: 'd/e', body: 'x' }),
  'a file below a directory, then a link in its place': withApp(
    { path: 'd/e', body: 'x' },
    symlink('d', 'app'),
  ),
  'names equal after case folding': withApp({ path: 'README' }, { path: 'readme' }),
  'names equal after case folding beyond ASCII': withApp({ path: '\u212A' }, { path: 'k' }),
  'names equal after normalisation': withApp({ path: 'caf\u00e9' }, { path: 'cafe\u0301' }),
  'names equal but for a dot': withApp({ path: 'x' }, { path: './x' }),
  // Links.
  'a symbolic link upwards': withApp(symlink('l', '../outside')),
  'an absolute symbolic link': withApp(symlink('l', '/etc/passwd')),
  'a symbolic link to a Windows drive': withApp(symlink('l', 'C:\\x')),
  'a symbolic link to nothing': withApp(symlink('l', '')),
  'a symbolic link upwards by a GNU long link': withApp(
    longLink(`${'../'.repeat(40)}etc/passwd`),
    symlink('l', 'x'),
  ),
  'a symbolic link upwards by PAX': withApp(
    paxHeader(pax('linkpath', '../../outside')),
    symlink('l', 'x'),
  ),
  'a symbolic link out through another link': withApp(
    directory('d/'),
    directory('d/e/'),
    symlink('up', 'd/e'),
    symlink('out', 'up/../../../outside'),
  ),
  'a symbolic link whose target has a line break': withApp(symlink('l', 'a\nb')),
  'a link, then a file through it': withApp(symlink('l', '.'), { path: 'l/x', body: 'x' }),
  'a link upwards, then a file through it': withApp(symlink('l', '..'), {
    path: 'l/outside',
    body: 'x',
  }),
  'a link, then a directory through it': withApp(symlink('l', '.'), directory('l/d/')),
  'a link, then a directory in its place': withApp(symlink('d', '.'), directory('d/'), {
    path: 'd/x',
    body: 'x',
  }),
  'a link, then a file in its place': withApp(symlink('f', 'app'), { path: 'f', body: 'x' }),
  'a link out of the tree once its wrapping is taken off': (victim) =>
    tar({ ...victim.app, path: 'w/app' }, symlink('w/out', '../1.0.0-0123456789ab')),
  'more directories than entries are allowed, none of them named': withApp(
    ...Array.from({ length: 30 }, (_, i) => ({ path: `${i}/${'d/'.repeat(100)}x` })),
  ),
  'our own manifest under the name by which it is written first': withApp(
    symlink('.self-update-manifest.json.1.tmp', 'app'),
  ),
  'a hard link upwards': withApp(hardlink('l', '../outside')),
  'an absolute hard link': withApp(hardlink('l', '/etc/passwd')),
  'a hard link to what is no part of it': withApp(hardlink('l', 'nothing')),
  'a hard link to itself': withApp(hardlink('l', 'l')),
  'a hard link to what comes later': withApp(hardlink('l', 'later'), { path: 'later' }),
  'a hard link to a symbolic link': withApp(symlink('s', 'app'), hardlink('l', 's')),
  'a hard link to a directory': withApp(directory('d/'), hardlink('l', 'd')),
  // What is no file.
  'a link whose name ends in a slash': withApp(paxHeader(pax('path', 'x/')), symlink('x', 'app')),
  'a link whose name ends in a dot': withApp(symlink('x/.', 'app')),
  'a file whose name is a dot': withApp({ path: '.', body: 'x' }),
  'a hard link whose name ends in a slash': withApp(
    paxHeader(pax('path', 'x/')),
    hardlink('x', 'app'),
  ),
  'a character device': withApp({ path: 'tty', type: 'CharacterDevice' }),
  'a block device': withApp({ path: 'sda', type: 'BlockDevice' }),
  'a FIFO': withApp({ path: 'pipe', type: 'FIFO' }),
  'a dump directory of GNU': raw({ path: 'd', spoil: at(156, 'D') }),
  'a sparse file of GNU': raw({ path: 's', spoil: at(156, 'S') }),
  'the rest of another volume': raw({ path: 'm', spoil: at(156, 'M') }),
  'an unknown kind of entry': raw({ path: 'z', spoil: at(156, 'Z') }),
  'our own manifest': withApp({ path: '.self-update-manifest.json', body: '{}' }),
  // Sizes that lie.
  'too many entries': withApp(...Array.from({ length: 1100 }, (_, i) => ({ path: `f${i}` }))),
  'too many bytes': withApp({ path: 'big', body: Buffer.alloc(11_000_000) }),
  'too many bytes, announced only': raw({ path: 'big', size: 100_000_000 }),
  'eight exbibytes': raw({ path: 'x', spoil: at(SIZE_AT, base256(2n ** 62n)) }),
  'a negative size': raw({ path: 'x', spoil: at(SIZE_AT, base256(-1n)) }),
  'a size that is no number': raw({ path: 'x', spoil: at(SIZE_AT, 'zzzzzzzzzzz\0') }),
  'a PAX size beyond the body': withApp(paxHeader(pax('size', '5000000')), {
    path: 'x',
    body: 'x',
  }),
  'a header whose sum is wrong': (victim) =>
    tar(victim.app, { path: 'x' }).fill(0x41, 1024 + 20, 1024 + 22),
  'a PAX record that is longer than its header': withApp(
    { path: 'PaxHeader', type: 'ExtendedHeader', body: '99999 path=../outside\n' },
    { path: '../outside' },
  ),
  // Compression.
  'zeros, 40 MB from 40 kB': () => bomb(40 * MIB),
  'zeros by zstd': () => zstdCompressSync(tar({ path: 'bomb', body: Buffer.alloc(40 * MIB) })),
  'a gzip within a gzip is no archive': (victim) => gzipSync(gzipSync(tar(victim.app))),
  'a gzip with a wrong CRC': (victim) => flip(gzipSync(tar(victim.app)), -6),
  'a gzip with a wrong length': (victim) => flip(gzipSync(tar(victim.app)), -2),
  'a gzip that ends early': (victim) =>
    gzipSync(tar(victim.app, { path: 'x', body: noise(50_000) })).subarray(0, 20_000),
  'a gzip with rubbish in the middle': (victim) =>
    flip(gzipSync(tar(victim.app, { path: 'x', body: noise(50_000) })), 9000),
  'a zstd that ends early': (victim) =>
    zstdCompressSync(tar(victim.app, { path: 'x', body: noise(50_000) })).subarray(0, 20_000),
  'a zstd with rubbish in the middle': (victim) =>
    flip(
      zstdCompressSync(tar(victim.app, { path: 'x', body: noise(50_000) }), {
        params: { [constants.ZSTD_c_checksumFlag]: 1 },
      }),
      200,
    ),
  'an empty gzip': () => gzipSync(Buffer.alloc(0)),
  'an empty tar': () => gzipSync(END),
  'an empty file': () => Buffer.alloc(0),
  zeros: () => Buffer.alloc(10_000),
  'a text': () => Buffer.from('hello, world'),
  'a web page': () => Buffer.from('<!doctype html><title>Sign in</title>'),
  'no entry point': () => tar({ path: 'README' }),
  'two entry points, none of the right name': () =>
    tar({ path: 'one', mode: 0o755 }, { path: 'two', mode: 0o755 }),
  // Zip.
  'a zip that climbs': (victim) => zip([appOf(victim), { name: '../outside', body: 'x' }]),
  'a zip with an absolute path': (victim) =>
    zip([appOf(victim), { name: '/etc/passwd', body: 'x' }]),
  'a zip with backslashes': (victim) => zip([appOf(victim), { name: '..\\outside', body: 'x' }]),
  'a zip with a drive': (victim) => zip([appOf(victim), { name: 'C:/x', body: 'x' }]),
  'a zip with a NUL in a name': (victim) => zip([appOf(victim), { name: 'a\0b', body: 'x' }]),
  'a zip with a link upwards': (victim) =>
    zip([appOf(victim), { name: 'l', body: '../outside', mode: S_IFLNK }]),
  'a zip with an absolute link': (victim) =>
    zip([appOf(victim), { name: 'l', body: '/etc/passwd', mode: S_IFLNK }]),
  'a zip with a link of 5,000 bytes': (victim) =>
    zip([appOf(victim), { name: 'l', body: 'x'.repeat(5000), mode: S_IFLNK }]),
  'a zip with a link, then a file through it': (victim) =>
    zip([
      appOf(victim),
      { name: 'l', body: '.', mode: S_IFLNK },
      { name: 'l/x', body: 'x' },
      { name: 'l/app', body: 'x' },
    ]),
  'a zip with a device': (victim) => zip([appOf(victim), { name: 'sda', mode: 0o060644 }]),
  'a zip with a socket': (victim) => zip([appOf(victim), { name: 'sock', mode: 0o140644 }]),
  'a zip with a name twice': (victim) => zip([appOf(victim), appOf(victim)]),
  'a zip with names equal after case folding': (victim) =>
    zip([appOf(victim), { name: 'APP', body: 'x' }]),
  'a zip whose sum is wrong': (victim) => zip([{ ...appOf(victim), crc: 7 }]),
  'a zip with a link whose sum is wrong': (victim) =>
    zip([appOf(victim), { name: 'x', body: 'app', mode: S_IFLNK, crc: 1 }]),
  'a zip with a link that is called a directory': (victim) =>
    zip([appOf(victim), { name: 'x/', body: 'app', mode: S_IFLNK }]),
  'a zip that announces less than it brings': (victim) => zip([{ ...appOf(victim), size: 3 }]),
  'a zip that announces more than it brings': (victim) =>
    zip([{ ...appOf(victim), size: 5000, compressedSize: 5000 }]),
  'a zip with an unknown compression': (victim) => zip([{ ...appOf(victim), method: 99 }]),
  'a zip that is encrypted': (victim) => zip([{ ...appOf(victim), flags: 0x801 }]),
  'a zip with more entries than it has': (victim) => zip([appOf(victim)], { count: 9 }),
  'a zip whose end record counts fewer entries than its directory has': (victim) =>
    zip([appOf(victim), { name: 'rest', body: 'x' }], { count: 1 }),
  'a zip whose end record counts 65,536 entries fewer than there are': (victim) =>
    zip([appOf(victim), ...Array.from({ length: 65_536 }, (_, i) => ({ name: `f${i}` }))], {
      count: 1,
    }),
  'a zip whose directory leads elsewhere': (victim) =>
    zip([{ ...appOf(victim), offset: 1_000_000 }]),
  'a zip with too many entries': (victim) =>
    zip([appOf(victim), ...Array.from({ length: 1100 }, (_, i) => ({ name: `f${i}` }))]),
  'a zip with too many bytes': (victim) =>
    zip([appOf(victim), { name: 'big', body: Buffer.alloc(11_000_000) }]),
  'a zip whose entries share their bytes': (victim) => {
    const big = Buffer.alloc(100_000, 'x');
    return zip([
      { name: 'kernel', body: big },
      ...Array.from({ length: 200 }, (_, i) => ({ name: `k${i}`, body: big, offset: 0 })),
      appOf(victim),
    ]);
  },
  'a zip of zeros': () =>
    zip([
      { name: 'app', body: 'x', mode: 0o100755 },
      {
        name: 'bomb',
        method: 8,
        body: deflateRawSync(Buffer.alloc(80 * MIB)),
        size: 80 * MIB,
        crc: 0,
      },
    ]),
  'a zip that ends early': (victim) => zip([appOf(victim)]).subarray(0, -30),
  'a zip with nothing in it': () => zip([]),
};

/** Installed, since nothing is wrong with what comes out: `check` says what that is. */
const HARMLESS: Record<string, { make: Make; check?: (tree: string) => void }> = {
  'setuid, setgid and sticky bits, which do not survive': {
    make: (victim) => tar({ ...victim.app, mode: 0o7777 }),
    check: (tree) => assert.equal(lstatSync(path.join(tree, 'app')).mode & 0o7777, 0o555),
  },
  'foreign owners, which do not survive': {
    make: (victim) => tar({ ...victim.app, uid: 12_345 }),
    check: (tree) => assert.equal(lstatSync(path.join(tree, 'app')).uid, process.getuid?.()),
  },
  'files that anybody may write, which nobody may afterwards': {
    make: withApp({ path: 'config', mode: 0o666, body: 'x' }),
    check: (tree) => assert.equal(lstatSync(path.join(tree, 'config')).mode & 0o777, 0o444),
  },
  'links that stay inside, also in a circle': {
    make: withApp(directory('d/'), symlink('d/up', '../app'), symlink('self', 'self')),
  },
  'a chain of links, as libraries have it, in every order': {
    make: withApp(
      symlink('libx.so.1', 'libx.so.1.2'),
      symlink('libx.so', 'libx.so.1'),
      { path: 'libx.so.1.2', body: 'x' },
      symlink('liby.so', 'libx.so'),
      symlink('d/up', '../liby.so'),
    ),
    check: (tree) => assert.equal(readFileSync(path.join(tree, 'd', 'up'), 'utf8'), 'x'),
  },
  'a hard link to a file of its own': {
    make: (victim) => tar(victim.app, { path: 'data', body: 'x' }, hardlink('l', 'data')),
    check: (tree) => assert.equal(readFileSync(path.join(tree, 'l'), 'utf8'), 'x'),
  },
  'a name that only looks like an escape': {
    make: withApp({ path: '%2e%2e%2foutside' }, { path: '...' }, { path: '..x/y' }),
  },
  'a global PAX path, which is nobody’s': {
    make: withApp(
      { path: 'g', type: 'GlobalExtendedHeader', body: pax('path', '../outside') },
      { path: 'x', body: 'x' },
    ),
  },
  'a gzip that calls itself ../../outside': {
    make: (victim) => {
      const plain = gzipSync(tar(victim.app));
      const named = Buffer.concat([
        plain.subarray(0, 10),
        Buffer.from('../../outside\0'),
        plain.subarray(10),
      ]);
      named[3] = 0x08;
      return named;
    },
  },
  'a zip with a comment': {
    make: (victim) => zip([appOf(victim)], { comment: 'PK\u0005\u0006 ../outside' }),
  },
  'a zip whose local header has another name: its directory counts': {
    make: (victim) => zip([{ ...appOf(victim), localName: '../' }]),
    check: (tree) => assert.ok(existsSync(path.join(tree, 'app'))),
  },
};

function appOf({ app }: Victim) {
  return { name: 'app', body: app.body ?? '', mode: 0o100755 };
}

function flip(bytes: Buffer, offset: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = offset < 0 ? copy.length + offset : offset % copy.length;
  copy[index] = (copy[index] ?? 0) ^ 0xff;
  return copy;
}

/** The same every time, and not to be compressed. */
function noise(length: number): Buffer {
  let block = Buffer.from('seed');
  const blocks: Buffer[] = [];
  for (let have = 0; have < length; have += 32) {
    block = createHash('sha256').update(block).digest();
    blocks.push(block);
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/** Installs, and looks at everything that must not have changed. */
async function attack(
  make: Make,
  limits = LIMITS,
): Promise<{ outcome: string | null; victim: Victim }> {
  const victim = new Victim();
  const outside = hashOf(victim.root, victim.data);
  const state = hashOf(path.join(victim.data, 'state'), '');
  const outcome = await victim.install(make(victim), limits);
  assert.equal(hashOf(victim.root, victim.data), outside, 'something outside was changed');
  assert.equal(hashOf(path.join(victim.data, 'state'), ''), state, 'our own state was changed');
  assert.ok(!existsSync(path.join(victim.root, 'executed')), 'something was executed');
  assert.ok(!existsSync('/tmp/outside'));
  assert.deepEqual(readdirSync(victim.data).sort(), ['releases', 'state', 'tmp']);
  return { outcome, victim };
}

describe(`${Object.keys(REFUSED).length} archives that are refused, with nothing left of them`, {
  concurrency: 4,
}, () => {
  for (const [title, make] of Object.entries(REFUSED))
    it(title, async () => {
      const { outcome, victim } = await attack(make);
      using _ = victim;
      assert.match(
        outcome ?? 'installed',
        /^(?:ARCHIVE_(?:REFUSED|CORRUPT|TOO_LARGE)|ENTRY_POINT_MISSING): /,
      );
      assert.ok(
        (outcome ?? '').split('\n').length <= 2 && (outcome ?? '').length < 500,
        outcome ?? '',
      );
      assert.deepEqual(readdirSync(path.join(victim.data, 'releases')), []);
      assert.deepEqual(
        readdirSync(path.join(victim.data, 'tmp')),
        ['x.part'],
        'half a tree was left',
      );
    });

  it('a tar that is cut at every one of its blocks', async () => {
    using victim = new Victim();
    const whole = tar(victim.app, { path: 'x', body: noise(3000) }, { path: 'y', body: 'y' });
    for (let end = 512; end < whole.length - END.length; end += 512) {
      const outcome = await victim.install(whole.subarray(0, end));
      const isBetweenEntries = outcome === null;
      // Without its end a tar is complete as far as it goes; GNU tar says so too. The digest is
      // what tells.
      if (isBetweenEntries)
        await removeTree(
          path.join(
            victim.data,
            'releases',
            readdirSync(path.join(victim.data, 'releases'))[0] ?? '',
          ),
        );
      else assert.match(outcome, /^(?:ARCHIVE_|ENTRY_POINT_MISSING)/);
    }
    assert.ok(!existsSync(path.join(victim.root, 'executed')));
  });
});

describe(`${Object.keys(HARMLESS).length} archives that look bad and are harmless`, {
  concurrency: 4,
}, () => {
  for (const [title, { make, check }] of Object.entries(HARMLESS))
    it(title, async () => {
      const { outcome, victim } = await attack(make);
      using _ = victim;
      assert.equal(outcome, null);
      const [name = ''] = readdirSync(path.join(victim.data, 'releases'));
      check?.(path.join(victim.data, 'releases', name));
    });
});

describe('a decompression bomb', () => {
  it('of 601 MiB from half of one is refused under the default limits before the disk notices', async () => {
    using victim = new Victim();
    const bytes = bomb(601 * MIB);
    assert.ok(bytes.length < 2 * MIB);
    const before = bytesWritten();
    const outcome = await victim.install(bytes, {
      maxEntries: 100_000,
      maxUnpackedBytes: 4 * 1024 * MIB,
    });
    const written = bytesWritten() - before;
    assert.match(outcome ?? 'installed', /^ARCHIVE_TOO_LARGE: .*decompression bomb/);
    assert.ok(written >= bytes.length && written < 200 * MIB, `${written} bytes were written`);
    chmodSync(victim.data, 0o700);
  });
});

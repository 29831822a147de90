/**
 * Archives that nobody here made: packages of npm and Debian, as their own tools and as each
 * format's tools pack them. Unpacked as GNU tar (or unzip) does it: names, kinds, contents,
 * targets, and who may execute.
 */
import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { unpack } from '../../src/effects/archive/unpack.ts';
import { walk } from '../../src/effects/archive/walk.ts';

const LIMITS = { maxEntries: 100_000, maxUnpackedBytes: 4 * 1024 ** 3 };
const NPM = ['semver@7.7.2', 'express@5.1.0'];
/** Their payload is .tar.xz, and made by dpkg-deb. Neither holds links to absolute paths. */
const DEBIAN = ['jq', 'hello'];
const PACKERS: Record<string, string> = {
  'tar.gz': 'gzip -n',
  'tar.zst': 'zstd -q -19 -T2',
  'tar.zst by pzstd': 'pzstd -q -p 2 -c',
  'tar.xz': 'xz -9e',
  'tar.xz of several blocks': 'xz -T2 --block-size=1MiB',
  'tar.bz2': 'bzip2 -9',
  tar: 'cat',
};

let root: string;
/** By title: a tar, as it came. */
const tars = new Map<string, string>();

before(
  async () => {
    root = mkdtempSync(path.join(os.tmpdir(), 'world-'));
    for (const name of NPM) {
      const { stdout } = await execa('npm', ['pack', '--silent', '--ignore-scripts', name], {
        cwd: root,
      });
      tars.set(`npm's ${name}`, path.join(root, stdout.trim().split('\n').at(-1) ?? ''));
    }
    for (const name of DEBIAN) {
      const into = path.join(root, name);
      mkdirSync(into);
      await execa('apt-get', ['download', name], { cwd: into });
      const [deb = ''] = readdirSync(into);
      await execa('ar', ['x', deb], { cwd: into });
      tars.set(
        `Debian's ${name}`,
        path.join(into, readdirSync(into).find((file) => file.startsWith('data.tar')) ?? ''),
      );
    }
  },
  { timeout: 110_000 },
);
after(async () => {
  await execa('chmod', ['-R', 'u+rwX', root], { reject: false });
  rmSync(root, { recursive: true, force: true });
});

function described(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    const file = path.join(directory, name);
    const stats = lstatSync(file);
    if (stats.isSymbolicLink()) found[name] = `link to ${readlinkSync(file)}`;
    else if (stats.isDirectory()) found[name] = 'directory';
    else
      found[name] =
        `${(stats.mode & 0o111) === 0 ? 'file' : 'executable'} ${readFileSync(file, 'base64')}`;
  }
  return found;
}

async function ours(file: string, asset: string): Promise<Record<string, string>> {
  const into = mkdtempSync(path.join(root, 'ours-'));
  await unpack(file, into, { asset, program: 'app' }, LIMITS, AbortSignal.timeout(100_000));
  await walk(into);
  return described(into);
}

const shell = (script: string, ...args: string[]) =>
  execa('bash', ['-o', 'pipefail', '-c', script, 'bash', ...args], { cwd: root });

describe('real archives', { concurrency: false }, () => {
  for (const title of [
    ...NPM.map((name) => `npm's ${name}`),
    ...DEBIAN.map((name) => `Debian's ${name}`),
  ]) {
    it(`${title} is unpacked as GNU tar does it, as it came and packed anew in every format`, async () => {
      const file = tars.get(title) ?? '';
      const theirs = mkdtempSync(path.join(root, 'theirs-'));
      await execa('tar', ['-x', '--no-same-owner', '-f', file, '-C', theirs]);
      const wanted = described(theirs);
      assert.ok(Object.keys(wanted).length > 0);
      assert.deepEqual(await ours(file, path.basename(file)), wanted, 'as it came');
      const again = path.join(root, 'again');
      for (const [name, packer] of Object.entries(PACKERS)) {
        await shell(`tar -C "$1" -c . | ${packer} > "$2"`, theirs, again);
        assert.deepEqual(await ours(again, `app.${name.split(' ')[0]}`), wanted, name);
      }
      await shell('rm -f "$2.zip" && cd "$1" && zip -qry "$2.zip" .', theirs, again);
      assert.deepEqual(await ours(`${again}.zip`, 'app.zip'), wanted, 'zip');
      for (const option of ['z', 'J', 'j', '-zstd']) {
        await shell(`bsdtar --format=pax -C "$1" -c -${option} -f - . | cat > "$2"`, theirs, again);
        assert.deepEqual(await ours(again, 'app.tar.x'), wanted, `bsdtar -${option} into a pipe`);
      }
    });
  }

  for (const packer of ['gzip', 'xz', 'bzip2', 'zstd -q'])
    it(`Debian's dash, as one program packed by ${packer}, is that program`, async () => {
      const file = path.join(root, 'program');
      await shell(`${packer} < "$1" > "$2"`, '/bin/dash', file);
      const into = mkdtempSync(path.join(root, 'bare-'));
      await unpack(
        file,
        into,
        { asset: 'app_linux_amd64.gz', program: 'app' },
        LIMITS,
        AbortSignal.timeout(100_000),
      );
      assert.equal(statSync(path.join(into, 'app')).size, statSync('/bin/dash').size);
      assert.equal((await execa(path.join(into, 'app'), ['-c', 'echo started'])).stdout, 'started');
    });
});

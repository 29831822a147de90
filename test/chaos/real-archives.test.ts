/**
 * Archives as people really publish them, from npm and Debian: unpacked as GNU tar does it, byte by
 * byte, link by link.
 */
import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { unpack } from '../../src/effects/archive/unpack.ts';
import { walk } from '../../src/effects/archive/walk.ts';
import { cases } from '../support/chaos/cases.ts';

const LIMITS = { maxEntries: 100_000, maxUnpackedBytes: 4 * 1024 ** 3 };
const NPM = [
  ...[
    'typescript@5.9.2',
    'react@19.1.0',
    'lodash@4.17.21',
    'express@5.1.0',
    'webpack@5.101.0',
    'eslint@9.33.0',
    'prettier@3.6.2',
    'vite@7.1.0',
    'rxjs@7.8.2',
  ],
  ...[
    'axios@1.11.0',
    'chalk@5.5.0',
    'commander@14.0.0',
    'debug@4.4.1',
    'glob@11.0.3',
    'semver@7.7.2',
    'tar@7.4.3',
    'ws@8.18.3',
    'yargs@18.0.0',
    'zod@4.0.17',
  ],
  ...[
    'moment@2.30.1',
    'core-js@3.45.0',
    'npm@11.5.2',
    'esbuild@0.25.8',
    '@babel/core@7.28.0',
    '@types/node@24.2.1',
    'rollup@4.46.2',
    'terser@5.43.1',
    'jquery@3.7.1',
  ],
  ...[
    'd3@7.9.0',
    'three@0.179.1',
    'bootstrap@5.3.7',
    'socket.io@4.8.1',
    'mocha@11.7.1',
    'undici@7.13.0',
  ],
];
const DEBIAN = [
  'hello',
  'sed',
  'grep',
  'tree',
  'jq',
  'less',
  'gzip',
  'tzdata',
  'libjq1',
  'python3-minimal',
];
/** Debian packages hold links to absolute paths, which no app's archive may. */
const HAVE_ABSOLUTE_LINKS = new Set(['tzdata']);

type Source = { title: string; fetch: (into: string) => Promise<string> };

const npm = (name: string): Source => ({
  title: `npm pack ${name}`,
  fetch: async (into) => {
    const { stdout } = await execa('npm', ['pack', '--silent', '--ignore-scripts', name], {
      cwd: into,
    });
    return path.join(into, stdout.trim().split('\n').at(-1) ?? '');
  },
});

const debian = (name: string): Source => ({
  title: `Debian's ${name}`,
  fetch: async (into) => {
    await execa('apt-get', ['download', name], { cwd: into });
    const [deb = ''] = readdirSync(into).filter((file) => file.endsWith('.deb'));
    const file = path.join(into, 'payload.tar');
    await execa('sh', [
      '-c',
      'dpkg-deb --fsys-tarfile "$1" > "$2"',
      'sh',
      path.join(into, deb),
      file,
    ]);
    return file;
  },
});

/**
 * Names, kinds, contents, targets, and who may execute; times are those of the unpacking, and
 * nobody may write (docs/security.md).
 */
function described(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(root, { recursive: true }) as string[]) {
    const file = path.join(root, name);
    const stats = lstatSync(file);
    if (stats.isSymbolicLink()) found[name] = `link to ${readlinkSync(file)}`;
    else if (stats.isDirectory()) found[name] = 'directory';
    else
      found[name] =
        `${(stats.mode & 0o111) === 0 ? 'file' : 'executable'} ${readFileSync(file, 'base64')}`;
  }
  return found;
}

const sources = [...NPM.map(npm), ...DEBIAN.map(debian)];

cases(
  'real-archives',
  sources,
  { sample: 8, group: ({ title }) => `${title.split(' ')[0]} archives` },
  async ({ title, fetch }) => {
    const root = mkdtempSync(path.join(os.tmpdir(), 'real-'));
    try {
      const [packed, ours, gnu] = ['packed', 'ours', 'gnu'].map((name) =>
        path.join(root, name),
      ) as [string, string, string];
      for (const directory of [packed, ours, gnu]) mkdirSync(directory);
      const file = path.join(root, 'archive');
      renameSync(await fetch(packed), file);
      const unpacking = unpack(
        file,
        ours,
        { asset: 'app.tar.gz', program: 'app' },
        LIMITS,
        AbortSignal.timeout(120_000),
      ).then(() => walk(ours));
      if (HAVE_ABSOLUTE_LINKS.has(title.split(' ').at(-1) ?? '')) {
        await assert.rejects(unpacking, { code: 'ARCHIVE_REFUSED' });
        return 'refused: it has absolute links';
      }
      await unpacking;
      await execa('tar', ['-x', '--no-same-owner', '-f', file, '-C', gnu]);
      const [mine, theirs] = [described(ours), described(gnu)];
      assert.ok(Object.keys(theirs).length > 0);
      assert.deepEqual(Object.keys(mine).sort(), Object.keys(theirs).sort());
      for (const [name, what] of Object.entries(theirs))
        assert.ok(mine[name] === what, `${name} differs`);
      return 'as GNU tar unpacks it';
    } finally {
      await execa('chmod', ['-R', 'u+rwX', root], { reject: false });
      rmSync(root, { recursive: true, force: true });
    }
  },
);

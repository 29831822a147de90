import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { execaSync } from 'execa';
import { removeTree } from '../../src/effects/durable.ts';
import { type ExtractDependencies, extract } from '../../src/effects/extract.ts';
import { problemsOf } from '../../src/effects/integrity.ts';
import { findKept } from '../../src/effects/trees.ts';
import { appArchive } from '../support/app.ts';
import { release } from '../support/machine.ts';

let root: string;
let deps: ExtractDependencies;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'extract-'));
  mkdirSync(path.join(root, 'tmp'));
  deps = {
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
    maxEntries: 1000,
    sealed: new Map(),
    warn: assert.fail,
  };
});
afterEach(() => removeTree(root));

async function downloaded() {
  const content = await appArchive({ version: '2.0.0' });
  const file = path.join(root, 'tmp', 'x.part');
  writeFileSync(file, content);
  return {
    release: release('2.0.0'),
    path: file,
    sha256: createHash('sha256').update(content).digest('hex'),
  };
}

describe('extraction', () => {
  it('publishes a tree that is as its manifest says, and removes the archive', async () => {
    const input = await downloaded();
    const fact = await extract(input, AbortSignal.timeout(20_000), deps);
    assert.ok(fact.type === 'installed');
    assert.deepEqual(await problemsOf(fact.version.path, []), []);
    assert.deepEqual(readdirSync(path.join(root, 'tmp')), []);
  });

  it('unpacks nothing that is not what was verified: another file in its place, or what a power cut left', async () => {
    const input = await downloaded();
    writeFileSync(input.path, await appArchive({ version: '6.6.6' }));
    await assert.rejects(extract(input, AbortSignal.timeout(20_000), deps), {
      code: 'DOWNLOAD_LOST',
    });
    rmSync(input.path, { force: true });
    await assert.rejects(extract(input, AbortSignal.timeout(20_000), deps), {
      code: 'DOWNLOAD_LOST',
    });
    assert.ok(
      !existsSync(path.join(root, 'releases')) ||
        readdirSync(path.join(root, 'releases')).length === 0,
    );
  });

  it('leaves no half of a tree behind on a disk that it filled (as root)', {
    skip: process.getuid?.() !== 0 && 'mounting needs root',
  }, async () => {
    execaSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', path.join(root, 'tmp')]);
    try {
      const content = await appArchive({
        version: '2.0.0',
        files: { zeros: { content: Buffer.alloc(5_000_000) } },
      });
      const file = path.join(root, 'tmp', 'x.part');
      writeFileSync(file, content);
      const input = {
        release: release('2.0.0'),
        path: file,
        sha256: createHash('sha256').update(content).digest('hex'),
      };
      await assert.rejects(extract(input, AbortSignal.timeout(20_000), deps), { code: 'NO_SPACE' });
      assert.deepEqual(readdirSync(path.join(root, 'tmp')), ['x.part']);
    } finally {
      execaSync('umount', [path.join(root, 'tmp')]);
    }
  });

  it('is found again as what it was asked for: the same bytes uploaded anew, or verified by other rules', async () => {
    const input = await downloaded();
    const uploaded = (id: number) => ({
      ...input.release,
      asset: { ...input.release.asset, id, digest: null },
    });
    for (const { id, rules } of [
      { id: 1, rules: 'some' },
      { id: 2, rules: 'some' },
      { id: 2, rules: 'others' },
    ]) {
      writeFileSync(input.path, await appArchive({ version: '2.0.0' }));
      const places = { ...deps.places, rules };
      const fact = await extract({ ...input, release: uploaded(id) }, AbortSignal.timeout(20_000), {
        ...deps,
        places,
      });
      assert.ok(fact.type === 'installed');
      assert.deepEqual(await findKept(places, uploaded(id)), fact.version);
      assert.equal(await findKept({ ...places, rules: 'none of them' }, uploaded(id)), null);
      assert.deepEqual(await problemsOf(fact.version.path, []), []);
    }
    assert.equal(readdirSync(path.join(root, 'releases')).length, 1);
  });

  it('does its work once, however often it is asked', async () => {
    const input = await downloaded();
    const first = await extract(input, AbortSignal.timeout(20_000), deps);
    assert.deepEqual(await extract(input, AbortSignal.timeout(20_000), deps), first);
  });
});

describe('programs of an archive without modes', () => {
  const CASES = path.join(import.meta.dirname, '..', 'support', 'archives');
  it('are told by their first bytes, and the rest stays as it is', async () => {
    const content = readFileSync(path.join(CASES, 'A08-nomodes-windows.zip'));
    const file = path.join(root, 'tmp', 'x.part');
    writeFileSync(file, content);
    const input = {
      release: release('2.0.0'),
      path: file,
      sha256: createHash('sha256').update(content).digest('hex'),
    };
    const fact = await extract(input, AbortSignal.timeout(20_000), deps);
    assert.ok(fact.type === 'installed');
    assert.equal(statSync(path.join(fact.version.path, 'server')).mode & 0o777, 0o555);
    assert.equal(statSync(path.join(fact.version.path, 'README.txt')).mode & 0o777, 0o444);
    assert.deepEqual(await problemsOf(fact.version.path, []), []);
  });

  for (const name of [
    'A01-appledouble.tar.gz',
    'A16-symlinked-binary.tar.gz',
    'A30-dsstore.tar.gz',
    'A21b-sparse-pax.tar.gz',
    'A13h-multiframe-small.tar.zst',
  ])
    it(`${name}, from a bug report, installs without a setting`, async () => {
      const content = readFileSync(path.join(CASES, name));
      const file = path.join(root, 'tmp', 'x.part');
      writeFileSync(file, content);
      const input = {
        release: release('2.0.0'),
        path: file,
        sha256: createHash('sha256').update(content).digest('hex'),
      };
      const fact = await extract(input, AbortSignal.timeout(20_000), deps);
      assert.ok(fact.type === 'installed');
      assert.ok(
        existsSync(path.join(fact.version.path, name.startsWith('A16') ? 'server-1.0' : 'server')),
      );
    });
});

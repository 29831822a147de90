import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  watch,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { partFile } from '../../src/effects/download.ts';
import { clearTemporary, removeOldVersions } from '../../src/effects/garbage.ts';
import { MANIFEST_NAME } from '../../src/effects/manifest.ts';
import { keptTrees, type Places } from '../../src/effects/trees.ts';
import { digestOf, release, tree } from '../support/machine.ts';

let places: Places;
beforeEach(() => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'garbage-'));
  places = {
    root,
    bakedDir: path.join(root, 'baked'),
    repository: 'acme/app',
    versioning: 'semver',
    tagPrefix: '',
  };
});
afterEach(() => rmSync(places.root, { recursive: true }));

/** A complete tree; the later in the list, the newer. */
function install(...versions: string[]): void {
  for (const [index, version] of versions.entries()) {
    const directory = path.join(places.root, 'releases', version);
    mkdirSync(directory, { recursive: true });
    const { path: _, ...described } = tree(version);
    writeFileSync(
      path.join(directory, MANIFEST_NAME),
      JSON.stringify({
        schema: 1,
        version: { ...described, digest: digestOf(version) },
        release: release(version),
        entries: [],
      }),
    );
    utimesSync(directory, 1000 + index, 1000 + index);
  }
}

function link(name: 'current' | 'last-good', version: string): void {
  symlinkSync(`releases/${version}`, path.join(places.root, name));
}

const paths = (...versions: string[]) =>
  versions.map((version) => path.join(places.root, 'releases', version));
const left = () => readdirSync(path.join(places.root, 'releases')).sort();

describe('removing old versions', () => {
  it('keeps what is linked, and of the others the newest up to the number', async () => {
    install('1.0.0', '1.1.0', '1.2.0', '1.3.0');
    link('current', '1.0.0');
    link('last-good', '1.0.0');
    const fact = await removeOldVersions(
      { keep: [], reject: [] },
      AbortSignal.timeout(100_000),
      3,
      places,
    );
    assert.deepEqual(left(), ['1.0.0', '1.2.0', '1.3.0']);
    assert.deepEqual(fact, { type: 'oldVersionsRemoved', names: ['1.1.0'] });
  });

  it('removes what failed at once, however few there are', async () => {
    install('1.0.0', '2.0.0');
    link('current', '1.0.0');
    await removeOldVersions(
      { keep: [], reject: paths('2.0.0') },
      AbortSignal.timeout(100_000),
      5,
      places,
    );
    assert.deepEqual(left(), ['1.0.0']);
  });

  it('leaves no half of a tree that counts as a whole one, wherever it ends', async () => {
    install('1.0.0', '2.0.0');
    link('current', '1.0.0');
    const [tree = ''] = paths('2.0.0');
    for (let i = 0; i < 300; i++) writeFileSync(path.join(tree, `f${i}`), '');
    const killed = new AbortController();
    const watched = watch(tree, () => killed.abort());
    try {
      await assert.rejects(
        removeOldVersions({ keep: [], reject: paths('2.0.0') }, killed.signal, 5, places),
        { name: 'AbortError' },
      );
    } finally {
      watched.close();
    }
    assert.ok(readdirSync(tree).length > 0 && !existsSync(path.join(tree, MANIFEST_NAME)));
    assert.deepEqual(
      (await keptTrees(places)).map(({ version }) => version.version),
      ['1.0.0'],
    );
    await removeOldVersions(
      { keep: [], reject: paths('2.0.0') },
      AbortSignal.timeout(100_000),
      5,
      places,
    );
    assert.deepEqual(left(), ['1.0.0']);
  });

  it('removes links, and not what they lead to; and read-only, deep and wide directories', async () => {
    install('1.0.0', '2.0.0');
    link('current', '1.0.0');
    mkdirSync(path.join(places.root, 'data'));
    writeFileSync(path.join(places.root, 'data', 'world'), 'kept');
    const [tree = ''] = paths('2.0.0');
    for (const [name, target] of [
      ['data', '../../data'],
      ['self', '.'],
      ['mount', '/proc'],
      ['gone', 'nothing'],
    ] as const)
      symlinkSync(target, path.join(tree, name));
    const deep = path.join(tree, ...Array.from({ length: 128 }, () => 'd'));
    mkdirSync(deep, { recursive: true });
    for (let i = 0; i < 500; i++) writeFileSync(path.join(deep, `f${i}`), '');
    symlinkSync('nothing', path.join(places.root, 'releases', 'stray-0123456789ab'));
    execFileSync('chmod', ['-R', 'a-w', tree]);
    await removeOldVersions(
      { keep: [], reject: paths('2.0.0') },
      AbortSignal.timeout(100_000),
      1,
      places,
    );
    assert.deepEqual(left(), ['1.0.0']);
    assert.equal(readFileSync(path.join(places.root, 'data', 'world'), 'utf8'), 'kept');
  });

  it('removes nothing any more once it is aborted', async () => {
    install('1.0.0', '2.0.0');
    link('current', '1.0.0');
    await assert.rejects(
      removeOldVersions({ keep: [], reject: paths('2.0.0') }, AbortSignal.abort(), 5, places),
    );
    assert.deepEqual(left(), ['1.0.0', '2.0.0']);
  });

  it('never removes what is linked, whatever it is told', async () => {
    install('1.0.0', '2.0.0');
    link('current', '2.0.0');
    link('last-good', '1.0.0');
    await removeOldVersions(
      { keep: [], reject: paths('1.0.0', '2.0.0') },
      AbortSignal.timeout(100_000),
      2,
      places,
    );
    assert.deepEqual(left(), ['1.0.0', '2.0.0']);
  });
});

describe('what earlier tries left in tmp', () => {
  it('goes, but for the part that is gone on with', async () => {
    const temporary = path.join(places.root, 'tmp');
    mkdirSync(path.join(temporary, 'tree-0123456789ab', 'bin'), { recursive: true, mode: 0o555 });
    const [ofDigest, ofNumber] = [digestOf('2.0.0'), null].map((digest) => {
      const named = release('2.0.0');
      return partFile(places, { ...named, asset: { ...named.asset, digest } });
    });
    for (const file of [ofDigest, ofNumber, path.join(temporary, '.preflight')])
      writeFileSync(file ?? '', '');
    await clearTemporary(places, ofNumber);
    assert.deepEqual(readdirSync(temporary), [path.basename(ofNumber ?? '')]);
    await clearTemporary(places);
    assert.deepEqual(readdirSync(temporary), []);
    assert.ok(existsSync(temporary));
  });
});

describe('UPDATE_DIR that is a directory of somebody’s work', () => {
  it('keeps what is in its `tmp` and `releases`, and that does not count as a tree that is kept', async () => {
    install('1.0.0', '1.1.0');
    link('current', '1.1.0');
    const work = [
      'tmp/session/x',
      'tmp/thesis.odt',
      'tmp/film.mkv.part',
      'releases/20240105123456/app.rb',
      'releases/v2/app',
    ];
    for (const name of work) {
      mkdirSync(path.dirname(path.join(places.root, name)), { recursive: true });
      writeFileSync(path.join(places.root, name), 'work');
    }
    await removeOldVersions({ keep: [], reject: [] }, AbortSignal.timeout(100_000), 2, places);
    for (const name of work)
      assert.equal(readFileSync(path.join(places.root, name), 'utf8'), 'work');
    assert.deepEqual(left(), ['1.0.0', '1.1.0', '20240105123456', 'v2']);
  });

  it('or whose `tmp` leads to a place that others use', async () => {
    const shared = path.join(places.root, 'shared');
    mkdirSync(shared);
    writeFileSync(path.join(shared, 'thesis.odt'), 'work');
    symlinkSync('shared', path.join(places.root, 'tmp'));
    await clearTemporary(places);
    assert.deepEqual(readdirSync(shared), ['thesis.odt']);
  });
});

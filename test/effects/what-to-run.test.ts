/**
 * What is to be run is one rule, written twice: for the updater, and in shell for a container in
 * which no updater runs.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { MANIFEST_NAME } from '../../src/effects/manifest.ts';
import { whatToRun } from '../../src/effects/trees.ts';
import { release, tree } from '../support/machine.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'what-to-run-'));
after(() => rmSync(root, { recursive: true }));

const SCRIPT = readFileSync(
  path.join(import.meta.dirname, '..', '..', 'docker', 'service', 'app', 'run'),
  'utf8',
);
const [FIND_TREE = ''] = /^is_complete\(\) \{\n.*^find_tree\(\) \{\n.*?^\}$/ms.exec(SCRIPT) ?? [];

const LINKS = ['none', 'complete', 'incomplete', 'dangling', 'baked'] as const;
const IMAGES = ['empty', 'several', 'theirs'] as const;
type Disk = {
  current: (typeof LINKS)[number];
  lastGood: (typeof LINKS)[number];
  image: (typeof IMAGES)[number];
};

const disks: Disk[] = IMAGES.flatMap((image) =>
  LINKS.flatMap((current) => LINKS.map((lastGood) => ({ image, current, lastGood }))),
);

const isLinkToTheirs = ({ image, current, lastGood }: Disk) =>
  image === 'theirs' && (current === 'baked' || lastGood === 'baked');

function prepare({ current, lastGood, image }: Disk) {
  const directory = mkdtempSync(path.join(root, `${image}-${current}-${lastGood}-`));
  const bakedDir = path.join(directory, 'baked');
  mkdirSync(bakedDir, { recursive: true });
  if (image !== 'empty')
    for (const version of ['1.9.0', '1.10.0']) mkdirSync(path.join(bakedDir, version));
  if (image === 'theirs') writeFileSync(path.join(bakedDir, '.repository'), 'somebody/else\n');
  const link = (name: string, version: string, state: Disk['current']) => {
    const releases = path.join(directory, 'releases', version);
    if (state === 'complete' || state === 'incomplete') mkdirSync(releases, { recursive: true });
    const { path: _, ...described } = tree(version);
    const manifest = { schema: 1, version: described, release: release(version), entries: [] };
    if (state === 'complete')
      writeFileSync(path.join(releases, MANIFEST_NAME), JSON.stringify(manifest));
    const target =
      state === 'baked' ? path.join(bakedDir, '1.10.0') : path.join('releases', version);
    if (state !== 'none') symlinkSync(target, path.join(directory, name));
  };
  link('current', '3.0.0', current);
  link('last-good', '2.0.0', lastGood);
  return {
    root: directory,
    bakedDir,
    repository: 'acme/app',
    versioning: 'semver',
    tagPrefix: '',
  } as const;
}

function inShell({
  root: dir,
  bakedDir: baked,
}: {
  root: string;
  bakedDir: string;
}): string | null {
  const script = `set -u\nonce=\n${FIND_TREE}\nfind_tree && printf %s "$tree" || :`;
  const said = execFileSync('sh', ['-c', script], {
    env: { ...process.env, dir, baked, GH_USER: 'acme', GH_REPO: 'app' },
    encoding: 'utf8',
  });
  return said === '' ? null : said;
}

describe('what is to be run, where only the disk is asked', () => {
  it('is what is linked, else what was good, else the newest of the image', async () => {
    const chosen = async (disk: Disk) =>
      path.basename((await whatToRun(prepare(disk)))?.path ?? 'nothing');
    assert.equal(
      await chosen({ image: 'several', current: 'complete', lastGood: 'complete' }),
      '3.0.0',
    );
    assert.equal(
      await chosen({ image: 'several', current: 'incomplete', lastGood: 'complete' }),
      '2.0.0',
    );
    assert.equal(
      await chosen({ image: 'several', current: 'dangling', lastGood: 'none' }),
      '1.10.0',
    );
    assert.equal(
      await chosen({ image: 'empty', current: 'none', lastGood: 'incomplete' }),
      'nothing',
    );
  });

  it('is the same to the container, which has no updater to ask', async () => {
    assert.match(FIND_TREE, /current.*last-good/s);
    for (const disk of disks.filter((candidate) => !isLinkToTheirs(candidate))) {
      const places = prepare(disk);
      assert.equal(inShell(places), (await whatToRun(places))?.path ?? null, JSON.stringify(disk));
    }
  });

  // GH_REPO was changed, or misspelt. To the updater nothing is there; but the app that ran before
  // is not taken down for it.
  it('but for a link to the image of another repository: the container runs what is linked until the updater has something', async () => {
    const places = prepare({ image: 'theirs', current: 'baked', lastGood: 'none' });
    assert.equal(inShell(places), path.join(places.bakedDir, '1.10.0'));
    assert.equal(await whatToRun(places), null);
  });
});

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { MANIFEST_NAME } from '../../src/effects/manifest.ts';
import { switchCurrent } from '../../src/effects/switch.ts';
import type { Places } from '../../src/effects/trees.ts';
import { release, tree } from '../support/machine.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'switch-'));
after(() => rmSync(root, { recursive: true }));
const places: Places = {
  root,
  bakedDir: path.join(root, 'baked'),
  repository: 'acme/app',
  versioning: 'semver',
  tagPrefix: '',
};
const deps = { places, linked: { names: [], directory: path.join(root, 'data'), owner: null } };

function install(version: string, { complete = true } = {}) {
  const directory = path.join(root, 'releases', version);
  mkdirSync(directory, { recursive: true });
  const { path: _, ...described } = tree(version);
  if (complete)
    writeFileSync(
      path.join(directory, MANIFEST_NAME),
      JSON.stringify({ schema: 1, version: described, release: release(version), entries: [] }),
    );
  return { ...tree(version), path: directory };
}

describe('the switch', () => {
  it('links a complete tree, relative to UPDATE_DIR, so that the volume may be mounted elsewhere', async () => {
    await switchCurrent({ to: install('1.0.0'), bestEffort: false }, deps);
    assert.equal(readlinkSync(path.join(root, 'current')), 'releases/1.0.0');
  });

  it('leaves the link alone when a tree has no manifest, or is gone', async () => {
    rmSync(path.join(root, 'current'), { force: true });
    symlinkSync('releases/1.0.0', path.join(root, 'current'));
    for (const to of [
      install('2.0.0', { complete: false }),
      { ...tree('3.0.0'), path: path.join(root, 'releases', '3.0.0') },
    ])
      await assert.rejects(switchCurrent({ to, bestEffort: true }, deps), { code: 'TREE_MISSING' });
    assert.equal(readlinkSync(path.join(root, 'current')), 'releases/1.0.0');
  });
});

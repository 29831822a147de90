/** A tree against its manifest, also where the app's data would lead astray whoever follows it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { walk } from '../../src/effects/archive/walk.ts';
import { problemsOf } from '../../src/effects/integrity.ts';
import { MANIFEST_NAME } from '../../src/effects/manifest.ts';
import { release } from '../support/machine.ts';

let root: string;
let tree: string;

beforeEach(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'integrity-'));
  tree = path.join(root, 'tree');
  mkdirSync(path.join(tree, 'lib', 'deep'), { recursive: true });
  writeFileSync(path.join(tree, 'app'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(path.join(tree, 'lib', 'deep', 'a'), 'a');
  symlinkSync('app', path.join(tree, 'link'));
  const version = {
    repository: 'acme/app',
    version: '1.0.0',
    tag: 'v1.0.0',
    digest: null,
    fingerprint: null,
  };
  const manifest = { schema: 1, version, release: release('1.0.0'), entries: await walk(tree) };
  writeFileSync(path.join(tree, MANIFEST_NAME), JSON.stringify(manifest));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('verify', () => {
  it('finds nothing in a tree that is as it was installed', async () => {
    assert.deepEqual(await problemsOf(tree, []), []);
  });

  it('finds what was changed, and what is missing', async () => {
    writeFileSync(path.join(tree, 'app'), '#!/bin/no\n');
    unlinkSync(path.join(tree, 'lib', 'deep', 'a'));
    unlinkSync(path.join(tree, 'link'));
    symlinkSync('lib', path.join(tree, 'link'));
    assert.deepEqual(await problemsOf(tree, []), [
      'app was changed',
      'lib/deep/a is missing',
      'link was changed',
    ]);
  });

  it("does not follow the app's links, which lead in circles without end", {
    timeout: 20_000,
  }, async () => {
    const data = path.join(root, 'data');
    mkdirSync(data);
    for (const name of ['a', 'b', 'c']) symlinkSync('.', path.join(data, name));
    symlinkSync(data, path.join(tree, 'world'));
    assert.deepEqual(await problemsOf(tree, ['world']), []);
    rmSync(path.join(tree, 'lib'), { recursive: true });
    symlinkSync(data, path.join(tree, 'lib'));
    assert.deepEqual(await problemsOf(tree, ['world']), ['lib was changed']);
  });

  it('does not read what is longer than it should be', async () => {
    unlinkSync(path.join(tree, 'lib', 'deep', 'a'));
    symlinkSync('/dev/zero', path.join(tree, 'lib', 'deep', 'a'));
    assert.deepEqual(await problemsOf(tree, []), ['lib/deep/a was changed']);
  });
});

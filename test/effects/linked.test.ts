/** Names that are linked into a tree, and links by which the app's data would lead the updater elsewhere. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ensureLinked } from '../../src/effects/linked.ts';

let root: string;
let tree: string;
let directory: string;
let victim: string;

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'linked-'));
  [tree, directory, victim] = [path.join(root, 'tree'), path.join(root, 'data'), path.join(root, 'victim')];
  for (const place of [tree, directory, victim]) mkdirSync(place);
});
afterEach(() => rmSync(root, { recursive: true }));

const link = (name: string) => ensureLinked(tree, { names: [name], directory, owner: null });

describe('a linked name', () => {
  it('is a link into the data directory, which is made', async () => {
    await link('world/region');
    assert.equal(readlinkSync(path.join(tree, 'world', 'region')), path.join(directory, 'world', 'region'));
    assert.ok(existsSync(path.join(directory, 'world', 'region')));
  });

  it('is refused where a link in the data leads out of it, and nothing is made there', async () => {
    symlinkSync(victim, path.join(directory, 'conf'));
    await assert.rejects(link('conf/cache'), { code: 'LINKED_ESCAPES' });
    assert.deepEqual(readdirSync(victim), []);
  });

  it('is fine where a link in the data stays in it', async () => {
    mkdirSync(path.join(directory, 'real'));
    symlinkSync('real', path.join(directory, 'conf'));
    await link('conf/cache');
    assert.ok(existsSync(path.join(directory, 'real', 'cache')));
  });
});

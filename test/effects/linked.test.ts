/** Names that are linked into a tree, and links by which the app's data would lead the updater elsewhere. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { execaSync } from 'execa';
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

  const bring = (name: string, content: string) => {
    mkdirSync(path.join(tree, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(tree, name), content);
  };

  it('is seeded by the first tree that brings it, also where a tree without it was linked before (the one in the image)', async () => {
    const baked = path.join(root, 'baked');
    mkdirSync(baked);
    await ensureLinked(baked, { names: ['world'], directory, owner: null });
    bring('world/level.dat', 'fresh');
    await link('world');
    assert.equal(readFileSync(path.join(tree, 'world', 'level.dat'), 'utf8'), 'fresh');
    assert.deepEqual(readdirSync(directory), ['world']);
  });

  it('is not seeded where there is data, nor where an empty link or a file stands in its place', async () => {
    const seeded = async (prepare: () => void) => {
      rmSync(tree, { recursive: true });
      rmSync(directory, { recursive: true });
      mkdirSync(directory);
      prepare();
      bring('world/level.dat', 'fresh');
      await link('world');
      return readdirSync(root, { recursive: true }).some((file) => String(file).endsWith('level.dat'));
    };
    const data = path.join(directory, 'world');
    assert.equal(await seeded(() => mkdirSync(path.join(data, 'region'), { recursive: true })), false);
    assert.equal(await seeded(() => symlinkSync(victim, data)), false);
    assert.equal(await seeded(() => writeFileSync(data, '')), false);
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

  const canKill = process.getuid?.() === 0 && execaSync('strace', ['-V'], { reject: false }).exitCode === 0;
  it('belongs to the app from the moment it has its name, also when the updater is killed right then (as root, with strace)', {
    skip: !canKill && 'needs root and strace',
  }, async () => {
    const owner = { uid: 1234, gid: 1234 };
    const options = JSON.stringify({ names: ['world'], directory, owner });
    const module = new URL('../../src/effects/linked.ts', import.meta.url).href;
    const script = `import { execaSync } from 'execa';
import { ensureLinked } from '${module}'; await ensureLinked(${JSON.stringify(tree)}, ${options});`;
    const kill = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=lchown', '-e', 'inject=lchown:signal=SIGKILL', process.execPath];
    const { signal } = execaSync('strace', [...kill, '--input-type=module', '--eval', script], { reject: false });
    assert.equal(signal, 'SIGKILL');
    assert.ok(!existsSync(path.join(directory, 'world')));
    await ensureLinked(tree, { names: ['world'], directory, owner });
    assert.equal(statSync(path.join(directory, 'world')).uid, 1234);
    assert.deepEqual(readdirSync(directory), ['world']);
  });
});

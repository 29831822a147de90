/** Removing a tree as root, while an app exchanges what lies in directories of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { removeTree } from '../../src/effects/durable.ts';

const APP = { uid: 1000, gid: 1000 };

describe('a tree that root removes', {
  skip: process.getuid?.() !== 0 && 'needs root',
  concurrency: false,
}, () => {
  let root: string;
  const at = (name: string): string => path.join(root, name);
  beforeEach(() => {
    // Not below /tmp, where a sticky directory has rules of its own.
    root = mkdtempSync('/opt/remove-');
    chmodSync(root, 0o755);
    for (const name of ['outside', 'tree', 'tree/a', 'tree/a/evil', 'tree/a/evil/in'])
      mkdirSync(at(name));
    for (const name of [
      'outside/1',
      'outside/2',
      'tree/a/evil/1',
      'tree/a/evil/in/1',
      'tree/a/evil/in/2',
    ])
      writeFileSync(at(name), '');
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /**
   * Between two names of `evil`, after root has read them, the app puts a link that leads out in
   * place of a directory, where it may.
   */
  const exchanging = (): { signal: AbortSignal; tries: () => number } => {
    let tries = 0;
    const exchange = (): void => {
      tries += 1;
      // The first two are `a` and `evil`.
      if (tries < 3) return;
      spawnSync('sh', ['-c', '[ -L in ] || { mv in away && ln -s ../../../outside in; }'], {
        ...APP,
        cwd: at('tree/a/evil'),
        stdio: 'ignore',
      });
    };
    return {
      signal: Object.assign(new AbortController().signal, { throwIfAborted: exchange }),
      tries: () => tries,
    };
  };

  const LEFT: Record<string, (evil: string) => void> = {
    "is the app's own": (evil) => {
      chownSync(evil, APP.uid, APP.gid);
      chownSync(path.join(evil, 'in'), APP.uid, APP.gid);
    },
    "is the app's own, and nobody else may look into it": (evil) => {
      chownSync(evil, APP.uid, APP.gid);
      chownSync(path.join(evil, 'in'), APP.uid, APP.gid);
      chmodSync(evil, 0o700);
    },
    'may be written by its group': (evil) => {
      chownSync(evil, 0, APP.gid);
      chmodSync(evil, 0o775);
    },
    'may be written by everybody': (evil) => chmodSync(evil, 0o777),
  };
  for (const [title, leave] of Object.entries(LEFT))
    it(`has a directory that ${title}: names exchanged in it meanwhile lead to nothing outside`, async () => {
      leave(at('tree/a/evil'));
      const { signal, tries } = exchanging();
      await removeTree(at('tree'), signal);
      assert.ok(tries() >= 3);
      assert.deepEqual(readdirSync(at('outside')), ['1', '2']);
      assert.equal(existsSync(at('tree')), false);
    });

  it('was exchanged itself for a link: the link is removed, and what it leads to stays', async () => {
    symlinkSync('outside', at('link'));
    await removeTree(at('link'));
    assert.deepEqual(readdirSync(at('outside')), ['1', '2']);
    assert.equal(existsSync(at('link')), false);
  });
});

/** Where the links of a tree lead. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Links } from '../../../src/effects/archive/links.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'links-'));
  mkdirSync(path.join(root, 'z'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** A chain of links, of which `first` is the head and the last one leads to `end`. */
function chain(length: number, end: string): void {
  symlinkSync('z/c1', path.join(root, 'first'));
  for (let i = 1; i < length; i++) symlinkSync(`c${i + 1}`, path.join(root, 'z', `c${i}`));
  symlinkSync(end, path.join(root, 'z', `c${length}`));
}

/** As a walk does, head first. */
function checkAll(): void {
  const links = new Links(root, []);
  links.check('first');
  for (const name of readdirSync(path.join(root, 'z'))) links.check(`z/${name}`);
}

describe('a chain of links', () => {
  for (const length of [1, 39, 40, 41, 42, 100])
    it(`of ${length} that leaves the tree at its end is refused, however its head was judged`, () => {
      chain(length, '../../outside');
      assert.throws(checkAll, { code: 'ARCHIVE_REFUSED' });
    });

  it('that stays within is fine', () => {
    chain(30, '../z');
    checkAll();
  });

  it('in a circle is fine: it leads nowhere', () => {
    chain(3, 'c1');
    checkAll();
  });
});

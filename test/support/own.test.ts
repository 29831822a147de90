/**
 * Only what our own user or root wrote counts; what is odd in the updater's directory is set aside.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { foreignOwner, readOwn, setAside, writeOwn } from '../../src/support/own.ts';
import { mkfifo, needsRoot, OTHER } from './others.ts';

let root: string;
let told: string[];
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'own-'));
  told = [];
});
afterEach(() => rmSync(root, { recursive: true }));
const at = (name: string) => path.join(root, name);
const tell = (reason: string) => void told.push(reason);

describe('a file of ours', () => {
  it('is written in place, so that who has it open sees it, and read', () => {
    writeOwn(at('note'), 'a longer text', tell);
    const { ino, mode } = lstatSync(at('note'));
    assert.equal(mode & 0o777, 0o600);
    writeOwn(at('note'), 'short', tell);
    assert.equal(readOwn(at('note'), 100).toString(), 'short');
    assert.equal(lstatSync(at('note')).ino, ino);
    assert.deepEqual(told, []);
  });

  it('is not a link: neither read nor written through one', () => {
    writeFileSync(at('precious'), 'as it was');
    symlinkSync('precious', at('note'));
    assert.throws(() => readOwn(at('note'), 100), { code: 'NOT_A_FILE' });
    writeOwn(at('note'), 'new', tell);
    assert.equal(readFileSync(at('precious'), 'utf8'), 'as it was');
    assert.equal(readOwn(at('note'), 100).toString(), 'new');
    assert.match(told.join(), /\[NOT_A_FILE\]$/);
  });

  it('is not another name of a precious file', () => {
    writeFileSync(at('precious'), 'as it was');
    linkSync(at('precious'), at('note'));
    writeOwn(at('note'), 'new', tell);
    assert.equal(readFileSync(at('precious'), 'utf8'), 'as it was');
  });

  it('is not a FIFO: that waits for nobody, and is replaced', () => {
    mkfifo(at('note'));
    assert.throws(() => readOwn(at('note'), 100), { code: 'NOT_A_FILE' });
    writeOwn(at('note'), 'new', tell);
    assert.equal(readOwn(at('note'), 100).toString(), 'new');
  });

  it('is not a directory: that is moved away, whatever is in it', () => {
    mkdirSync(at('note'));
    writeFileSync(at('note/file'), '');
    assert.throws(() => readOwn(at('note'), 100), { code: 'NOT_A_FILE' });
    writeOwn(at('note'), 'new', tell);
    assert.equal(readOwn(at('note'), 100).toString(), 'new');
    assert.match(told.join(), /moved to .*note\.odd-\d+/);
    assert.ok(readdirSync(root).some((name) => name.startsWith('note.odd-')));
  });

  it('is not what another user wrote', { skip: needsRoot }, () => {
    chmodSync(root, 0o1777);
    writeFileSync(at('note'), 'forged');
    chownSync(at('note'), OTHER.uid, OTHER.gid);
    assert.throws(() => readOwn(at('note'), 100), {
      code: 'NOT_OURS',
      message: /belongs to user 65534/,
    });
    writeOwn(at('note'), 'new', tell);
    assert.equal(lstatSync(at('note')).uid, 0);
    assert.deepEqual(readdirSync(root), ['note'], 'the probe for who we are is gone again');
  });
});

describe('setting aside', () => {
  it('takes a link and not what it names, and minds nothing that is gone', () => {
    mkdirSync(at('precious'));
    symlinkSync('precious', at('link'));
    assert.equal(setAside(at('link')), null);
    assert.equal(setAside(at('link')), null);
    assert.ok(existsSync(at('precious')));
  });
});

it('what would lie below a file, where only directories are expected, is nobody’s', () => {
  writeFileSync(at('.preflight'), '');
  assert.equal(foreignOwner(path.join(at('.preflight'), '.self-update-manifest.json'), root), null);
});

/** What SQLite is given to open is a file: it would wait for ever for a FIFO's writer. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Journal } from '../../src/journal/journal.ts';
import { acquireLock, isLocked } from '../../src/journal/lock.ts';
import { setOddAside } from '../../src/journal/plain.ts';
import { mkfifo } from '../support/others.ts';

let state: string;
let told: string[];
beforeEach(() => {
  state = path.join(mkdtempSync(path.join(os.tmpdir(), 'plain-')), 'state');
  mkdirSync(state, { mode: 0o700 });
  told = [];
});
afterEach(() => rmSync(path.dirname(state), { recursive: true }));
const at = (name: string) => path.join(state, name);
const tell = (message: string) => void told.push(message);

describe('a FIFO or a directory in the place of the lock', () => {
  for (const name of ['lock', 'lock-journal', 'lock-wal'])
    it(`is not waited for by who looks, and set aside by the updater (${name})`, () => {
      if (name !== 'lock') acquireLock(state).release();
      mkfifo(at(name));
      assert.throws(() => isLocked(state), { code: 'NOT_A_FILE', message: /is a FIFO/ });
      acquireLock(state, tell).release();
      assert.match(told.join(), /was a FIFO.*removed \[NOT_A_FILE\]/);
      assert.equal(isLocked(state), false);
      mkdirSync(path.join(at('lock-shm'), 'inside'), { recursive: true });
      acquireLock(state, tell).release();
    });
});

describe('a FIFO in the place of the journal', () => {
  it('is not waited for by who looks, and set aside by the updater', () => {
    mkfifo(at('journal.db'));
    assert.throws(() => Journal.openForReading(state), { code: 'NOT_A_FILE' });
    setOddAside(Journal.path(state), tell);
    Journal.open(state).close();
    assert.match(told.join(), /journal\.db was a FIFO/);
  });
});

describe('a journal behind a link', () => {
  it('is where its operator put it', () => {
    Journal.open(path.join(state, 'elsewhere')).close();
    symlinkSync('elsewhere/journal.db', at('journal.db'));
    setOddAside(Journal.path(state), tell);
    assert.deepEqual(told, []);
    assert.ok(existsSync(at('journal.db')));
  });
});

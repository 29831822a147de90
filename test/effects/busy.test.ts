/** The busy lock, and what an app may put in its place. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { busySince } from '../../src/effects/busy.ts';

const DAY_MS = 86_400_000;
const IN_2096 = new Date('2096-01-01T00:00:00Z');
let root: string;
let file: string;

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'busy-'));
  file = path.join(root, 'busy');
});
afterEach(() => rmSync(root, { recursive: true }));

const since = (nowMs = Date.now()) => busySince({ file, maxAgeMs: DAY_MS, owner: null }, nowMs);

describe('a busy file', () => {
  it('says that the app is busy, until it is a day old', () => {
    writeFileSync(file, '');
    assert.notEqual(since(), null);
    assert.equal(since(Date.now() + 2 * DAY_MS), null);
  });

  it('of the year 2096 counts from when it was set, and not for ever', () => {
    writeFileSync(file, '');
    utimesSync(file, IN_2096, IN_2096);
    assert.notEqual(since(), null);
    assert.ok((since() ?? Number.POSITIVE_INFINITY) <= Date.now());
    assert.equal(since(Date.now() + 2 * DAY_MS), null);
  });

  it('is none if it is a directory, or a link', () => {
    mkdirSync(file);
    utimesSync(file, IN_2096, IN_2096);
    assert.equal(since(), null);
    rmSync(file, { recursive: true });
    symlinkSync('/proc/self/cmdline', file);
    assert.equal(since(), null);
  });
});

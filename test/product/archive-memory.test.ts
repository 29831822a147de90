/** Archives that would take all memory of a container: each is unpacked by a process of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { removeTree } from '../../src/effects/durable.ts';
import { END, entry, longName, pax, paxHeader, type TarEntry, zip } from '../support/hostile.ts';

const APP: TarEntry = { path: 'app', mode: 0o755, body: '#!/bin/sh\n' };
const link = (name: string, linkpath: string): TarEntry => ({
  path: name,
  type: 'SymbolicLink',
  linkpath,
});

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'memory-'));
  mkdirSync(path.join(root, 'tmp'));
});
afterEach(() => removeTree(root));

describe('memory that an archive takes', () => {
  /** In MB, of a process of its own whose heap has 64. */
  function peakOf(bytes: Buffer, expected: string): number {
    const file = path.join(root, 'archive');
    writeFileSync(file, bytes);
    const program = path.join(import.meta.dirname, '..', 'support', 'extract-child.ts');
    const said = execFileSync(process.execPath, ['--max-old-space-size=64', program, file, root], {
      encoding: 'utf8',
      timeout: 240_000,
    });
    const { outcome, peakBytes } = JSON.parse(said) as { outcome: string; peakBytes: number };
    assert.match(outcome, new RegExp(expected));
    return peakBytes / 1e6;
  }
  const many = (count: number, make: (i: number) => TarEntry[]) =>
    gzipSync(
      Buffer.concat([
        entry(APP),
        ...Array.from({ length: count }, (_, i) => make(i).map(entry)).flat(),
        END,
      ]),
      { level: 1 },
    );
  const CONTAINER_MB = 256;

  it('names of 3,000 bytes by the thousand are refused before they take a container’s', {
    timeout: 300_000,
  }, () => {
    const long = `${'q'.repeat(240)}/`.repeat(12);
    const peak = peakOf(
      many(9_500, (i) => [longName(`${long}${i}`), { path: 'x' }]),
      '^ARCHIVE_TOO_LARGE: .*names.*UPDATE_MAX_ENTRIES',
    );
    assert.ok(peak < CONTAINER_MB, `${peak} MB`);
  });

  it('a zip of long names', { timeout: 300_000 }, () => {
    const long = `${'q'.repeat(240)}/`.repeat(12);
    const peak = peakOf(
      zip([
        { name: 'app', body: 'x', mode: 0o100755 },
        ...Array.from({ length: 9_500 }, (_, i) => ({ name: `${long}${i}` })),
      ]),
      '^ARCHIVE_TOO_LARGE: ',
    );
    assert.ok(peak < CONTAINER_MB, `${peak} MB`);
  });

  it('targets of links count like names', { timeout: 300_000 }, () => {
    const peak = peakOf(
      many(9_500, (i) => [paxHeader(pax('linkpath', 'd/'.repeat(1500))), link(`l${i}`, 'x')]),
      '^ARCHIVE_TOO_LARGE: ',
    );
    assert.ok(peak < CONTAINER_MB, `${peak} MB`);
  });

  it('PAX headers of a megabyte do not stay for the name in each', { timeout: 300_000 }, () => {
    const note = Buffer.alloc(500_000, 'x').toString();
    const peak = peakOf(
      many(300, (i) => [
        paxHeader(pax('comment', note), pax('path', `a-name-of-some-length-${i}`)),
        { path: 'x' },
      ]),
      '^installed$',
    );
    assert.ok(peak < CONTAINER_MB, `${peak} MB`);
  });

  it('a tree of many files and links is installed in little memory', { timeout: 300_000 }, () => {
    const peak = peakOf(
      many(10_000, (i) => [
        { path: `d${i % 50}/file-${i}`, body: 'x' },
        link(`d${i % 50}/link-${i}`, `file-${i}`),
      ]),
      '^installed$',
    );
    assert.ok(peak < CONTAINER_MB, `${peak} MB`);
  });
});

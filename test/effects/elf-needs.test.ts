/**
 * What an ELF file needs, of real binaries of this machine in comparison with readelf, and of bytes
 * that nobody's linker made.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { elfNeedsOf } from '../../src/effects/elf-needs.ts';
import { compareGlibc } from '../../src/support/glibc.ts';
import { linked } from '../support/elf.ts';

let root: string;
before(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'elf-'));
});
after(() => rmSync(root, { recursive: true }));

function written(bytes: Buffer): string {
  const file = path.join(root, 'mangled');
  writeFileSync(file, bytes);
  return file;
}

/** The same questions, answered by binutils. */
function byReadelf(file: string) {
  const text = (...options: string[]) =>
    execFileSync('readelf', [...options, file], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      maxBuffer: 64 * 1024 * 1024,
    });
  const needs = /Version needs section[\s\S]*/.exec(text('-V', '-W'))?.[0] ?? '';
  const versions = [...needs.matchAll(/Name: GLIBC_(\d[\d.]*)\s+Flags: none/g)].map(
    ([, version = '']) => version,
  );
  return {
    interpreter: /Requesting program interpreter: (.*)\]/.exec(text('-l', '-W'))?.[1] ?? null,
    libraries: [...text('-d', '-W').matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name),
    glibc: versions.toSorted((a, b) => compareGlibc(b, a))[0] ?? null,
  };
}

const PROGRAMS = ['/bin/ls', '/bin/sh', process.execPath, process.env['SHELL'] ?? '/bin/bash'];

describe('a real program', () => {
  it('needs what readelf says', () => {
    const hasReadelf = spawnSync('readelf', ['--version']).status === 0;
    for (const program of PROGRAMS) {
      const needs = elfNeedsOf(realpathSync(program));
      assert.ok(needs !== null, program);
      assert.ok(
        needs.libraries.some((name) => /^lib(?:c\.|c\.musl)/.test(name)),
        program,
      );
      if (!hasReadelf) continue;
      const { interpreter, libraries, glibc } = needs;
      assert.deepEqual({ interpreter, libraries, glibc }, byReadelf(realpathSync(program)));
    }
  });

  it('that is no ELF file is nothing', () => {
    for (const text of ['', '#!/bin/sh\n', '\x7fELF', `\x7fELF${'\0'.repeat(40)}`])
      assert.equal(elfNeedsOf(written(Buffer.from(text, 'latin1'))), null);
    assert.equal(elfNeedsOf(root), null);
  });
});

const glibcOf = (...made: Parameters<typeof linked>) => elfNeedsOf(written(linked(...made)))?.glibc;

describe('versions of symbols', () => {
  it('are compared as numbers, and the highest counts', () => {
    assert.equal(glibcOf(['GLIBC_2.4', 'GLIBC_2.34', 'GLIBC_2.2.5', 'GCC_3.0']), '2.34');
    assert.equal(glibcOf(['GLIBC_2.4', 'GLIBC_2.34'], { isBig: true }), '2.34');
    assert.equal(glibcOf(['GLIBC_2.2.5', 'GLIBC_2.2']), '2.2.5');
    assert.equal(glibcOf(['CXXABI_1.3', 'GLIBC_PRIVATE', 'XGLIBC_2.99']), null);
    assert.equal(glibcOf(['GLIBC_2.2.5', 'GLIBC_ABI_DT_RELR']), '2.36');
  });

  it('that are weak are not needed', () => {
    assert.equal(glibcOf(['GLIBC_2.34'], { flags: 2 }), null);
  });

  it('in a list that leads to itself, or out of the file, come to an end', () => {
    assert.equal(glibcOf(['GLIBC_2.4', 'GLIBC_2.34'], { step: 0 }), '2.4');
    assert.equal(glibcOf(['GLIBC_2.4', 'GLIBC_2.34'], { step: 0xffffffff }), '2.4');
    // No library has so many: what comes after is not looked at.
    const first = linked(['GLIBC_2.34'], { needNext: 2048 });
    first.writeUInt16LE(0, 2048 + 2);
    const chain = (count: number) => {
      const others = Buffer.alloc(count * 16);
      for (let at = 0; at < others.length; at += 16) others.writeUInt32LE(16, at + 12);
      return Buffer.concat([first, others, first.subarray(2048, 2080)]);
    };
    for (const [count, found] of [
      [500, '2.34'],
      [600, null],
    ] as const) {
      const bytes = chain(count);
      bytes.writeUInt16LE(1, 4096 + count * 16 + 2);
      assert.equal(elfNeedsOf(written(bytes))?.glibc, found, String(count));
    }
    // Libraries that follow one another for ever: 1 byte onwards each.
    assert.equal(glibcOf(['GLIBC_2.4'], { needNext: 1 }), '2.4');
  });
});

describe('mangled bytes', () => {
  const real = readFileSync(realpathSync('/bin/ls'));

  it('are read to an end, and never throw', () => {
    const places = fc.integer({ min: 0, max: Math.min(real.length, 4096) - 1 });
    const changes = fc.array(fc.tuple(places, fc.integer({ min: 0, max: 255 })), { minLength: 1 });
    const sources = fc.constantFrom(real, linked(['GLIBC_2.4', 'GLIBC_2.34']));
    fc.assert(
      fc.property(sources, changes, fc.integer({ min: 0, max: 4096 }), (bytes, all, cut) => {
        const mangled = Buffer.from(bytes.subarray(0, bytes.length - cut));
        for (const [at, value] of all) if (at < mangled.length) mangled[at] = value;
        const needs = elfNeedsOf(written(mangled));
        assert.ok(needs === null || needs.libraries.length <= 512);
        assert.match(needs?.glibc ?? '2.0', /^\d+\.\d+(?:\.\d+)?$/);
      }),
      { numRuns: 500 },
    );
  });

  it('with offsets at 2^63 and headers without end name nothing', () => {
    for (const at of [32, 64 + 8, 64 + 56 + 8, 512 + 8, 512 + 40]) {
      const bytes = linked(['GLIBC_2.34']);
      bytes.writeBigUInt64LE(2n ** 63n, at);
      assert.equal(elfNeedsOf(written(bytes))?.glibc ?? null, null, String(at));
    }
    const bytes = linked(['GLIBC_2.34']);
    bytes.writeUInt16LE(0xffff, 56);
    assert.equal(elfNeedsOf(written(bytes))?.glibc, '2.34');
  });
});

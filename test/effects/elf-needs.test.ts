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

/** A program bound to these versions of libc.so.6, as a linker lays it out, or as none would. */
function program(
  names: readonly string[],
  { isBig = false, step = 16, flags = 0, needNext = 0 } = {},
): Buffer {
  const bytes = Buffer.alloc(4096);
  const put = (value: number, at: number, width: 2 | 4 | 8) => {
    if (width === 8) {
      if (isBig) bytes.writeBigUInt64BE(BigInt(value), at);
      else bytes.writeBigUInt64LE(BigInt(value), at);
    } else if (isBig) bytes.writeUIntBE(value, at, width);
    else bytes.writeUIntLE(value, at, width);
  };
  bytes.write('\x7fELF', 'latin1');
  bytes[4] = 2;
  bytes[5] = isBig ? 2 : 1;
  put(isBig ? 22 : 62, 18, 2);
  put(64, 32, 8);
  put(2, 56, 2);
  const [base, dynamicAt, textsAt, needAt] = [0x400000, 512, 1024, 2048];
  // PT_LOAD of the whole file, and PT_DYNAMIC.
  for (const [index, [type, offset, size]] of [
    [1, 0, 4096],
    [2, dynamicAt, 256],
  ].entries()) {
    const at = 64 + index * 56;
    put(type ?? 0, at, 4);
    put(offset ?? 0, at + 8, 8);
    put(base + (offset ?? 0), at + 16, 8);
    put(size ?? 0, at + 32, 8);
  }
  for (const [index, [tag, value]] of [
    [5, base + textsAt],
    [1, 1],
    [0x6ffffffe, base + needAt],
  ].entries()) {
    put(tag ?? 0, dynamicAt + index * 16, 8);
    put(value ?? 0, dynamicAt + index * 16 + 8, 8);
  }
  let textAt = textsAt + 1;
  const text = (name: string): number => {
    const at = textAt - textsAt;
    bytes.write(`${name}\0`, textAt, 'latin1');
    textAt += name.length + 1;
    return at;
  };
  put(1, needAt, 2);
  put(names.length, needAt + 2, 2);
  put(text('libc.so.6'), needAt + 4, 4);
  put(16, needAt + 8, 4);
  put(needNext, needAt + 12, 4);
  for (const [index, name] of names.entries()) {
    const at = needAt + 16 + index * 16;
    put(flags, at + 4, 2);
    put(text(name), at + 8, 4);
    put(index + 1 === names.length && step === 16 ? 0 : step, at + 12, 4);
  }
  return bytes;
}
const glibcOf = (...made: Parameters<typeof program>) =>
  elfNeedsOf(written(program(...made)))?.glibc;

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
    // Libraries that follow one another for ever: 1 byte onwards each.
    assert.equal(glibcOf(['GLIBC_2.4'], { needNext: 1 }), '2.4');
  });
});

describe('mangled bytes', () => {
  const real = readFileSync(realpathSync('/bin/ls'));

  it('are read to an end, and never throw', () => {
    const places = fc.integer({ min: 0, max: Math.min(real.length, 4096) - 1 });
    const changes = fc.array(fc.tuple(places, fc.integer({ min: 0, max: 255 })), { minLength: 1 });
    const sources = fc.constantFrom(real, program(['GLIBC_2.4', 'GLIBC_2.34']));
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
      const bytes = program(['GLIBC_2.34']);
      bytes.writeBigUInt64LE(2n ** 63n, at);
      assert.equal(elfNeedsOf(written(bytes))?.glibc ?? null, null, String(at));
    }
    const bytes = program(['GLIBC_2.34']);
    bytes.writeUInt16LE(0xffff, 56);
    assert.equal(elfNeedsOf(written(bytes))?.glibc, '2.34');
  });
});

/** What a release may bring in place of a program: headers that lead a reader astray. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import { checkPlatform } from '../../src/effects/program.ts';
import { Fault } from '../../src/support/fault.ts';
import { randomFrom } from '../support/chaos/cases.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'program-'));
after(() => rmSync(root, { recursive: true }));
const int = (random: () => number, below: number) => Math.floor(random() * below);
const AMD64 = { os: 'linux', arch: 'x64', emulators: path.join(root, 'none') } as const;

/** An ELF header of amd64 (elf(5)), with a table of program headers there and of that shape. */
function elf({ tableAt, size, count }: { tableAt: bigint; size: number; count: number }): Buffer {
  const header = Buffer.alloc(64);
  Buffer.from('7f454c46020101', 'hex').copy(header);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(62, 18);
  header.writeBigUInt64LE(tableAt, 32);
  header.writeUInt16LE(size, 54);
  header.writeUInt16LE(count, 56);
  return header;
}

it('a table of program headers at 2^63, to which adding changes nothing, comes to an end', () => {
  const file = path.join(root, 'endless');
  const script = `
    const { checkPlatform } = await import(${JSON.stringify(path.join(import.meta.dirname, '../../src/effects/program.ts'))});
    checkPlatform(${JSON.stringify(file)}, undefined, ${JSON.stringify(AMD64)});
    process.stdout.write('ended');`;
  for (const tableAt of [2n ** 63n, 2n ** 64n - 1n, 2n ** 53n]) {
    writeFileSync(file, elf({ tableAt, size: 56, count: 64 }));
    // In a process of its own: nothing else could end it.
    assert.equal(
      execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
        timeout: 30_000,
      }),
      'ended',
    );
  }
});

it('any bytes after the first ones of a program are judged, or refused with a code', () => {
  const random = randomFrom('program');
  const real = readFileSync(process.execPath).subarray(0, 4096);
  const file = path.join(root, 'any');
  const codes = new Set<string>();
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(real);
    for (let changes = 1 + int(random, 8); changes > 0; changes--) {
      const at = int(random, random() < 0.8 ? 120 : bytes.length);
      bytes[at] = random() < 0.5 ? int(random, 256) : random() < 0.5 ? 0xff : 0x80;
    }
    writeFileSync(
      file,
      bytes.subarray(0, random() < 0.2 ? int(random, bytes.length) : bytes.length),
    );
    try {
      checkPlatform(file, '/usr/bin', AMD64);
      codes.add('fine');
    } catch (error) {
      assert.ok(error instanceof Fault, String(error));
      codes.add(error.code);
    }
  }
  assert.deepEqual([...codes].sort(), ['INTERPRETER_MISSING', 'WRONG_PLATFORM', 'fine']);
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { PartWriter } from '../../src/effects/part-writer.ts';
import { piecesOf } from '../../src/effects/pieces.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'part-'));
after(() => rmSync(root, { recursive: true }));

describe('a part file', () => {
  it('holds every piece in order, also when more come than the disk takes at once, and knows their sum', async () => {
    const file = path.join(root, 'whole');
    const part = new PartWriter(await open(file, 'w'));
    const pieces = Array.from({ length: 1100 }, (_, index) =>
      Buffer.alloc(1 + ((index * 7919) % 65_536), index),
    );
    for (const piece of pieces) await part.write(piece);
    await part.close();
    const whole = Buffer.concat(pieces);
    assert.ok(readFileSync(file).equals(whole));
    assert.equal(part.sum(), createHash('sha256').update(whole).digest('hex'));
    const read: Buffer[] = [];
    for await (const piece of piecesOf(file)) read.push(Buffer.from(piece));
    assert.ok(Buffer.concat(read).equals(whole));
  });

  it('says what the disk says, at the next piece or at its end', {
    skip: process.platform === 'linux' ? false : 'needs /dev/full',
  }, async () => {
    const part = new PartWriter(await open('/dev/full', 'w'));
    const writing = async () => {
      for (let count = 0; count < 100; count++) await part.write(Buffer.alloc(65_536));
    };
    await assert.rejects(writing, { code: 'ENOSPC', syscall: 'write' });
    await assert.rejects(part.close(), { code: 'ENOSPC' });
  });

  it('is of no use after a sync that failed, even if a later one succeeds', async () => {
    const handle = await open(path.join(root, 'unsynced'), 'w');
    const eio = Object.assign(new Error('EIO: i/o error, fdatasync'), {
      code: 'EIO',
      syscall: 'fdatasync',
    });
    Object.assign(handle, { datasync: () => Promise.reject(eio) });
    const part = new PartWriter(handle);
    const writing = async () => {
      for (let count = 0; count < 1000; count++) await part.write(Buffer.alloc(65_536));
      await part.close();
    };
    await assert.rejects(writing, { code: 'EIO' });
    assert.ok(part.mustBeDiscarded);
    await assert.rejects(part.close(), { code: 'EIO' });
  });
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { localRelease } from '../../src/effects/check.ts';
import { copyLocal, readLocal } from '../../src/effects/local-file.ts';
import { policy } from '../support/machine.ts';

let root: string;
let file: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'local-'));
  file = path.join(root, 'app-1.2.3.tar.gz');
});
afterEach(() => rmSync(root, { recursive: true }));
const never = AbortSignal.timeout(60_000);

describe('a file that an operator names', () => {
  const MAKE: Record<string, () => void> = {
    'a FIFO': () => execFileSync('mkfifo', [file]),
    'a directory': () => mkdirSync(file),
    'a link to /dev/zero': () => symlinkSync('/dev/zero', file),
    'a link to nothing': () => symlinkSync('nothing', file),
    nothing: () => {},
  };
  for (const [title, make] of Object.entries(MAKE))
    it(`is refused at once where it is ${title}`, { timeout: 30_000 }, async () => {
      make();
      await assert.rejects(localRelease(file, policy), { code: 'FILE_MISSING' });
      await assert.rejects(copyLocal(file, path.join(root, 'copy'), 10, never), {
        code: 'FILE_MISSING',
      });
      await assert.rejects(readLocal(file), { code: 'FILE_MISSING' });
    });

  it('is taken through a link to it', async () => {
    writeFileSync(path.join(root, 'real'), 'content');
    symlinkSync('real', file);
    const { asset, version } = await localRelease(file, policy);
    assert.deepEqual([asset.sizeBytes, version], [7, '1.2.3']);
    await copyLocal(file, path.join(root, 'copy'), asset.sizeBytes, never);
    assert.equal(readFileSync(path.join(root, 'copy'), 'utf8'), 'content');
  });

  it('is refused where it has grown or shrunk since it was looked at, and its copy never grows further', async () => {
    writeFileSync(file, 'content');
    const { asset } = await localRelease(file, policy);
    appendFileSync(file, 'x'.repeat(1_000_000));
    const copy = path.join(root, 'copy');
    await assert.rejects(copyLocal(file, copy, asset.sizeBytes, never), {
      code: 'LENGTH_MISMATCH',
    });
    assert.equal(readFileSync(copy, 'utf8'), '');
    truncateSync(file, 3);
    await assert.rejects(copyLocal(file, copy, asset.sizeBytes, never), {
      code: 'LENGTH_MISMATCH',
    });
  });

  it('is no list of sums where it has a terabyte', async () => {
    writeFileSync(file, '');
    truncateSync(file, 2 ** 40);
    await assert.rejects(readLocal(file), { code: 'FILE_MISSING' });
    await assert.rejects(localRelease(file, policy, AbortSignal.abort()), { name: 'AbortError' });
  });
});

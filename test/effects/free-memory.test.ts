/** What a second copy needs, and what there is. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { availableBytes, residentBytes } from '../../src/effects/free-memory.ts';

describe('memory for a second copy', () => {
  it('is what all processes of a group have', async () => {
    const program =
      'const kept = Buffer.alloc(60e6, 1); console.log(kept.length); setInterval(() => {}, 1e6)';
    const child = spawn(process.execPath, ['-e', program], { detached: true });
    try {
      await once(child.stdout, 'data');
      const bytes = residentBytes(child.pid ?? 0);
      assert.ok(bytes > 60e6, `${bytes}`);
      assert.ok(bytes < 400e6, `${bytes}`);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('is none where nothing runs', () => {
    assert.equal(residentBytes(2 ** 22 + 1), 0);
  });

  it('is there on a machine that runs this', () => {
    const bytes = availableBytes();
    assert.ok(Number.isFinite(bytes) && bytes > 1e6, `${bytes}`);
  });
});

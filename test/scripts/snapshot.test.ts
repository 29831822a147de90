/** What the image wakes up from, and what it loads instead. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { buildSnapshotScript } from '../../scripts/snapshot.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');

test('lint is not in the snapshot, and the image loads the program for it', async () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'snapshot-'));
  try {
    const file = path.join(directory, 'snapshot.cjs');
    await buildSnapshotScript(file, '0.0.0');
    const script = readFileSync(file, 'utf8');
    assert.doesNotMatch(script, /SUMS_MISSING/);
    assert.match(script, /DIGEST_MISSING/, 'what is needed is there');
    const command = readFileSync(path.join(ROOT, 'docker', 'self-update'), 'utf8');
    assert.match(command, /^ {4}lint\) program=\$lib\/bin\/self-update\.js ;;$/m);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

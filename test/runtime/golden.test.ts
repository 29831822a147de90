/**
 * Old journals replay for ever: one of every released version is kept here. `scripts/golden.ts`
 * makes the newest.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Journal } from '../../src/journal/journal.ts';
import { historyOf } from '../../src/report/history.ts';
import { deserializeState, serializeState } from '../../src/runtime/fold.ts';
import { restore } from '../../src/runtime/restore.ts';
import { toldBy } from '../support/golden.ts';

const JOURNALS = path.join(import.meta.dirname, '..', 'journals');
const VERSIONS = readdirSync(JOURNALS, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
);

describe('the golden journal', () => {
  for (const version of VERSIONS) {
    it(`of ${version} replays to what \`status\` said then, after each of its facts`, () => {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'golden-'));
      try {
        cpSync(path.join(JOURNALS, version, 'journal.db'), path.join(directory, 'journal.db'));
        const journal = Journal.openForReading(directory);
        assert.ok(journal);
        const records = journal.read();
        const told = readFileSync(path.join(JOURNALS, version, 'told.jsonl'), 'utf8')
          .trimEnd()
          .split('\n');
        assert.deepEqual(toldBy(records), told);
        const outcomes = historyOf(records).map(({ to, outcome }) => `${to} ${outcome}`);
        assert.ok(outcomes.includes('0.0.2 updated'), outcomes.join());
        journal.close();
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});

describe('a checkpoint', () => {
  it('that another version wrote, or that is damaged, is passed over', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'golden-'));
    const [version = ''] = VERSIONS;
    cpSync(path.join(JOURNALS, version, 'journal.db'), path.join(directory, 'journal.db'));
    const journal = Journal.open(directory);
    const whole = restore(journal).state;
    assert.ok(whole);
    // Of the format before states were nested, `{"value":"waiting"}` names no state of today's.
    const older =
      '{"format":5,"snapshot":{"status":"active","value":"waiting","context":{},"children":{}},"effects":[],"timers":[]}';
    for (const text of [
      '',
      '{}',
      older,
      serializeState(whole).replace(/"format":\d+/, '"format":999'),
    ]) {
      journal.saveCheckpoint({ seq: 3, state: text });
      const state = restore(journal).state;
      assert.ok(state);
      assert.equal(serializeState(state), serializeState(whole));
    }
    assert.throws(() => deserializeState('{"format":999}'));
    journal.close();
    rmSync(directory, { recursive: true });
  });
});

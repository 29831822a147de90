import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Journal } from '../../src/journal/journal.ts';
import type { JournalRecord } from '../../src/journal/record.ts';
import { shownName } from '../../src/machines/shown.ts';
import { historyOf } from '../../src/report/history.ts';
import { Timeline } from '../../src/report/timeline.ts';
import { replay } from '../../src/runtime/fold.ts';
import { facts, running, tree } from '../support/machine.ts';

/** The journal of a released version, played again and again until it is long. */
function longJournal(times: number): JournalRecord[] {
  // A copy: reading leaves files beside a journal.
  const directory = mkdtempSync(path.join(os.tmpdir(), 'golden-'));
  cpSync(path.join(import.meta.dirname, '..', 'journals', '0.0.1'), directory, { recursive: true });
  const journal = Journal.openForReading(directory);
  const [first, ...rest] = journal?.read() ?? [];
  journal?.close();
  rmSync(directory, { recursive: true });
  assert.ok(first !== undefined && rest.length > 10);
  const records = [first, ...Array.from({ length: times }, () => rest).flat()];
  return records.map((record, i) => ({ ...record, seq: i + 1 }));
}

describe('the timeline', () => {
  const records = longJournal(30);
  const read = (after: number, limit: number) => records.slice(after, after + limit);

  it('knows the state after each fact, as a replay does', async () => {
    const timeline = new Timeline(read);
    await timeline.catchUp();
    assert.equal(timeline.seq, records.length);
    for (const seq of [1, 2, 50, 51, 499, 500, 501, 1000, records.length]) {
      const wanted = replay(records.slice(0, seq));
      assert.ok(wanted !== null);
      assert.equal(timeline.stateAfter(seq), shownName(wanted.snapshot), String(seq));
      assert.deepEqual(
        (await timeline.at(seq))?.snapshot.context,
        wanted.snapshot.context,
        String(seq),
      );
    }
    assert.equal(await timeline.at(0), null);
    assert.equal(await timeline.at(records.length + 1), null);
  });

  it('has the same history as a look at all facts', async () => {
    const timeline = new Timeline(read);
    await timeline.catchUp();
    assert.deepEqual(timeline.updates, historyOf(records));
  });

  it('counts ends that only grow: a failure that is made good later was one', async () => {
    const story = running({ policy: { strategy: 'download-then-kill' } });
    const timeline = new Timeline((after, limit) => story.records.slice(after, after + limit));
    story.when(facts.found('2.0.0')).when(facts.failed('downloadFailed'));
    await timeline.catchUp();
    const { failed } = timeline.ends;
    story.when({ type: 'retryDue' });
    for (const fact of [
      facts.installed('2.0.0'),
      facts.allowed(),
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
    ])
      story.when(fact);
    story.when(facts.started('2.0.0')).when(facts.healthy('2.0.0'));
    await timeline.catchUp();
    assert.deepEqual([failed, timeline.ends], [1, { updated: 1, rolledBack: 0, failed: 1 }]);
    assert.equal(timeline.updates.at(-1)?.outcome, 'updated', 'the entry itself says how it ended');
  });

  it('takes in what is journaled meanwhile, once, whoever asks', async () => {
    let end = 60;
    const timeline = new Timeline((after, limit) =>
      records.slice(after, Math.min(after + limit, end)),
    );
    await Promise.all([timeline.catchUp(), timeline.catchUp()]);
    assert.equal(timeline.seq, 60);
    end = 75;
    await Promise.all([timeline.catchUp(), timeline.catchUp(), timeline.catchUp()]);
    assert.equal(timeline.seq, 75);
  });

  it('lets others run while it folds a long journal', async () => {
    const timeline = new Timeline(read);
    let turns = 0;
    const count = setInterval(() => {
      turns += 1;
    }, 0);
    await timeline.catchUp();
    clearInterval(count);
    assert.ok(turns > 3, String(turns));
  });
});

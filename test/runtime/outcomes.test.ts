/**
 * What is noted of a command: before its file goes, once the updater rests, and across a kill in
 * between.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Journal } from '../../src/journal/journal.ts';
import type { Context } from '../../src/machines/context.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { judge, Outcomes, readTaken, type Trouble } from '../../src/runtime/outcomes.ts';
import { updatedTo } from '../support/machine.ts';

let root: string;
let journal: Journal;
let trouble: Trouble | null;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'outcomes-'));
  journal = Journal.open(root);
  trouble = null;
});
afterEach(() => {
  journal.close();
  rmSync(root, { recursive: true });
});

const said: string[] = [];
const log = { info: () => {}, warn: () => {}, debug: (text: string) => void said.push(text) };
/** As the updater begins, also after a kill: from what is noted. */
const opened = () =>
  new Outcomes({
    journal,
    now: Date.now,
    log,
    secrets: () => ['s3cret-value'],
    pollTrouble: () => trouble,
  });
/** Where 2.0.0 runs and is trusted. */
const context = updatedTo('2.0.0').state.snapshot.context;
const UPDATE: Fact = { type: 'updateRequested' };
const install = (tag: string): Fact => ({ type: 'installRequested', tag, file: null });
const outcomeOf = (id: string) => readTaken(journal, id)?.outcome;

describe('what became of a command', () => {
  it('is unknown before it is taken, open until the updater rests, and then what it came to', () => {
    const outcomes = opened();
    assert.equal(readTaken(journal, '1'), null);
    outcomes.take({ id: '1', fact: UPDATE }, context);
    assert.equal(outcomeOf('1'), null);
    outcomes.settle(context);
    assert.deepEqual(outcomeOf('1'), {
      ok: true,
      comesLater: false,
      version: '2.0.0',
      tag: 'v2.0.0',
      error: null,
    });
  });

  it('is known at once where it only changes what is remembered', () => {
    trouble = { code: 'CHECK_FAILED', message: 'of an earlier check', at: Date.now() + 1000 };
    opened().take({ id: '1', fact: { type: 'paused' } }, context);
    assert.equal(outcomeOf('1')?.ok, true);
  });

  it('outlives a kill: the next updater knows that a check is still to be made, and notes what came of it', () => {
    opened().take({ id: '1', fact: UPDATE }, context);
    const next = opened();
    assert.equal(next.awaitCheck, true);
    next.take({ id: '1', fact: UPDATE }, context);
    next.settle(context);
    assert.equal(outcomeOf('1')?.ok, true);
    assert.equal(opened().awaitCheck, false);
  });

  it('is the newest trouble since it was given, and none from before', () => {
    const asked = { type: 'updateRequested', tag: null, since: 1000 } as const;
    const failed = (at: number, code: string): Trouble => ({ at, code, message: code });
    assert.equal(judge(asked, context, failed(999, 'OLD')).ok, true);
    const both: Context = { ...context, lastError: failed(1000, 'DOWNLOAD_FAILED') };
    assert.deepEqual(judge(asked, both, failed(1001, 'RATE_LIMITED')).error, {
      code: 'RATE_LIMITED',
      message: 'RATE_LIMITED',
    });
    assert.equal(judge(asked, both, failed(999, 'OLD')).error?.code, 'DOWNLOAD_FAILED');
  });

  it('is that of `install` only where this very version is held', () => {
    const hold = { version: '1.0.0', tag: 'v1.0.0', since: 1 } as Context['hold'];
    const outcomes = opened();
    for (const tag of ['v1.0.0', '1.0.0', 'v3.0.0'])
      outcomes.take({ id: tag, fact: install(tag) }, context);
    outcomes.settle({ ...context, hold });
    assert.deepEqual(
      ['v1.0.0', '1.0.0', 'v3.0.0'].map((tag) => outcomeOf(tag)?.ok),
      [true, true, false],
    );
  });

  it('is kept of the newest 64, and no secret with it', () => {
    const outcomes = opened();
    for (let i = 0; i < 70; i++)
      outcomes.take({ id: `${i}`, fact: install('s3cret-value') }, context);
    assert.equal(readTaken(journal, '5'), null);
    assert.equal(readTaken(journal, '6')?.id, '6');
    assert.ok(!journal.readNote('commands')?.includes('s3cret-value'));
  });

  it('keeps nobody from his work where it can be neither read nor written', () => {
    journal.writeNote('commands', '{"of":"a newer version"}');
    const outcomes = opened();
    journal.writeNote = () => {
      throw new Error('disk I/O error');
    };
    outcomes.take({ id: '1', fact: UPDATE }, context);
    outcomes.settle(context);
    assert.match(said.at(-1) ?? '', /could not be noted: disk I\/O error/);
    assert.equal(readTaken(journal, '1'), null);
  });
});

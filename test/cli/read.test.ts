/** Commands that only read, over a journal without an updater. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Parts } from '../../src/cli/parts.ts';
import { readState, showEvents, showHistory, showReplay, showStatus } from '../../src/cli/read.ts';
import { stateDir } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { updatedTo } from '../support/machine.ts';
import { argumentsOf, partsOf, written } from '../support/output.ts';

const { signal } = new AbortController();
let root: string;
/** Where 2.0.0 was installed over the image's 1.0.0, and where nothing ever ran. */
let lived: Parts;
let empty: Parts;
const { records } = updatedTo('2.0.0');
before(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'read-'));
  lived = partsOf(path.join(root, 'lived'));
  empty = partsOf(path.join(root, 'empty'));
  const journal = Journal.open(stateDir(lived.places));
  for (const { fact, at, effect, command } of records)
    journal.append(fact, { at, effect, command });
  journal.close();
});
after(() => rmSync(root, { recursive: true }));

describe('status', () => {
  it('says what runs, what was there before, and that nobody is at work', async () => {
    const { text, result } = await written(() => showStatus(argumentsOf('status'), lived, signal));
    assert.equal(result, 0);
    assert.match(
      text,
      /^following +acme\/app \(download-then-kill\)\nstate +.*running.*; no updater is at work now\nversion +2\.0\.0 \(v2\.0\.0\)$/m,
    );
    assert.match(text, /^last good +2\.0\.0\nprevious +1\.0\.0$/m);
    assert.match(text, /^last check +never, next unknown$/m);
  });

  it('in JSON has the number of the newest fact', async () => {
    const { text } = await written(() =>
      showStatus(argumentsOf('status', { json: true }), lived, signal),
    );
    const status = JSON.parse(text);
    assert.deepEqual(
      [status.version, status.tag, status.previous, status.seq, status.updaterRunning],
      ['2.0.0', 'v2.0.0', '1.0.0', records.length, false],
    );
  });

  it('of what never ran says so, and leaves nothing behind', async () => {
    const { text } = await written(() => showStatus(argumentsOf('status'), empty, signal));
    assert.match(text, /^version +none$/m);
    assert.equal(readState(empty).state, null);
    assert.deepEqual(readdirSync(root), ['lived']);
  });

  it('tells that nothing is verified', async () => {
    const careless = partsOf(path.join(root, 'lived'), { UPDATE_VERIFY: 'none' });
    assert.match(
      (await written(() => showStatus(argumentsOf('status'), careless, signal))).text,
      /NOTHING \(UPDATE_VERIFY=none\): whatever is downloaded is installed/,
    );
  });
});

describe('history', () => {
  it('has a line for each update', async () => {
    const { text } = await written(() => showHistory(argumentsOf('history'), lived));
    assert.match(text, /1\.0\.0 +2\.0\.0 +.*updated/);
    assert.equal(
      (await written(() => showHistory(argumentsOf('history'), empty))).text,
      'no updates yet\n',
    );
    assert.equal(
      (await written(() => showHistory(argumentsOf('history', { json: true }), empty))).text,
      '[]\n',
    );
  });
});

describe('events', () => {
  it('has a line for each fact, in the order of the journal', async () => {
    const { text } = await written(() =>
      showEvents(argumentsOf('events', { json: true }), lived, signal),
    );
    const events = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      events.map(({ seq, type }) => [seq, type]),
      records.map(({ seq, fact }) => [seq, fact.type]),
    );
  });
});

describe('replay', () => {
  const replayed = (at: number | null, json = false) =>
    written(() => showReplay(argumentsOf('replay', { at, json }), lived));

  it('folds all facts, or those up to a number', async () => {
    assert.match(
      (await replayed(null)).text,
      new RegExp(`^${records.length} facts lead to running, version 2\\.0\\.0; the chain holds`),
    );
    assert.match(
      (await replayed(2)).text,
      /^2 facts lead to checking, outstanding: check, version none/,
    );
    assert.equal(JSON.parse((await replayed(2, true)).text).seq, 2);
  });

  it('says which facts there are where one is not, and where no journal is', async () => {
    await assert.rejects(replayed(99), {
      code: 'FACT_MISSING',
      message: `the journal has facts 1 to ${records.length}, and no 99`,
    });
    await assert.rejects(
      written(() => showReplay(argumentsOf('replay'), empty)),
      { code: 'JOURNAL_MISSING' },
    );
  });

  it('refuses a checkpoint that leads elsewhere', async () => {
    const journal = Journal.open(stateDir(lived.places));
    const { state } = readState(lived);
    assert.ok(state);
    const { serializeState } = await import('../../src/runtime/fold.ts');
    journal.saveCheckpoint({
      seq: records.length,
      state: serializeState(state).replaceAll('"2.0.0"', '"6.6.6"'),
    });
    journal.close();
    await assert.rejects(replayed(null), { code: 'CHECKPOINT_WRONG' });
  });
});

/**
 * A command beside an updater: this test is the updater, of this version or of an older one, and is
 * gone when it likes.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { operate } from '../../src/cli/operate.ts';
import type { Parts } from '../../src/cli/parts.ts';
import { readState } from '../../src/cli/read.ts';
import { inboxDir, stateDir } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { acquireLock, type Lock } from '../../src/journal/lock.ts';
import type { Context } from '../../src/machines/context.ts';
import { type Command, pendingCommands, remove } from '../../src/runtime/inbox.ts';
import { Outcomes, type Trouble } from '../../src/runtime/outcomes.ts';
import { updatedTo } from '../support/machine.ts';
import { argumentsOf, partsOf, written } from '../support/output.ts';

const log = { info: () => {}, warn: () => {}, debug: () => {} };
let root: string;
let parts: Parts;
let journal: Journal;
let lock: Lock | null;
let trouble: Trouble | null;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'beside-'));
  parts = partsOf(root);
  journal = Journal.open(stateDir(parts.places));
  for (const { fact, at, effect, command } of updatedTo('2.0.0').records)
    journal.append(fact, { at, effect, command });
  lock = acquireLock(stateDir(parts.places));
  trouble = null;
});
afterEach(() => {
  journal.close();
  gone();
  rmSync(root, { recursive: true });
});

/** As when it is killed: the kernel drops its lock. */
function gone(): void {
  lock?.release();
  lock = null;
}

const given = (
  command: Parameters<typeof argumentsOf>[0],
  operand: string | null = null,
  signal = new AbortController().signal,
) => written(() => operate(argumentsOf(command, { operand }), parts, signal));

async function arrived(): Promise<Command> {
  for (;;) {
    const [command] = existsSync(inboxDir(parts.places))
      ? pendingCommands(
          inboxDir(parts.places),
          () => false,
          () => {},
        )
      : [];
    if (command !== undefined) return command;
    await sleep(5);
  }
}

function context(): Context {
  const { state } = readState(parts);
  assert.ok(state);
  return state.snapshot.context;
}

/** As the updater takes it: a fact, a note, and only then the file goes. */
function taken({ id, fact, file }: Command, { isOlder = false } = {}): Outcomes {
  const outcomes = new Outcomes({
    journal,
    now: Date.now,
    log,
    secrets: () => [],
    pollTrouble: () => trouble,
  });
  if (fact !== null && fact.type !== 'updateRequested')
    journal.append(fact, { at: Date.now(), effect: null, command: id });
  if (!isOlder) outcomes.take({ id, fact }, context());
  remove(file);
  return outcomes;
}

describe('a command beside an updater', () => {
  it('is followed until the updater has noted what became of it, not until it rests', async () => {
    const running = given('update');
    const outcomes = taken(await arrived());
    // It rests, and its check is not made yet: nothing is said.
    assert.equal(await Promise.race([running, sleep(500, 'nothing')]), 'nothing');
    trouble = { code: 'RATE_LIMITED', message: 'asked too often', at: Date.now() + 60_000 };
    outcomes.settle(context());
    assert.deepEqual(await running, { text: '', result: 1 });
  });

  it('is done at once where it only changes what is remembered', async () => {
    const running = given('deny', '3.0.0');
    taken(await arrived());
    assert.match((await running).text, /: done, version 2\.0\.0/);
  });

  it('is told by the state where the updater is of an older version, and notes nothing', async () => {
    const denial = given('deny', '3.0.0');
    taken(await arrived(), { isOlder: true });
    assert.equal((await denial).result, 0);
    const update = given('update');
    taken(await arrived(), { isOlder: true });
    journal.writeNote(
      'poll',
      JSON.stringify({ lastCheckAt: Date.now() + 1, lastSuccessAt: Date.now() }),
    );
    assert.equal((await update).result, 0);
  });
});

describe('an updater that is killed', () => {
  it('before it saw the command leaves it to whoever gave it', async () => {
    const running = given('pause');
    await arrived();
    gone();
    assert.equal((await running).result, 0);
    assert.equal(context().paused, true);
    assert.deepEqual(readdirSync(inboxDir(parts.places)), []);
  });

  it('between the command and its outcome did not do it, though it rested', async () => {
    const running = given('update');
    taken(await arrived());
    gone();
    await assert.rejects(running, { code: 'UPDATER_GONE' });
  });

  it('in the middle of what was asked for did not do it', async () => {
    const running = given('install', 'v1.0.0');
    taken(await arrived());
    gone();
    await assert.rejects(running, { code: 'UPDATER_GONE' });
  });

  it('right after the outcome was noted has done it', async () => {
    const running = given('update');
    taken(await arrived()).settle(context());
    gone();
    assert.equal((await running).result, 0);
  });
});

it('a command that is interrupted before anybody has it is withdrawn', async () => {
  const interrupted = new AbortController();
  const running = given('update', null, interrupted.signal);
  await arrived();
  interrupted.abort();
  await assert.rejects(running, { name: 'AbortError' });
  assert.deepEqual(readdirSync(inboxDir(parts.places)), []);
});

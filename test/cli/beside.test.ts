/**
 * A command beside an updater: this test is the updater, of this version or of an older one, and is
 * gone when it likes.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { besideUpdater } from '../../src/cli/beside.ts';
import { operate } from '../../src/cli/operate.ts';
import type { Parts } from '../../src/cli/parts.ts';
import { readState } from '../../src/cli/read.ts';
import { inboxDir, stateDir } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { acquireLock, type Lock } from '../../src/journal/lock.ts';
import type { Context } from '../../src/machines/context.ts';
import { type Command, pendingCommands, remove } from '../../src/runtime/inbox.ts';
import { Outcomes, type Trouble } from '../../src/runtime/outcomes.ts';
import { isErrno } from '../../src/support/fault.ts';
import { updatedTo } from '../support/machine.ts';
import { mkfifo } from '../support/others.ts';
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

/** What a run of the updater begins with. */
const opened = () =>
  new Outcomes({ journal, now: Date.now, log, secrets: () => [], pollTrouble: () => trouble });

/** As the updater takes it: a fact, a note, and only then the file goes. */
function taken({ id, fact, file }: Command, { isOlder = false } = {}): Outcomes {
  const outcomes = opened();
  if (fact !== null && fact.type !== 'updateRequested')
    journal.append(fact, { at: Date.now(), effect: null, command: id });
  if (!isOlder) outcomes.take({ id, fact }, context());
  remove(file);
  return outcomes;
}

/** A FIFO that is held open, as docker/service/update/run has it. */
function heldOpen(fifo: string): number {
  mkfifo(fifo);
  return openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
}

/** The next word that comes. */
async function heard(fd: number): Promise<string> {
  const bytes = Buffer.alloc('command\n'.length);
  for (;;) {
    try {
      return bytes.toString('utf8', 0, readSync(fd, bytes));
    } catch (error) {
      if (!isErrno(error, 'EAGAIN')) throw error;
      await sleep(5);
    }
  }
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
    // One that was on its way already, and ends now, is not the check that it asked for.
    journal.writeNote('poll', JSON.stringify({ lastCheckAt: Date.now(), lastSuccessAt: 1 }));
    assert.equal(await Promise.race([update, sleep(500, 'nothing')]), 'nothing');
    journal.writeNote(
      'poll',
      JSON.stringify({ lastCheckAt: Date.now() + 1, lastSuccessAt: Date.now() }),
    );
    assert.equal((await update).result, 0);
  });
});

describe("a container's loop that sleeps", () => {
  it('is woken for a command that its run took and left open', async () => {
    const loop = { fifo: path.join(root, 'wake'), chpst: path.join(root, 'chpst') };
    const fd = heldOpen(loop.fifo);
    const container = partsOf(root, { UPDATE_SUPERVISOR: 'runit' });
    const given = besideUpdater(
      { type: 'updateRequested' },
      argumentsOf('update'),
      container,
      new AbortController().signal,
      loop,
    );
    taken(await arrived());
    assert.equal(await heard(fd), 'command\n');
    // Its check is made, and the run has ended.
    journal.writeNote('poll', JSON.stringify({ lastSuccessAt: Date.now() }));
    gone();
    assert.equal(await heard(fd), 'command\n');
    const next = opened();
    assert.equal(next.awaitCheck, true);
    next.settle(context());
    const handedOver = await given;
    closeSync(fd);
    assert.ok('outcome' in handedOver && handedOver.outcome.ok);
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

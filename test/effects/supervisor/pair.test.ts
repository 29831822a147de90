/** Which of two copies is the app is told by the link alone, whatever ended a moment ago. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedSupervisor } from '../../../src/effects/supervisor/embedded.ts';
import { PairSupervisor } from '../../../src/effects/supervisor/pair.ts';
import { markedProcesses, sendSignal } from '../../../src/effects/supervisor/process-table.ts';
import type { SlotName } from '../../../src/effects/supervisor/supervisor.ts';

const STOP = { signalName: 'TERM', waitMs: 5000 };
const COMMAND = { file: 'sleep', args: ['4000'], cwd: os.tmpdir() };

let root: string;
let current: string | null;
const made: PairSupervisor[] = [];

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'pair-'));
  mkdirSync(path.join(root, 'state'));
  for (const name of ['old', 'new']) mkdirSync(tree(name));
  current = tree('old');
});

afterEach(async () => {
  for (const pair of made.splice(0)) await pair.stop(STOP);
  rmSync(root, { recursive: true, force: true });
});

const tree = (name: string) => path.join(root, name);

/** As an updater has it that was just started. */
function pairOfNow(): PairSupervisor {
  const slot = (name: SlotName) =>
    new EmbeddedSupervisor({
      directory: root,
      environment: { PATH: process.env['PATH'] ?? '' },
      output: 'file',
      stop: STOP,
      slot: name,
      log: () => {},
    });
  const pair = new PairSupervisor([slot('app'), slot('app2')], {
    currentTree: () => current,
    stop: STOP,
  });
  made.push(pair);
  return pair;
}

/** The trees of the copies that run, by name. */
const running = () =>
  markedProcesses(root)
    .map(({ marker }) => path.basename(marker))
    .sort();

async function end(name: string): Promise<void> {
  for (const { pid, marker } of markedProcesses(root))
    if (path.basename(marker) === name) sendSignal(pid, 'SIGKILL');
  await until(() => !running().includes(name));
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, `not yet; ${running()} run`);
    await sleep(10);
  }
}

async function both(): Promise<PairSupervisor> {
  const pair = pairOfNow();
  await pair.start(tree('old'), COMMAND);
  await pair.startBeside(tree('new'), COMMAND);
  assert.deepEqual(running(), ['new', 'old']);
  return pair;
}

describe('of two copies', () => {
  it('the app that ended a moment ago is the app still: the other one is stopped, and it comes back', async () => {
    const pair = await both();
    await end('old');
    await pair.stopOther(STOP);
    await until(() => running().join() === 'old');
    assert.equal((await pair.app())?.tree, tree('old'));
    assert.equal(await pair.beside(), null);
  });

  for (const roles of ['first', 'second'])
    it(`the one that was not linked is not taken for the app by the next updater, the app being in the ${roles} slot`, async () => {
      const before = await both();
      if (roles === 'second') {
        current = tree('new');
        await before.stopOther(STOP);
        current = tree('new');
        await before.startBeside(tree('old'), COMMAND);
      }
      const [app, other] = roles === 'first' ? ['old', 'new'] : ['new', 'old'];
      before.detach();
      await end(app);
      const pair = pairOfNow();
      assert.equal(await pair.observe(), null);
      await pair.stopOther(STOP);
      assert.deepEqual(running(), [], `${other} is gone`);
      await pair.start(tree(app), COMMAND);
      assert.deepEqual(running(), [app]);
    });

  it('the new one is kept running from the move of the link on, though it ended before that was said', async () => {
    const pair = await both();
    current = tree('new');
    await end('new');
    await pair.stopOther(STOP);
    await until(() => running().join() === 'new');
    assert.equal(pair.exitAgesMs().length, 1);
  });

  it('one that runs is the app where nothing is linked, or what is linked is gone', async () => {
    const pair = await both();
    await end('new');
    for (const link of [null, path.join(root, 'nowhere')]) {
      current = link;
      assert.equal(await pair.observe(), tree('old'));
      assert.equal(await pairOfNow().observe(), tree('old'));
    }
  });
});

describe('an updater that begins in the middle of a hand-over', () => {
  const how = async () => COMMAND;

  /** The link names the new copy, and the updater that started both is gone. */
  async function switched(): Promise<PairSupervisor> {
    const before = pairOfNow();
    await before.start(tree('old'), COMMAND);
    await before.startBeside(tree('new'), COMMAND);
    before.detach();
    current = tree('new');
    return pairOfNow();
  }

  it('watches the new copy, which is started again when it ends', async () => {
    const pair = await switched();
    await pair.stopOther(STOP, how);
    assert.deepEqual(running(), ['new']);
    await end('new');
    await until(() => running().includes('new'));
  });

  it('starts the new copy, if it has ended meanwhile, before the old one is stopped', async () => {
    const pair = await switched();
    await end('new');
    await pair.stopOther(STOP, how);
    assert.deepEqual(running(), ['new']);
  });

  it('leaves the old copy alone where the new one has ended and can’t be started', async () => {
    const pair = await switched();
    await end('new');
    await assert.rejects(pair.stopOther(STOP, () => Promise.reject(new Error('no program'))));
    assert.deepEqual(running(), ['old']);
  });

  it('ends a copy that did not take over also where the app could not be started again', async () => {
    const pair = await switched();
    current = tree('old');
    await pair.stopOther(STOP, () => Promise.reject(new Error('no program')));
    assert.deepEqual(running(), ['old']);
  });
});

/** The queue between facts and effects: a real journal, effects that the test holds open. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it, type TestContext } from 'node:test';
import { Journal } from '../../src/journal/journal.ts';
import type { EffectName, Effects } from '../../src/machines/effects.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { submit } from '../../src/runtime/inbox.ts';
import type { RuntimeOptions } from '../../src/runtime/options.ts';
import { readTaken } from '../../src/runtime/outcomes.ts';
import { Runtime } from '../../src/runtime/runtime.ts';
import { facts, policy, tree, world } from '../support/machine.ts';
import { QUIET } from '../support/runtime.ts';

const NEVER = new Promise<never>(() => {});
const seen = world({ current: tree('1.0.0'), lastGood: tree('1.0.0') });

let root: string;
let journal: Journal;
/** What was begun, in its order. */
let begun: EffectName[];
let waiters: { name: EffectName; resolve: () => void }[];
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'runtime-'));
  journal = Journal.open(path.join(root, 'state'));
  begun = [];
  waiters = [];
});
afterEach(() => {
  journal.close();
  rmSync(root, { recursive: true });
});

/** Resolves once the effect is begun. */
const beginning = (name: EffectName) =>
  new Promise<void>((resolve) => waiters.push({ name, resolve }));
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function updater(
  overrides: Partial<Effects>,
  options: Partial<RuntimeOptions> = {},
): Promise<Runtime> {
  const quiet = Object.fromEntries(
    [
      'download',
      'verify',
      'extract',
      'prepareSwitch',
      'stop',
      'switchCurrent',
      'observeProbation',
    ].map((name) => [name, () => NEVER]),
  ) as unknown as Effects;
  const all: Effects = {
    ...quiet,
    check: async () => facts.found('2.0.0'),
    start: async () => facts.started('1.0.0'),
    removeOldVersions: async () => facts.tidied(),
    ...overrides,
  };
  const watched = Object.fromEntries(
    Object.entries(all).map(([name, perform]) => [
      name,
      (input: never, signal: AbortSignal) => {
        begun.push(name as EffectName);
        for (const waiter of waiters.filter((candidate) => candidate.name === name))
          waiter.resolve();
        return (perform as (input: never, signal: AbortSignal) => Promise<unknown>)(input, signal);
      },
    ]),
  ) as unknown as Effects;
  return Runtime.open({
    journal,
    ...QUIET,
    effects: watched,
    inboxDir: path.join(root, 'inbox'),
    nextPollAt: () => null,
    observeWorld: async () => seen,
    observeApp: async () => true,
    ...options,
  });
}

describe("the fleet's lock, while it is being given back", () => {
  it('is no reason to look again every millisecond', async () => {
    const runtime = await updater(
      { returnFleetLock: () => NEVER, observeProbation: async () => facts.healthy('1.0.0') },
      {
        policy: { ...policy, fleet: { id: 'a', group: 'default', keepsOnFailure: true } },
        nextPollAt: () => Date.now() + 3_600_000,
      },
    );
    const returning = beginning('returnFleetLock');
    await runtime.start();
    await returning;
    await turn();
    const next = runtime.nextWakeAt();
    runtime.stop();
    assert.ok(next - Date.now() > 3_000_000, `in ${next - Date.now()} ms`);
  });
});

describe('an effect that was aborted', () => {
  it('has really ended before the next one begins: what it still removes would be what a download has just begun', async () => {
    const removal = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const runtime = await updater({
      removeOldVersions: async (_, signal) => {
        signal.addEventListener('abort', () => aborted.resolve());
        await removal.promise;
        return facts.tidied();
      },
    });
    const downloading = beginning('download');
    await runtime.start();
    await aborted.promise;
    await turn();
    assert.ok(!begun.includes('download'));
    removal.resolve();
    await downloading;
    runtime.stop();
  });

  it('is no failure to report', async () => {
    const warnings: string[] = [];
    const log = {
      info: () => {},
      warn: (text: string) => void warnings.push(text),
      debug: () => {},
    };
    const removeOldVersions: Effects['removeOldVersions'] = (_, signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      );
    const runtime = await updater({ removeOldVersions }, { log });
    const downloading = beginning('download');
    await runtime.start();
    await downloading;
    runtime.stop();
    assert.deepEqual(warnings, []);
  });

  it('has really ended before the app is started because nothing can be recorded', async () => {
    const download = Promise.withResolvers<never>();
    const aborted = Promise.withResolvers<void>();
    const runtime = await updater({
      download: (_, signal) => {
        signal.addEventListener('abort', () => aborted.resolve());
        return download.promise;
      },
    });
    const [downloading, starting] = [beginning('download'), beginning('start')];
    await runtime.start();
    await downloading;
    const run = new AbortController();
    const ended = runtime.runUntil(run.signal);
    journal.append = () => {
      throw new Error('disk I/O error');
    };
    submit(path.join(root, 'inbox'), { type: 'paused' });
    await aborted.promise;
    await turn();
    assert.ok(!begun.includes('start'));
    download.reject(new Error('aborted'));
    await starting;
    run.abort();
    await ended;
  });
});

describe('nothing is done again and again without a pause', () => {
  it('not a poll that could not note when the next one is due', async () => {
    const runtime = await updater({
      check: async () => {
        throw new Error('ENOSPC');
      },
    });
    const polled = beginning('check');
    await runtime.start();
    await polled;
    for (let i = 0; i < 50; i++) {
      await turn();
      runtime.wake();
    }
    assert.equal(begun.filter((name) => name === 'check').length, 1);
    assert.ok(runtime.nextWakeAt() - Date.now() > 3_000_000);
    runtime.stop();
  });

  it('but a check that an operator asks for right behind another is made, before a `once` run ends', async () => {
    const runtime = await updater(
      {
        check: async () => {
          if (begun.filter((name) => name === 'check').length === 1)
            submit(path.join(root, 'inbox'), { type: 'updateRequested' });
          return { type: 'nothingNewer' };
        },
      },
      { nextPollAt: () => (begun.includes('check') ? Date.now() + 3_600_000 : null) },
    );
    await runtime.start();
    await runtime.settle(AbortSignal.timeout(60_000));
    assert.equal(begun.filter((name) => name === 'check').length, 2);
  });

  it('not a command that is a directory', async () => {
    const command = path.join(root, 'inbox', '1.json');
    mkdirSync(path.join(command, 'inside'), { recursive: true });
    const runtime = await updater({ check: async () => ({ type: 'nothingNewer' }) });
    await runtime.start();
    assert.equal(existsSync(command), false);
    assert.equal(runtime.fault, null);
    runtime.stop();
  });
});

describe('a poll is an effect like any other', () => {
  const checks = () => begun.filter((name) => name === 'check').length;
  const nothing: Fact = { type: 'nothingNewer' };
  /** Time that passes when the test says so. */
  const clockOf = (t: TestContext) => {
    let elapsedMs = 0;
    t.mock.timers.enable({ apis: ['setTimeout'] });
    t.mock.method(performance, 'now', () => elapsedMs);
    const pass = async (ms: number) => {
      for (let i = 0; i < ms; i++) {
        elapsedMs++;
        t.mock.timers.tick(1);
        await turn();
      }
    };
    return { now: () => 1_700_000_000_000 + elapsedMs, pass };
  };

  it('that leaves no trace in the journal where it finds nothing', async () => {
    const [polled, restedAt] = [beginning('check'), Promise.withResolvers<number>()];
    const runtime = await updater({
      check: async () => {
        restedAt.resolve(journal.lastSeq());
        return nothing;
      },
      removeOldVersions: () => NEVER,
    });
    await runtime.start();
    await polled;
    const seq = await restedAt.promise;
    await turn();
    assert.equal(journal.lastSeq(), seq);
    runtime.stop();
  });

  it('and is named by the fact that it finds', async () => {
    const runtime = await updater({});
    const downloading = beginning('download');
    await runtime.start();
    await downloading;
    assert.deepEqual(
      journal.read().flatMap(({ fact, effect }) => (fact.type === 'releaseFound' ? [effect] : [])),
      ['poll'],
    );
    assert.ok(!runtime.state.effects.has('poll'));
    runtime.stop();
  });

  it('is aborted once the updater does something else, and made again at rest for who asked for it', async (t) => {
    const { now, pass } = clockOf(t);
    const aborted = Promise.withResolvers<void>();
    let isAnswering = false;
    const runtime = await updater(
      {
        check: (_, signal) => {
          if (isAnswering) return Promise.resolve(nothing);
          return new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => {
              aborted.resolve();
              reject(signal.reason as Error);
            }),
          );
        },
        stop: async () => facts.stopped(),
        observeProbation: async () => facts.healthy('1.0.0'),
      },
      { now, nextPollAt: () => now() + 3_600_000 },
    );
    const polling = beginning('check');
    await runtime.start({ poll: true });
    await polling;
    assert.equal(checks(), 1);
    isAnswering = true;
    const restarted = beginning('start');
    submit(path.join(root, 'inbox'), { type: 'restartRequested' });
    runtime.wake();
    await aborted.promise;
    await restarted;
    const again = beginning('check');
    await pass(1100);
    await again;
    assert.equal(checks(), 2);
    assert.ok(!journal.read().some(({ fact }) => fact.type === 'checkFailed'));
    runtime.stop();
  });

  it('does not keep the updater busy while it waits for an answer', async (t) => {
    const { now, pass } = clockOf(t);
    const before = await updater(
      { download: async () => facts.failed('downloadFailed', 'NETWORK_FAILED') },
      { now },
    );
    const downloading = beginning('download');
    await before.start();
    await downloading;
    await turn();
    assert.ok(before.state.snapshot.matches({ steady: { waiting: 'forRetry' } }));
    before.stop();
    let looks = 0;
    const exitAgesMs = () => {
      looks++;
      return [];
    };
    const runtime = await updater({ check: () => NEVER }, { now, exitAgesMs });
    const polling = beginning('check');
    await runtime.start();
    await polling;
    looks = 0;
    await pass(100);
    assert.ok(looks < 3, `looked ${looks} times`);
    runtime.stop();
  });
});

describe('what became of a command', () => {
  const inbox = () => path.join(root, 'inbox');
  const later = { nextPollAt: () => Date.now() + 3_600_000 };

  it('is noted once the check that it asked for is made, and by the next updater where this one was killed in it', async () => {
    const id = submit(inbox(), { type: 'updateRequested' });
    const killed = await updater({ check: () => NEVER }, later);
    const checking = beginning('check');
    await killed.start();
    await checking;
    assert.equal(existsSync(path.join(inbox(), `${id}.json`)), false);
    assert.deepEqual(
      [readTaken(journal, id)?.type, readTaken(journal, id)?.outcome],
      ['updateRequested', null],
    );
    killed.stop();

    const next = await updater({ check: async () => ({ type: 'nothingNewer' }) }, later);
    begun = [];
    await next.start();
    await next.settle(AbortSignal.timeout(60_000));
    assert.ok(begun.includes('check'));
    assert.equal(readTaken(journal, id)?.outcome?.ok, true);
  });

  it('is noted of one that asks for what is so already: it is no fact, and done', async () => {
    const ids = [1, 2].map(() => submit(inbox(), { type: 'paused' }));
    const runtime = await updater({ check: async () => ({ type: 'nothingNewer' }) }, later);
    await runtime.start();
    await runtime.settle(AbortSignal.timeout(60_000));
    assert.deepEqual(
      ids.map((id) => readTaken(journal, id)?.outcome?.ok),
      [true, true],
    );
  });

  it('is judged before the next one begins, whose trouble is not its own', async () => {
    const stopping = Promise.withResolvers<Fact>();
    const runtime = await updater(
      {
        check: async () => ({ type: 'checkFailed', code: 'NOT_FOUND', message: 'no release' }),
        stop: () => stopping.promise,
        switchCurrent: async () => facts.switched(tree('1.0.0')),
        observeProbation: async () => facts.healthy('1.0.0'),
      },
      later,
    );
    const first = submit(inbox(), { type: 'restartRequested' });
    const stopped = beginning('stop');
    await runtime.start();
    await stopped;
    const second = submit(inbox(), { type: 'installRequested', tag: 'v9.9.9', file: null });
    const checking = beginning('check');
    stopping.resolve(facts.stopped());
    runtime.wake();
    await checking;
    await runtime.settle(AbortSignal.timeout(60_000));
    assert.equal(readTaken(journal, first)?.outcome?.ok, true);
    assert.equal(readTaken(journal, second)?.outcome?.ok, false);
  });
});

describe('the gate of a boot', () => {
  const hangs = { check: () => NEVER, switchCurrent: async () => facts.switched(tree('1.0.0')) };
  const settled = async () => {
    for (let i = 0; i < 20; i++) await turn();
  };

  it('opens after five seconds for a version that was healthy here', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const runtime = await updater(hangs, { observeApp: async () => false });
    await runtime.start();
    t.mock.timers.tick(4_999);
    await settled();
    assert.ok(!begun.includes('start'));
    t.mock.timers.tick(1);
    await settled();
    assert.ok(begun.includes('start'));
    runtime.stop();
  });

  it('has all of UPDATE_FIRST_CHECK_TIMEOUT for one that has not run here yet', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const first = world({ current: tree('1.0.0'), lastGood: null });
    const runtime = await updater(hangs, {
      observeApp: async () => false,
      observeWorld: async () => first,
    });
    await runtime.start();
    t.mock.timers.tick(29_999);
    await settled();
    assert.ok(!begun.includes('start'));
    t.mock.timers.tick(1);
    await settled();
    assert.ok(begun.includes('start'));
    runtime.stop();
  });
});

describe("the fleet's lock", () => {
  const fleet = { id: 'app-0', group: 'default', keepsOnFailure: true };
  const inFleet = { policy: { ...policy, fleet }, nextPollAt: () => Date.now() + 3_600_000 };

  it('is given back without a glance at the clock meanwhile', async () => {
    let looks = 0;
    const look = () => (looks++, Date.now());
    const runtime = await updater({ returnFleetLock: () => NEVER }, { ...inFleet, now: look });
    const returning = beginning('returnFleetLock');
    await runtime.start();
    await returning;
    const before = looks;
    await new Promise((resolve) => setTimeout(resolve, 200));
    runtime.stop();
    assert.ok(looks - before < 20, `${looks - before} looks`);
  });

  it('is released by a command that ends with the answer', async () => {
    const answer = Promise.withResolvers<Fact>();
    const runtime = await updater({ returnFleetLock: () => answer.promise }, inFleet);
    const returning = beginning('returnFleetLock');
    const id = submit(path.join(root, 'inbox'), { type: 'fleetReleaseRequested' });
    await runtime.start();
    await returning;
    const before = readTaken(journal, id);
    answer.resolve(facts.failed('fleetLockReturnFailed', 'FLEET_LOCK_FAILED'));
    await turn();
    runtime.stop();
    assert.equal(before?.outcome, null);
    assert.equal(readTaken(journal, id)?.outcome?.error?.code, 'FLEET_LOCK_FAILED');
  });
});

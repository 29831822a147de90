/**
 * A command at any moment of a boot that updates, and whatever happens to the run that takes it: its
 * outcome is noted by that run or by the next one. The next one comes at once after a run that did
 * not end in order, else by a word that came since it began (docker/service/update/run).
 */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Journal } from '../../src/journal/journal.ts';
import type { EffectName, Effects } from '../../src/machines/effects.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { submit } from '../../src/runtime/inbox.ts';
import { readTaken, type TakenCommand } from '../../src/runtime/outcomes.ts';
import { Runtime } from '../../src/runtime/runtime.ts';
import { baked, facts, tree, world } from '../support/machine.ts';
import { QUIET } from '../support/runtime.ts';

const NEVER = new Promise<never>(() => {});
const NOTE = 'journal.writeNote commands';
type Mishap = 'none' | 'killed' | 'told to end' | 'write fails';

/** A container: its disk, its app, its loop. What could be seen from outside are its moments. */
class Loop implements Disposable {
  readonly moments: string[] = [];
  readonly #root = mkdtempSync(path.join(os.tmpdir(), 'moments-'));
  readonly #inbox = path.join(this.#root, 'inbox');
  readonly #happens: (moment: number, name: string) => Mishap;
  #current = baked('1.0.0');
  #isUp = false;
  #polledAt: number | null = null;
  #hasWord = false;

  constructor(happens: (moment: number, name: string) => Mishap) {
    this.#happens = happens;
    mkdirSync(this.#inbox, { mode: 0o700 });
  }

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true });
  }

  give(): string {
    const id = submit(this.#inbox, { type: 'updateRequested' });
    this.#hasWord = true;
    return id;
  }

  /** As whoever follows a command does it. */
  wake(): void {
    this.#hasWord = true;
  }

  taken(id: string): TakenCommand | null {
    const journal = Journal.open(path.join(this.#root, 'state'));
    try {
      return readTaken(journal, id);
    } finally {
      journal.close();
    }
  }

  async untilItSleeps(): Promise<void> {
    for (let runs = 1; ; runs++) {
      this.#hasWord = false;
      const isWell = await this.#run();
      if (isWell && !this.#hasWord) return;
      assert.ok(runs < 10, 'runs again and again');
    }
  }

  /** One run. Whether it ended in order. */
  async #run(): Promise<boolean> {
    const journal = Journal.open(path.join(this.#root, 'state'));
    const killed = Promise.withResolvers<'killed'>();
    const end = new AbortController();
    const dead = path.join(this.#root, 'inbox-of-the-dead');
    let isDead = false;
    const moment = (name: string): void => {
      if (isDead) throw new Error('killed');
      const mishap = this.#happens(this.moments.push(name), name);
      if (mishap === 'told to end') end.abort();
      if (mishap === 'write fails') throw new Error('database is locked');
      if (mishap !== 'killed') return;
      isDead = true;
      cpSync(this.#inbox, dead, { recursive: true });
      killed.resolve('killed');
      throw new Error('killed');
    };
    for (const name of ['append', 'writeNote', 'saveCheckpoint'] as const) {
      const write = journal[name].bind(journal) as (...args: unknown[]) => unknown;
      journal[name] = ((what: string | Partial<Fact>, ...rest: unknown[]) => {
        moment(`journal.${name} ${typeof what === 'string' ? what : (what.type ?? '')}`);
        return write(what, ...rest);
      }) as never;
    }
    const runtime = await Runtime.open({
      ...QUIET,
      journal,
      effects: this.#effects(moment, () => isDead),
      inboxDir: this.#inbox,
      nextPollAt: () => this.#polledAt && this.#polledAt + QUIET.pollIntervalMs,
      observeWorld: async () => world({ current: this.#current, lastGood: this.#current }),
      observeApp: async () => this.#isUp,
    }).catch(() => null);
    const settled = runtime?.start().then(() => runtime.settle(end.signal)) ?? Promise.reject();
    const how = await Promise.race([
      killed.promise,
      settled.then(
        () => 'ended',
        () => 'failed',
      ),
    ]);
    const isTold = end.signal.aborted;
    runtime?.stop();
    end.abort();
    if (!isDead) await runtime?.ended();
    journal.close();
    const isWell = how === 'ended' && runtime?.fault === null;
    if (!isDead) return isWell && !isTold;
    // What the dead one would have gone on to remove is still there.
    rmSync(this.#inbox, { recursive: true });
    cpSync(dead, this.#inbox, { recursive: true });
    rmSync(dead, { recursive: true });
    return false;
  }

  #effects(moment: (name: string) => void, isDead: () => boolean): Effects {
    const at =
      <F extends Fact>(name: EffectName, perform: () => F) =>
      async (): Promise<F> => {
        try {
          moment(`${name} begins`);
          await new Promise((resolve) => setImmediate(resolve));
          if (isDead()) return NEVER;
          const fact = perform();
          moment(`${name} ends`);
          return fact;
        } catch {
          return NEVER;
        }
      };
    // A boot that updates asks for no others.
    const effects: Partial<Effects> = {
      check: at('check', () => {
        this.#polledAt = Date.now();
        return facts.found('2.0.0');
      }),
      download: at('download', () => facts.downloaded('2.0.0')),
      verify: at('verify', () => facts.verified()),
      extract: at('extract', () => facts.installed('2.0.0')),
      observeConditions: at('observeConditions', () => facts.allowed()),
      prepareSwitch: at('prepareSwitch', () => facts.switchStarted('2.0.0')),
      stop: at('stop', () => {
        this.#isUp = false;
        return facts.stopped();
      }),
      switchCurrent: at('switchCurrent', () => {
        this.#current = tree('2.0.0');
        return facts.switched(tree('2.0.0'));
      }),
      start: at('start', () => {
        this.#isUp = true;
        return facts.started('2.0.0');
      }),
      observeProbation: at('observeProbation', () => facts.healthy('2.0.0')),
      removeOldVersions: at('removeOldVersions', () => facts.tidied()),
    };
    return effects as Effects;
  }
}

/** Of a boot that updates, without any command. */
async function momentsOfBoot(): Promise<number> {
  using loop = new Loop(() => 'none');
  await loop.untilItSleeps();
  return loop.moments.length;
}

describe('the outcome of a command', () => {
  /** `happens`: by the moments since it was given, and how often it was noted since. */
  const given = async (at: number, happens: (since: number, notes: number | null) => Mishap) => {
    let id = '';
    let notes = 0;
    using loop: Loop = new Loop((moment, name) => {
      if (moment === at) id = loop.give();
      if (moment < at) return 'none';
      return happens(moment - at, name === NOTE ? ++notes : null);
    });
    await loop.untilItSleeps();
    const first = loop.taken(id);
    loop.wake();
    await loop.untilItSleeps();
    const isChecked = loop.moments.slice(at).includes('check ends');
    assert.ok(isChecked, 'the check that it asked for was made');
    return { first, last: loop.taken(id), when: `given at ${at}, ${loop.moments[at - 1]}` };
  };

  it('is noted by the run that takes it', async () => {
    for (let at = await momentsOfBoot(); at > 0; at--) {
      const { first, when } = await given(at, () => 'none');
      assert.equal(first?.outcome?.ok, true, when);
    }
  });

  for (const mishap of ['killed', 'told to end'] as const)
    it(`is noted by the next run where this one is ${mishap}`, async () => {
      for (let at = await momentsOfBoot(); at > 0; at--)
        for (const after of [0, 1, 2]) {
          const { first, when } = await given(at, (since) => (since === after ? mishap : 'none'));
          assert.equal(first?.outcome?.ok, true, `${when}, ${mishap} ${after} moments later`);
        }
    });

  it('is noted by the next run where this one could not note it', async () => {
    for (let at = await momentsOfBoot(); at > 0; at--) {
      const { last, when } = await given(at, (_, note) => (note === 2 ? 'write fails' : 'none'));
      assert.equal(last?.outcome?.ok, true, when);
    }
  });
});

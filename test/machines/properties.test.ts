/** What holds over every sequence of facts, checked over at least 10,000 generated ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compareVersions } from '../../src/machines/version.ts';
import { deserializeState, evolve, replay, serializeState } from '../../src/runtime/fold.ts';
import { Life } from '../support/moves.ts';

const RUNS = 10_000;
const script = fc.record({
  strategy: fc.constantFrom('kill-then-download' as const, 'download-then-kill' as const),
  rollback: fc.constantFrom('auto' as const, 'auto' as const, 'manual' as const),
  dice: fc.array(fc.tuple(fc.nat(), fc.nat(60)), { minLength: 1, maxLength: 60 }),
});

/** Plays a script; `look` sees every step. */
function play(
  { strategy, rollback, dice }: { strategy: 'kill-then-download' | 'download-then-kill'; rollback: 'auto' | 'manual'; dice: [number, number][] },
  look: (life: Life) => void,
): Life {
  const life = new Life({ strategy, rollback, maxAttempts: 3 });
  for (const [choice, chance] of dice) {
    const moves = life.moves(chance);
    const move = moves[choice % moves.length];
    if (move) life.take(move);
    look(life);
  }
  return life;
}

describe('over random sequences of facts', () => {
  it('a replay, also from a checkpoint in the middle, gives the state that was lived', () => {
    fc.assert(
      fc.property(script, fc.nat(), (told, cut) => {
        const { records, state } = play(told, () => {});
        const lived = serializeState(state);
        const whole = replay(records);
        assert.ok(whole);
        assert.equal(serializeState(whole), lived);
        const before = replay(records.slice(0, 1 + (cut % records.length)));
        assert.ok(before);
        const resumed = records.slice(1 + (cut % records.length)).reduce(evolve, deserializeState(serializeState(before)));
        assert.equal(serializeState(resumed), lived);
      }),
      { numRuns: RUNS },
    );
  });

  it('from every state a way leads to running with the app up', () => {
    fc.assert(
      fc.property(script, (told) => {
        const life = play(told, () => {});
        life.allGoesWell();
        const { snapshot } = life.state;
        assert.ok(snapshot.context.appUp, JSON.stringify(snapshot.value));
        assert.ok(snapshot.hasTag('resting'), JSON.stringify(snapshot.value));
      }),
      { numRuns: RUNS },
    );
  });

  it('attempts are bounded, no effect is outstanding twice, no timer outlives its state, and nothing older is fetched by itself', () => {
    fc.assert(
      fc.property(script, (told) => {
        play(told, ({ state }) => {
          const { candidate, policy, highestHealthy } = state.snapshot.context;
          assert.ok(state.effects.size <= 1, `outstanding: ${[...state.effects.keys()].join()}`);
          assert.ok(state.timers.size === 0 || state.snapshot.matches('waiting'), 'a timer runs outside waiting');
          if (candidate === null) return;
          assert.ok(candidate.attempt <= policy.maxAttempts, `attempt ${candidate.attempt}`);
          if (!candidate.byOperator && highestHealthy !== null) assert.ok(compareVersions(candidate.release.version, highestHealthy, policy.versioning) >= 0);
        });
      }),
      { numRuns: RUNS },
    );
  });

  it('a running app is stopped only when a complete tree waits, under download-then-kill', () => {
    fc.assert(
      fc.property(script, (told) => {
        play({ ...told, strategy: 'download-then-kill' }, ({ state }) => {
          const { context } = state.snapshot;
          const forUpdate = state.snapshot.matches('stopping') && context.stopReason === 'update' && context.candidate !== null;
          if (forUpdate) assert.notEqual(context.installed, null);
        });
      }),
      { numRuns: RUNS },
    );
  });
});

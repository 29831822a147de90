/** What holds over every sequence of facts, checked over at least 10,000 generated ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Policy } from '../../src/machines/model.ts';
import { compareVersions } from '../../src/machines/version.ts';
import { deserializeState, replay, serializeState } from '../../src/runtime/fold.ts';
import { Life } from '../support/moves.ts';

const RUNS = 10_000;
const STRATEGIES = ['kill-then-download', 'download-then-kill', 'hand-over'] as const;
const script = fc.record({
  strategy: fc.constantFrom(...STRATEGIES),
  rollback: fc.constantFrom('auto' as const, 'auto' as const, 'manual' as const),
  dice: fc.array(fc.tuple(fc.nat(), fc.nat(60)), { minLength: 1, maxLength: 60 }),
});

/** Plays a script; `look` sees every step. */
function play(
  {
    strategy,
    rollback,
    dice,
  }: {
    strategy: Policy['strategy'];
    rollback: 'auto' | 'manual';
    dice: [number, number][];
  },
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

/**
 * Each life is played once, and everything is asked of it: to play it is most of what this costs.
 */
describe('over random sequences of facts', () => {
  it(`${RUNS} lives keep the bounds at every step, replay to the state that was lived, and find a way to running with the app up`, () => {
    fc.assert(
      fc.property(script, fc.nat(), (told, cut) => {
        const life = play(told, keepsBounds);
        replaysToWhatWasLived(life, cut);
        endsWell(life);
      }),
      { numRuns: RUNS },
    );
  });
});

/**
 * Attempts are bounded, no effect is outstanding twice, no timer outlives its state, and nothing
 * older is fetched by itself.
 */
function keepsBounds({ state }: Life): void {
  const { candidate, policy, highestHealthy, installed } = state.snapshot.context;
  assert.ok(state.effects.size <= 1, `outstanding: ${[...state.effects.keys()].join()}`);
  assert.ok(
    state.timers.size === 0 || state.snapshot.matches({ steady: 'waiting' }),
    'a timer runs outside waiting',
  );
  // Never none: what serves goes on until another one does.
  if (state.snapshot.matches('handingOver')) assert.equal(state.snapshot.context.app, 'up');
  if (candidate === null) return;
  assert.ok(candidate.attempt <= policy.maxAttempts, `attempt ${candidate.attempt}`);
  if (!candidate.byOperator && highestHealthy !== null)
    assert.ok(compareVersions(candidate.release.version, highestHealthy, policy.versioning) >= 0);
  if (policy.strategy !== 'kill-then-download' && state.snapshot.matches({ stopping: 'forUpdate' }))
    assert.notEqual(installed, null, 'a running app is stopped, and no complete tree waits');
}

/** By way of a checkpoint somewhere in the middle. */
function replaysToWhatWasLived({ records, state }: Life, cut: number): void {
  const middle = 1 + (cut % records.length);
  const before = replay(records.slice(0, middle));
  assert.ok(before);
  const after = replay(records.slice(middle), deserializeState(serializeState(before)));
  assert.ok(after);
  assert.equal(serializeState(after), serializeState(state));
}

function endsWell(life: Life): void {
  life.allGoesWell();
  const { snapshot } = life.state;
  assert.equal(snapshot.context.app, 'up', JSON.stringify(snapshot.value));
  assert.ok(snapshot.hasTag('resting'), JSON.stringify(snapshot.value));
}

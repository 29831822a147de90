import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FACTS_OF_AN_UPDATE, killed, stepsOf } from '../support/kill-cases.ts';

for (const [strategy, hooks] of [
  ['kill-then-download', false],
  ['download-then-kill', false],
  ['download-then-kill', true],
  ['hand-over', false],
] as const) {
  const kind = { strategy, hooks, steps: 'facts' as const };
  describe(`SIGKILL around every fact of an update, ${strategy}${hooks ? ' with hooks' : ''}, then a start`, {
    concurrency: 3,
  }, async () => {
    const steps = await stepsOf(kind);
    it('finds the facts of an update', () =>
      assert.ok(steps.length >= FACTS_OF_AN_UPDATE, steps.join()));
    for (const [index] of steps.entries()) {
      for (const moment of ['before', 'after'] as const) {
        it(`converges when killed ${moment} fact ${index + 1}`, () =>
          killed({ ...kind, at: index + 1, moment }));
      }
    }
  });
}

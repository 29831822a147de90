/**
 * A few kills out of those that `npm run test:product` tries one after another. The seed in the
 * title chooses them again: CHAOS_SEED=<seed>, and CHAOS_CASE=kills/<number> runs one alone.
 */
import { cases } from '../support/chaos/cases.ts';
import { FACTS_OF_AN_UPDATE, killed } from '../support/kill-cases.ts';

const kills = (['kill-then-download', 'download-then-kill', 'hand-over'] as const).flatMap(
  (strategy) =>
    Array.from({ length: FACTS_OF_AN_UPDATE }, (_, index) => index + 1).flatMap((at) =>
      (['before', 'after'] as const).map((moment) => ({
        title: `SIGKILL ${moment} fact ${at}, ${strategy}, then a start`,
        strategy,
        at,
        moment,
      })),
    ),
);

cases('kills', kills, { sample: 4 }, async (kill) => {
  await killed({ ...kill, steps: 'facts', hooks: false });
  return 'converged';
});

/** SIGKILL before and after every fact, in every story, and once more during the recovery. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { cases } from '../support/chaos/cases.ts';
import { HANDING_OVER, KINDS, type Kind, nameOf, Scenario } from '../support/chaos/scenario.ts';

const MORTAL = path.join(import.meta.dirname, '..', 'support', 'mortal.ts');
const MOMENTS = ['before', 'after'] as const;

/** Facts that a recovery has at most; a later number kills nothing, and that is said. */
const RECOVERY_FACTS = 8;

type Kill = {
  kind: Kind;
  at: number;
  moment: (typeof MOMENTS)[number];
  fact: string;
  title: string;
  again: string | null;
};

/** With hand-over the app is started first, as ever: that is not killed again. */
const fromOf = ({ strategy }: Kind): Record<string, string> =>
  strategy === 'hand-over' ? { MORTAL_FROM: 'appStarted' } : {};

async function factsOf(kind: Kind): Promise<string[]> {
  await using scenario = await Scenario.prepare(kind, { entry: MORTAL });
  const file = path.join(scenario.product.root, 'steps');
  await scenario.update({
    prefix: [],
    env: { MORTAL_COUNT: file, ...fromOf(kind) },
    ended: async () => {},
  });
  assert.ok(scenario.isDone(), await scenario.log());
  return readFileSync(file, 'utf8').trim().split('\n');
}

const kills: Kill[] = [];
for (const kind of [...KINDS, ...HANDING_OVER]) {
  for (const [index, fact] of (await factsOf(kind)).entries())
    for (const moment of MOMENTS)
      kills.push({
        kind,
        at: index + 1,
        moment,
        fact,
        again: null,
        title: `${moment} ${fact} (${nameOf(kind)})`,
      });
}
const pairs = kills
  .filter(({ kind }) => kind.mode === 'once' || kind.strategy === 'hand-over')
  .flatMap((kill) =>
    Array.from({ length: RECOVERY_FACTS }, (_, at) => ({
      ...kill,
      again: `${at + 1}:${kill.moment}`,
      title: `${kill.title}, and at fact ${at + 1} of the recovery`,
    })),
  );

async function die({ kind, at, moment, again }: Kill): Promise<string> {
  await using scenario = await Scenario.prepare(kind, { entry: MORTAL });
  const { signal } = await scenario.update({
    prefix: [],
    env: { MORTAL_AT: `${at}:${moment}`, ...fromOf(kind) },
    ended: async () => {},
  });
  assert.equal(signal, 'SIGKILL', await scenario.log());
  if (again !== null) await scenario.product.command(['run', '--once'], { MORTAL_AT: again });
  return `${await scenario.recover()} ran after the restart`;
}

const group = ({ moment, fact }: Kill) => `killed ${moment} ${fact}`;
cases('kill-at-facts', kills, { sample: 24, group }, die);
cases(
  'kill-again-in-recovery',
  pairs,
  { sample: 12, group: (kill) => `${group(kill)}, and again` },
  die,
);

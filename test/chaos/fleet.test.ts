/**
 * SIGKILL before and after every fact of an update under the fleet's lock, and once more during the
 * recovery: the slot is neither lost nor held for ever.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after } from 'node:test';
import { cases } from '../support/chaos/cases.ts';
import { LOCKED, LockedScenarios } from '../support/chaos/locked.ts';
import { type Kind, nameOf } from '../support/chaos/scenario.ts';

const MORTAL = path.join(import.meta.dirname, '..', 'support', 'mortal.ts');
const MOMENTS = ['before', 'after'] as const;
/** Facts that a recovery has at most; a later number kills nothing. */
const RECOVERY_FACTS = 8;

type Kill = {
  kind: Kind;
  at: number;
  moment: (typeof MOMENTS)[number];
  fact: string;
  title: string;
  again: string | null;
};

const scenarios = await LockedScenarios.start();
after(() => scenarios[Symbol.asyncDispose]());

const unwrapped = { prefix: [], ended: async () => {} };
/** With hand-over the app is started first, as ever: that is not killed again. */
const fromOf = ({ strategy }: Kind): Record<string, string> =>
  strategy === 'hand-over' ? { MORTAL_FROM: 'appStarted' } : {};

async function factsOf(kind: Kind): Promise<string[]> {
  const { scenario: prepared, group } = await scenarios.prepare(kind, MORTAL);
  await using scenario = prepared;
  const file = path.join(scenario.product.root, 'steps');
  await scenario.update({ ...unwrapped, env: { MORTAL_COUNT: file, ...fromOf(kind) } });
  assert.ok(scenario.isDone(), await scenario.log());
  await scenarios.check(scenario, group);
  const facts = readFileSync(file, 'utf8').trim().split('\n');
  assert.ok(facts.includes('fleetLockAcquired'), facts.join());
  return facts;
}

const killsOf = (kind: Kind, facts: readonly string[]): Kill[] =>
  facts.flatMap((fact, index) =>
    MOMENTS.map((moment) => {
      const title = `${moment} ${fact} (${nameOf(kind)})`;
      return { kind, at: index + 1, moment, fact, again: null, title };
    }),
  );

const kills: Kill[] = [];
for (const pair of LOCKED) {
  const facts = await Promise.all(pair.map(factsOf));
  kills.push(...pair.flatMap((kind, index) => killsOf(kind, facts[index] ?? [])));
}
const pairs = kills
  .filter(({ kind }) => kind.mode === 'once')
  .flatMap((kill) =>
    Array.from({ length: RECOVERY_FACTS }, (_, at) => ({
      ...kill,
      again: `${at + 1}:${kill.moment}`,
      title: `${kill.title}, and at fact ${at + 1} of the recovery`,
    })),
  );

async function die({ kind, at, moment, again }: Kill): Promise<string> {
  const { scenario: prepared, group } = await scenarios.prepare(kind, MORTAL);
  await using scenario = prepared;
  const env = { MORTAL_AT: `${at}:${moment}`, ...fromOf(kind) };
  const { signal } = await scenario.update({ ...unwrapped, env });
  assert.equal(signal, 'SIGKILL', await scenario.log());
  if (again !== null) await scenario.product.command(['run', '--once'], { MORTAL_AT: again });
  const version = await scenario.recover();
  await scenarios.check(scenario, group);
  const end = kind.story === 'rollback' ? 'kept' : 'free';
  return `${version} ran after the restart, and the slot was ${end} in the end`;
}

const groupOf = ({ moment, fact }: Kill) => `killed ${moment} ${fact}`;
cases('kill-under-the-lock', kills, { sample: 5, group: groupOf }, die);
cases(
  'kill-again-under-the-lock',
  pairs,
  { sample: 3, group: (kill) => `${groupOf(kill)}, and again` },
  die,
);

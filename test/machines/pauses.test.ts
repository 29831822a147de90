/**
 * No cycle without a pause: whatever is answered to its effects, the updater neither spins nor
 * fills the disk.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { AnyStateNode } from 'xstate';
import type { Fact } from '../../src/machines/facts.ts';
import { updaterMachine } from '../../src/machines/updater.ts';
import { Adversary, CODES, type Temper } from '../support/adversary.ts';
import { randomFrom } from '../support/chaos/cases.ts';
import { isSpontaneous } from '../support/machine.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MAX_FACTS_A_MINUTE = 30;
/** An update with all hooks that fails at its end, and every known version after it. */
const MAX_RUN = 40;
const MAX_BYTES_A_DAY = 16 * 1024 * 1024;

const EFFECTS = [
  'check',
  'download',
  'verify',
  'extract',
  'observeConditions',
  'acquireFleetLock',
  'returnFleetLock',
  'runHook',
  'prepareSwitch',
  'stop',
  'switchCurrent',
  'start',
  'startBeside',
  'observeReadiness',
  'stopOtherCopy',
  'observeProbation',
];
const likes = fc.record(
  Object.fromEntries(
    [...EFFECTS, 'crashLoop', 'version'].map((name) => [name, fc.nat(5)]),
  ) as Record<string, fc.Arbitrary<number>>,
);
const temper = fc
  .record({ likes, code: fc.nat(CODES.length - 1), steadiness: fc.integer({ min: 0, max: 10 }) })
  .map(({ code, ...rest }): Temper => ({ ...rest, code, likes: { ...rest.likes, code } }));
const hooks = fc.record({
  preStop: fc.boolean(),
  preStart: fc.boolean(),
  postUpdate: fc.boolean(),
});
const told = fc.record({
  temper,
  seed: fc.nat(),
  policy: fc.record({
    strategy: fc.constantFrom(
      'kill-then-download' as const,
      'download-then-kill' as const,
      'hand-over' as const,
    ),
    rollback: fc.constantFrom('auto' as const, 'auto' as const, 'manual' as const),
    maxAttempts: fc.constant(5),
    hooks,
    fleet: fc.constantFrom(null, { id: 'one', group: 'default', keepsOnFailure: true }),
  }),
});

describe('whatever is answered to the effects', () => {
  it(`at most ${MAX_FACTS_A_MINUTE} facts come in any minute after the first one of a burst, and on average`, () => {
    fc.assert(
      fc.property(told, ({ temper, seed, policy }) => {
        const adversary = new Adversary(policy, temper, randomFrom('pauses', seed));
        adversary.live(HOUR_MS, 60 * MAX_FACTS_A_MINUTE + 1);
        const count = adversary.busiest(MINUTE_MS, MINUTE_MS);
        assert.ok(count <= MAX_FACTS_A_MINUTE, `${count} facts in a minute\n${adversary.told}`);
        assert.ok(
          adversary.records.length <= 60 * MAX_FACTS_A_MINUTE,
          `too many facts in an hour\n${adversary.told}`,
        );
        assert.ok(
          adversary.longestRun <= MAX_RUN,
          `${adversary.longestRun} facts without a pause\n${adversary.told}`,
        );
      }),
      { numRuns: 1000 },
    );
  });

  it(`a day's facts are at most ${MAX_BYTES_A_DAY / 1024 / 1024} MiB of journal`, () => {
    fc.assert(
      fc.property(told, ({ temper, seed, policy }) => {
        const adversary = new Adversary(policy, temper, randomFrom('pauses', seed));
        adversary.live(DAY_MS, 24 * 60 * MAX_FACTS_A_MINUTE);
        assert.ok(adversary.bytes() <= MAX_BYTES_A_DAY, `${adversary.bytes()} bytes`);
      }),
      { numRuns: 30 },
    );
  });
});

/**
 * Transitions, named by the state where they are written, that may lead back to where the machine
 * has been since it last waited, and why each is taken a few times at most between two waits. What
 * is left of the statechart must have no cycle.
 */
const BOUNDED: Readonly<Record<string, string>> = {
  'bringingUp.starting startFailed rollingBack': 'uses up a tree',
  'steady.running.probation probationFailed rollingBack': 'uses up a tree, or all of them',
  'steady.running.probation probationFailed handingOver.startingBeside': 'uses up a tree',
  'steady.running.probation appExitedEarly steady.running.probation': 'once for each tree',
  'steady.running.probation versionBecameHealthy steady.deciding': 'proven, it has no probation',
  'bringingUp.starting appStarted steady.deciding': 'the app is up, and is not brought up again',
  'bringingUp.migrating hookFailed steady.deciding': 'uses up a tree',
  'bringingUp.switching switchFailed steady.deciding':
    'the tree is forgotten, or the release has to wait',
  'stopping.forUpdate stopFailed steady.deciding': 'the release has to wait',
  'stopping stopFailed steady.deciding': 'only the operator restarts an app',
  'steady.deciding  steady.deciding': 'the change is over',
  'steady.deciding  announcing': 'the change is over',
  'steady.deciding  incoming.preparing.asking':
    "the operator's word was given, and no longer is what is waited for",
  'stopping.forUpdate appStopped incoming.fetching.downloading': 'without a tree only',
  'handingOver.startingBeside startFailed incoming.preparing.asking': 'once for a release',
  'incoming.preparing.asking conditionsObserved incoming.fetching.downloading':
    'without a tree only',
  'incoming.preparing.asking conditionsObserved steady.deciding': 'the release has to wait',
  'incoming.preparing.reserving fleetLockRefused incoming.preparing.asking':
    'the operator forces it, and the lock is asked for no more',
  'incoming.preparing.reserving fleetLockRefused incoming.fetching.downloading':
    'without a tree only',
  'incoming.preparing.reserving fleetLockRefused steady.deciding': 'the release has to wait',
  'incoming.preparing.draining interruptionDeferred steady.deciding': 'the release has to wait',
  ...Object.fromEntries(
    [
      'downloadFailed',
      'verificationFailed',
      'extractionFailed',
      'preparationFailed',
      'hookFailed',
    ].map((fact) => [
      `incoming ${fact} steady.deciding`,
      'the release has to wait, or is given up',
    ]),
  ),
};

describe('the statechart', () => {
  it('has no cycle but through a state that waits, or through a step that is taken a few times at most', () => {
    const edges = stepsBetweenWaits();
    assert.deepEqual(
      Object.keys(BOUNDED).filter((name) => !edges.some((edge) => nameOf(edge) === name)),
      [],
      'a step that is said to be bounded is no longer there',
    );
    assert.deepEqual(cycleOf(edges.filter((edge) => BOUNDED[nameOf(edge)] === undefined)), []);
  });
});

type Edge = { from: string; written: string; event: string; to: string };
const nameOf = ({ written, event, to }: Edge): string => `${written} ${event} ${to}`;

/**
 * What an effect's outcome, or no fact at all, makes of a state that does not wait. The world
 * outside and the operator have their own pace.
 */
function stepsBetweenWaits(): Edge[] {
  const leaves: AnyStateNode[] = [];
  const visit = (node: AnyStateNode): void => {
    const children = Object.values(node.states);
    if (children.length === 0) leaves.push(node);
    for (const child of children) visit(child);
  };
  visit(updaterMachine.root);
  const name = ({ path }: AnyStateNode) => path.join('.');
  const rests = (node: AnyStateNode): boolean =>
    node.tags.includes('resting') || (node.parent !== undefined && rests(node.parent));
  return leaves
    .filter((leaf) => !rests(leaf) && leaf.key !== 'idle')
    .flatMap((leaf) =>
      transitionsOf(leaf)
        .filter(({ eventType }) => eventType === '' || !isSpontaneous({ type: eventType } as Fact))
        .flatMap(({ source, eventType, target }) =>
          (target ?? []).map((node) => ({
            from: name(leaf),
            written: name(source),
            event: eventType,
            to: name(leafOf(node)),
          })),
        ),
    );
}

/** Its own and those of the states around it, as far as its own leave something to them. */
function transitionsOf(
  node: AnyStateNode,
  taken: ReadonlySet<string> = new Set(),
): AnyStateNode['always'] & object {
  const own = [...[...node.transitions.values()].flat(), ...(node.always ?? [])].filter(
    ({ eventType }) => !taken.has(eventType),
  );
  const unguarded = own
    .filter(({ guard }) => guard === undefined)
    .map(({ eventType }) => eventType);
  return node.parent === undefined
    ? own
    : [...own, ...transitionsOf(node.parent, new Set([...taken, ...unguarded]))];
}

function leafOf(node: AnyStateNode): AnyStateNode {
  const [first] = node.initial.target ?? [];
  return first === undefined ? node : leafOf(first as AnyStateNode);
}

/** States on some cycle. */
function cycleOf(edges: readonly Edge[]): string[] {
  const reaches = (from: string, goal: string, seen = new Set<string>()): boolean =>
    edges.some((edge) => {
      if (edge.from !== from) return false;
      if (edge.to === goal) return true;
      if (seen.has(edge.to)) return false;
      seen.add(edge.to);
      return reaches(edge.to, goal, seen);
    });
  return [...new Set(edges.map(({ from }) => from))].filter((state) => reaches(state, state));
}

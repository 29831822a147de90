/**
 * The statechart as data, read from the machine itself: for its drawings, its tables and their
 * tests.
 */
import type { AnyStateNode } from 'xstate';
import type { Fact } from '../src/machines/facts.ts';
import type { Policy } from '../src/machines/model.ts';
import { shownPath } from '../src/machines/shown.ts';
import { updaterMachine } from '../src/machines/updater.ts';
import { facts, running, type Story, tree } from '../test/support/machine.ts';

/**
 * Where a transition is written, and where it leads; an empty fact is none: it is taken at once.
 * `isFailure`: the fact names a code.
 */
export type Way = {
  from: string;
  to: string;
  fact: string;
  guard: string | null;
  isFailure: boolean;
};

/** All states, parents before their children. */
export function allStates(node: AnyStateNode = updaterMachine.root): AnyStateNode[] {
  return Object.values(node.states).flatMap((child) => [child, ...allStates(child)]);
}

/** `incoming.preparing.asking` */
export function pathOf({ path }: AnyStateNode): string {
  return path.join('.');
}

/** As it is told, and as the dashboard knows it: `preparing.asking`; a group by its path. */
export function toldOf({ path }: AnyStateNode): string {
  const shown = shownPath(path);
  return shown.length === 0
    ? path.join('.')
    : shown.at(-1) === path.at(-1)
      ? shown.join('.')
      : path.join('.');
}

/** Every transition that leads somewhere. Those without a target only change what is remembered. */
export function allWays(): Way[] {
  return allStates().flatMap((node) => {
    const transitions = [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
    return transitions.flatMap(({ eventType: fact, target = [], guard }) =>
      target.map((to) => ({
        from: pathOf(node),
        to: pathOf(to as AnyStateNode),
        fact,
        guard: guard === undefined ? null : guardName(guard),
        isFailure: FAILURES.test(fact),
      })),
    );
  });
}

const FAILURES = /Failed$|Refused$|Awaited$|Deferred$|Early$|Looped$|Interrupted$/;

/** `appIsUp and not isHeld` */
function guardName(guard: unknown): string {
  if (typeof guard === 'string') return guard;
  const inner = ((guard as { guards?: unknown[] }).guards ?? []).map(guardName);
  return (guard as { check?: { name: string } }).check?.name === 'checkNot'
    ? `not ${inner.join()}`
    : inner.join(' and ');
}

/**
 * The leaves that an update passes through when all goes well and no hook is set, until the new
 * version has to prove itself, with the fact that led to each.
 */
export function mainPath(strategy: Policy['strategy']): { state: string; fact: string }[] {
  const story = running({ policy: { strategy } });
  const path = [{ state: leafOf(story), fact: '' }];
  const fetched = [facts.downloaded('2.0.0'), facts.verified(), facts.installed('2.0.0')];
  const allowed = [facts.allowed(), facts.switchStarted('2.0.0')];
  const switched = facts.switched(tree('2.0.0'));
  const brought = [switched, facts.started('2.0.0')];
  const ways: Record<Policy['strategy'], Fact[]> = {
    'download-then-kill': [...fetched, ...allowed, facts.stopped(), ...brought],
    'kill-then-download': [...allowed, facts.stopped(), ...fetched, ...brought],
    'hand-over': [
      ...fetched,
      ...allowed,
      facts.startedBeside('2.0.0'),
      facts.ready('2.0.0'),
      facts.allowed(),
      switched,
      facts.otherStopped(),
    ],
  };
  for (const fact of [facts.found('2.0.0'), ...ways[strategy]])
    path.push({ fact: fact.type, state: leafOf(story.when(fact)) });
  return path;
}

function leafOf({ state }: Story): string {
  const keys = (value: unknown): string[] =>
    typeof value === 'string'
      ? [value]
      : Object.entries(value as object).flatMap(([key, inner]) => [key, ...keys(inner)]);
  return keys(state.snapshot.value).join('.');
}

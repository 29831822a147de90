/**
 * Counts what the statechart is made of, so that it can be said whether it became simpler: `node
 * bin/node.js scripts/count-statechart.ts`.
 */
import type { AnyStateNode } from 'xstate';
import { updaterMachine } from '../src/machines/updater.ts';

export type Counts = {
  states: number;
  transitions: number;
  guarded: number;
  guards: number;
  busiest: { state: string; arrows: number };
};

/**
 * Transitions as they are written: one that a parent has for its children counts once. Guards are
 * those with a name of their own.
 */
export function countStatechart(): Counts {
  const nodes = below(updaterMachine.root);
  const transitions = [updaterMachine.root, ...nodes].flatMap((node) => [
    ...[...node.transitions.values()].flat(),
    ...(node.always ?? []),
  ]);
  const arrows = new Map<string, number>();
  for (const { target = [] } of transitions)
    for (const { path } of target)
      arrows.set(path.join('.'), (arrows.get(path.join('.')) ?? 0) + 1);
  const [state = '', most = 0] = [...arrows].sort(([, a], [, b]) => b - a)[0] ?? [];
  return {
    states: nodes.length,
    transitions: transitions.length,
    guarded: transitions.filter(({ guard }) => guard !== undefined).length,
    guards: Object.keys(updaterMachine.implementations.guards).length,
    busiest: { state, arrows: most },
  };
}

function below(node: AnyStateNode): AnyStateNode[] {
  return Object.values(node.states).flatMap((child) => [child, ...below(child)]);
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(countStatechart())}\n`);

/**
 * The names under which states are told. Groups only structure the machine: what is told begins
 * inside of them.
 */
import { type UpdaterNode, type UpdaterSnapshot, updaterMachine } from './updater.ts';

export type Shown = { state: string; phase: string | null };

/**
 * `state` is what the machine does, `phase` what it does in that, or what it waits for; null where
 * nothing is inside.
 */
export function shownState({ value }: Pick<UpdaterSnapshot, 'value'>): Shown {
  const [state = '', phase = null] = shownPath(keysOf(value));
  return { state, phase };
}

/** As one word: `running.settled`. */
export function shownName(snapshot: Pick<UpdaterSnapshot, 'value'>): string {
  const { state, phase } = shownState(snapshot);
  return phase === null ? state : `${state}.${phase}`;
}

/**
 * What is told of a path through the machine: `['steady', 'running', 'settled']` is told as
 * `['running', 'settled']`.
 */
export function shownPath(path: readonly string[]): string[] {
  let node: UpdaterNode = updaterMachine.root;
  return path.filter((key) => {
    node = childOf(node, key);
    return !isGroup(node);
  });
}

/**
 * Every state that can be told, in the order of the machine. Those that are left at once are never
 * seen.
 */
export function shownStates(node: UpdaterNode = updaterMachine.root): string[] {
  return Object.values(node.states).flatMap((child) =>
    isGroup(child) ? shownStates(child) : isTransient(child) ? [] : [child.key],
  );
}

export function isGroup({ meta }: UpdaterNode): boolean {
  return (meta as { isGroup?: boolean } | undefined)?.isGroup === true;
}

/** Left at once: no fact is ever journaled in it. */
export function isTransient({ transitions, always = [] }: UpdaterNode): boolean {
  return transitions.size === 0 && always.length > 0;
}

function childOf(node: UpdaterNode, key: string): UpdaterNode {
  const child = node.states[key];
  if (child === undefined) throw new Error(`invariant: ${node.id} has a state ${key}`);
  return child;
}

function keysOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return Object.entries(value as Record<string, unknown>).flatMap(([key, inner]) => [
    key,
    ...keysOf(inner),
  ]);
}

/**
 * The title of the updater's process: what runs, where people look who have no status at hand
 * (`docker top`, `ps`). The image's tag does not tell it.
 */
import type { State } from '../runtime/fold.ts';

/** Of a version: what a name of a version has, so that a terminal can show it. */
const SHOWN = /^[0-9A-Za-z.+_-]{1,64}$/;

/** The words stay that people and scripts find it by. */
export function titleOf(state: State, once: boolean): string {
  const { app, current } = state.snapshot.context;
  const words = once ? 'self-update run --once' : 'self-update run';
  if (current === null || !SHOWN.test(current.version)) return words;
  return `${words}: ${current.version} ${app === 'up' ? 'runs' : 'does not run'}`;
}

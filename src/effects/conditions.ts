/**
 * `observeConditions`: what the calendar and the app say about this moment. What follows from it is
 * the machine's.
 */
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { type BusyOptions, busySince } from './busy.ts';
import { windowAt } from './calendar.ts';

export type ConditionsDependencies = { busy: BusyOptions; now: () => number };

export async function observeConditions(
  { window }: EffectInputs['observeConditions'],
  { busy, now }: ConditionsDependencies,
): Promise<Fact> {
  const nowMs = now();
  const since = busySince(busy, nowMs);
  return {
    type: 'conditionsObserved',
    window: window && (await windowAt(window, nowMs)),
    busy: since === null ? null : { since },
  };
}

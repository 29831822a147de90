/** When there is something to do next. */
import { isResting, type State, untilDueMs, untilLockReturnMs } from './fold.ts';
import type { RuntimeOptions } from './options.ts';
import type { Poller } from './poller.ts';

type Options = Pick<RuntimeOptions, 'now' | 'isBusy' | 'busyLookMs' | 'pollIntervalMs'>;

/** Wall clock. What runs wakes us by its end: a poll, and a return of the fleet's lock. */
export function nextWakeAt(
  state: State,
  poller: Poller,
  options: Options,
  isReturning: boolean,
): number {
  const now = options.now();
  const isBusy = waitsForBusyApp(state, options);
  const waits = [...state.timers.values()].map((timer) =>
    isBusy ? options.busyLookMs : untilDueMs(timer, now),
  );
  if (isResting(state) && !poller.isRunning) waits.push(poller.untilDueMs());
  const returnMs = isReturning ? null : untilLockReturnMs(state, now);
  if (returnMs !== null) waits.push(returnMs);
  // No sooner than that: a poll's jitter makes it later than the interval, and waking twice for it
  // costs twice.
  return now + (waits.length > 0 ? Math.min(...waits) : options.pollIntervalMs);
}

/** Whether an update waits for an app that still is busy. */
export function waitsForBusyApp(
  { snapshot }: State,
  { isBusy }: Pick<RuntimeOptions, 'isBusy'>,
): boolean {
  const inhibitors = snapshot.context.candidate?.deferral?.inhibitors ?? [];
  return (
    snapshot.matches({ steady: 'waiting' }) &&
    inhibitors.some(({ reason }) => reason === 'busy') &&
    isBusy()
  );
}

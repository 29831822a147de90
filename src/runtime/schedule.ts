/** When there is something to do next. */
import { MAX_LOCK_PAUSE_MS, remainingMs } from '../machines/pacing.ts';
import { isResting, lockReturnAt, type State, untilDueMs } from './fold.ts';
import type { RuntimeOptions } from './options.ts';
import type { Poller } from './poller.ts';

type Options = Pick<RuntimeOptions, 'now' | 'isBusy' | 'busyLookMs' | 'pollIntervalMs'>;

/** Wall clock. `isReturning`: the fleet's lock is being given back, which wakes by its end. */
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
  const returnAt = isReturning ? null : lockReturnAt(state);
  if (returnAt !== null) waits.push(remainingMs(returnAt, now, MAX_LOCK_PAUSE_MS * 2));
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

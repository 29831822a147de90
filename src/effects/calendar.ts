/** Update windows in local time, through changes to and from daylight-saving time. */
import type { Temporal as TemporalTypes } from 'temporal-polyfill';
import type { Conditions, Window } from '../machines/model.ts';

type Calendar = typeof TemporalTypes;
/** A weekly window that falls into the missing hour of spring comes a week later. */
const DAYS_AHEAD = 15;
const MINUTES_A_DAY = 24 * 60;

/**
 * Whether a window is open at `nowMs`, and when that changes next (null: never). Times are
 * wall-clock ms since the epoch.
 */
export async function windowAt(
  window: Window,
  nowMs: number,
): Promise<NonNullable<Conditions['window']>> {
  // Time zones cost 30 ms: loaded only where a window is set.
  const { Temporal } = await import('temporal-polyfill');
  const isOpen = isOpenAt(window, nowMs, Temporal);
  const changesAt =
    moments(window, nowMs, Temporal).find((at) => isOpenAt(window, at, Temporal) !== isOpen) ??
    null;
  return { isOpen, changesAt };
}

/**
 * What the wall says decides: an hour that is repeated in autumn is open twice, one that is left
 * out in spring never.
 */
function isOpenAt({ spans, timeZone }: Window, at: number, { Instant }: Calendar): boolean {
  const { dayOfWeek, hour, minute } =
    Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(timeZone);
  const now = hour * 60 + minute;
  const yesterday = dayOfWeek === 1 ? 7 : dayOfWeek - 1;
  return spans.some(({ days, startMinute, endMinute }) => {
    if (endMinute > startMinute)
      return days.includes(dayOfWeek) && now >= startMinute && now < endMinute;
    return (
      (days.includes(dayOfWeek) && now >= startMinute) ||
      (days.includes(yesterday) && now < endMinute)
    );
  });
}

/**
 * Every moment from now on at which a window may open or close, in order: its edges, each twice
 * where the hour is, and the clock's changes.
 */
function moments({ spans, timeZone }: Window, nowMs: number, { Instant }: Calendar): number[] {
  const now = Instant.fromEpochMilliseconds(nowMs).toZonedDateTimeISO(timeZone);
  const midnight = now.toPlainDate().toPlainDateTime();
  const edges = new Set(
    spans.flatMap(({ startMinute, endMinute }) => [startMinute, endMinute % MINUTES_A_DAY]),
  );
  const found: number[] = [];
  for (let day = 0; day <= DAYS_AHEAD; day++)
    for (const minutes of edges)
      for (const disambiguation of ['earlier', 'later'] as const)
        found.push(
          midnight.add({ days: day, minutes }).toZonedDateTime(timeZone, { disambiguation })
            .epochMilliseconds,
        );
  const last = now.add({ days: DAYS_AHEAD }).epochMilliseconds;
  for (
    let change = now.getTimeZoneTransition('next');
    change && change.epochMilliseconds <= last;
    change = change.getTimeZoneTransition('next')
  )
    found.push(change.epochMilliseconds);
  return found.filter((at) => at > nowMs).sort((a, b) => a - b);
}

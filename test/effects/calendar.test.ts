/**
 * Windows against another witness: `Intl` tells the local time, minute by minute, and nothing else
 * is known of the calendar here.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseWindow } from '../../src/config/window.ts';
import { windowAt } from '../../src/effects/calendar.ts';
import type { Window } from '../../src/machines/model.ts';

const MINUTE_MS = 60_000;
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

function windowOf(text: string, timeZone: string): Window {
  const spans = parseWindow(text);
  assert.ok(typeof spans !== 'string', String(spans));
  return { text, timeZone, spans };
}

/** Whether the wall's clock lies in one of the spans. */
function witness({ spans, timeZone }: Window): (at: number) => boolean {
  const wall = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  return (at) => {
    const parts = Object.fromEntries(
      wall.formatToParts(at).map(({ type, value }) => [type, value]),
    );
    const day = DAYS.indexOf(parts['weekday'] ?? '') + 1;
    const now = Number(parts['hour']) * 60 + Number(parts['minute']);
    const before = day === 1 ? 7 : day - 1;
    return spans.some(({ days, startMinute, endMinute }) =>
      startMinute < endMinute
        ? days.includes(day) && startMinute <= now && now < endMinute
        : (days.includes(day) && startMinute <= now) || (days.includes(before) && now < endMinute),
    );
  };
}

/** Each day's clock is put forward, or back. Lord Howe's changes by half an hour only. */
const CHANGES: [string, string, string][] = [
  ['Europe/Berlin', 'forward', '2026-03-29T00:00:00Z'],
  ['Europe/Berlin', 'back', '2026-10-25T00:00:00Z'],
  ['America/New_York', 'forward', '2026-03-08T05:00:00Z'],
  ['America/New_York', 'back', '2026-11-01T04:00:00Z'],
  ['Australia/Lord_Howe', 'back', '2026-04-04T13:00:00Z'],
  ['Australia/Lord_Howe', 'forward', '2026-10-03T13:00:00Z'],
];
const WINDOWS = [
  '02:00-03:00',
  '01:30-02:30',
  '02:30-04:00',
  '23:00-02:15',
  'Sat 22:00-02:30',
  'Sun 02:15-02:45',
  'Mon-Fri 02:00-05:00; Sun 01:00-01:45',
  '00:00-24:00',
];

describe('a window through a change of the clock', () => {
  for (const [timeZone, direction, from] of CHANGES) {
    it(`${direction} in ${timeZone} is open when local time says so, and tells the minute in which that changes`, async () => {
      for (const text of WINDOWS) {
        const window = windowOf(text, timeZone);
        const isOpen = witness(window);
        const start = Date.parse(from) - 12 * 60 * MINUTE_MS;
        const minutes = Array.from({ length: 48 * 60 }, (_, i) => start + i * MINUTE_MS);
        const truth = minutes.map(isOpen);
        for (let i = 0; i < minutes.length; i += 23) {
          const { isOpen: opened, changesAt } = await windowAt(window, minutes[i] ?? 0);
          assert.equal(opened, truth[i], `${text} at ${new Date(minutes[i] ?? 0).toISOString()}`);
          const next = truth.findIndex((open, later) => later > i && open !== truth[i]);
          if (next >= 0)
            assert.equal(
              changesAt,
              minutes[next],
              `${text} after ${new Date(minutes[i] ?? 0).toISOString()}`,
            );
          else assert.ok(changesAt === null || changesAt > (minutes.at(-1) ?? 0), text);
        }
      }
    });
  }
});

describe('a window', () => {
  it('that is always open never changes', async () => {
    assert.deepEqual(
      await windowAt(windowOf('00:00-24:00', 'UTC'), Date.parse('2026-11-25T10:00:00Z')),
      { isOpen: true, changesAt: null },
    );
  });

  it('of one day a week opens within the week', async () => {
    const { isOpen, changesAt } = await windowAt(
      windowOf('Wed 03:00-04:00', 'Europe/Berlin'),
      Date.parse('2026-11-25T03:00:00Z'),
    );
    assert.deepEqual([isOpen, changesAt], [false, Date.parse('2026-12-02T02:00:00Z')]);
  });

  it('that lies in the hour which a spring night leaves out opens a week later', async () => {
    const { isOpen, changesAt } = await windowAt(
      windowOf('Sun 02:00-03:00', 'Europe/Berlin'),
      Date.parse('2026-03-28T12:00:00Z'),
    );
    assert.deepEqual([isOpen, changesAt], [false, Date.parse('2026-04-05T00:00:00Z')]);
  });

  it('in the hour that an autumn night repeats is open twice', async () => {
    const window = windowOf('02:00-02:30', 'Europe/Berlin');
    const first = Date.parse('2026-10-25T00:00:00Z');
    const opened = await windowAt(window, first);
    const between = await windowAt(window, first + 30 * MINUTE_MS);
    assert.deepEqual(
      [opened, between],
      [
        { isOpen: true, changesAt: first + 30 * MINUTE_MS },
        { isOpen: false, changesAt: first + 60 * MINUTE_MS },
      ],
    );
  });
});

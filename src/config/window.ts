/**
 * `UPDATE_WINDOW`: days and times, several. `Mon-Fri 02:00-05:00; Sat,Sun 01:00-07:00`; a time
 * without a day is every day.
 */

/**
 * 1 is Monday, 7 is Sunday; minutes count from midnight; an end at or before its start is on the
 * next day.
 */
export type Span = { days: number[]; startMinute: number; endMinute: number };

const DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const EVERY_DAY = [1, 2, 3, 4, 5, 6, 7];
const MINUTES_A_DAY = 24 * 60;

/**
 * The spans, or what is wrong with the text. Spans are separated by semicolons or line ends; within
 * one, days and times by blanks or commas.
 */
export function parseWindow(text: string): Span[] | string {
  const spans: Span[] = [];
  for (const part of text.split(/[;\n]+/)) {
    let days: number[] = [];
    let timesSeen = false;
    for (const word of part.split(/[\s,]+/).filter(Boolean)) {
      if (/\d/.test(word)) {
        const minutes = parseTimes(word);
        if (typeof minutes === 'string') return minutes;
        spans.push({ days: days.length > 0 ? days : EVERY_DAY, ...minutes });
        timesSeen = true;
        continue;
      }
      const more = parseDays(word);
      if (more === null) return `has ${JSON.stringify(word)}, which is neither a day nor a time`;
      days = timesSeen ? more : [...new Set([...days, ...more])].sort();
      timesSeen = false;
    }
    if (days.length > 0 && !timesSeen)
      spans.push({ days, startMinute: 0, endMinute: MINUTES_A_DAY });
  }
  return spans.length > 0 ? spans : 'names no time';
}

function parseTimes(word: string): Pick<Span, 'startMinute' | 'endMinute'> | string {
  const match = /^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$/.exec(word);
  if (!match) return `has ${JSON.stringify(word)}, which is no time like 02:00-05:00`;
  const [startHour = 0, startMinutes = 0, endHour = 0, endMinutes = 0] = match.slice(1).map(Number);
  const startMinute = startHour * 60 + startMinutes;
  const endMinute = endHour * 60 + endMinutes;
  if (
    startMinutes > 59 ||
    endMinutes > 59 ||
    startMinute >= MINUTES_A_DAY ||
    endMinute > MINUTES_A_DAY
  )
    return `has ${word}, and a day has 24 hours`;
  if (startMinute === endMinute)
    return `has ${word}, which ends when it begins; the whole day is 00:00-24:00`;
  return { startMinute, endMinute };
}

/** `Mon`, `Monday`, `Fri-Mon`, `daily`. Null for anything else. */
function parseDays(word: string): number[] | null {
  if (/^daily$/i.test(word)) return EVERY_DAY;
  const [first, last, ...rest] = word.split('-').map(parseDay);
  if (first === undefined || first === null || last === null || rest.length > 0) return null;
  if (last === undefined) return [first];
  const length = ((last - first + 7) % 7) + 1;
  return Array.from({ length }, (_, i) => ((first - 1 + i) % 7) + 1).sort();
}

function parseDay(name: string): number | null {
  const index = DAYS.findIndex(
    (day) => day === name.toLowerCase() || day.slice(0, 3) === name.toLowerCase(),
  );
  return index < 0 ? null : index + 1;
}

/**
 * A zone by its name in the tz database; a leading colon is POSIX's. Null for anything else, and
 * for none.
 */
export function zoneOf(text: string | undefined): string | null {
  const name = text?.replace(/^:/, '') ?? '';
  try {
    return name === ''
      ? null
      : new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}

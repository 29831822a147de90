/** What a simulated fleet showed, as figures, as a row of the table, and as a part of the plot. */
import type { Fleet } from './fleet.ts';
import { HOUR_MS, MINUTE_MS } from './scenarios.ts';

export type Result = {
  title: string;
  containers: number;
  slots: number | null;
  mostDown: number;
  updated: number;
  victims: number;
  /** From the publication on, ms; null where it did not come to that. */
  halfAfterMs: number | null;
  allAfterMs: number | null;
  /** GitHub's answers, and its refusals, in one hour at one address, at most. */
  github: { answered: number; refused: number };
  /** Requests to the lock's server in one second at most, and all of them. */
  lock: { aSecond: number; all: number };
  /** Minutes since the publication, and the part that is updated then. */
  curve: (readonly [minute: number, part: number])[];
};

const MAX_POINTS = 80;

export function resultOf({ world, containers }: Fleet): Result {
  const { scenario, meter, github, lock } = world;
  const { updatedAfterMs, victims, mostDown, minutes } = meter;
  const half = updatedAfterMs[Math.ceil(containers.length / 2) - 1] ?? null;
  const isAll = updatedAfterMs.length + victims.size === containers.length;
  const hours = [...github.hours.values()];
  const seconds = [...lock.seconds.values()];
  const step = Math.max(1, Math.ceil(minutes.length / MAX_POINTS));
  return {
    title: scenario.title,
    containers: containers.length,
    slots: scenario.slots,
    mostDown,
    updated: updatedAfterMs.length,
    victims: victims.size,
    halfAfterMs: half,
    allAfterMs: isAll && updatedAfterMs.length > 0 ? (updatedAfterMs.at(-1) ?? null) : null,
    github: {
      answered: Math.max(...hours.map(({ answered }) => answered)),
      refused: Math.max(...hours.map(({ refused }) => refused)),
    },
    lock: { aSecond: Math.max(0, ...seconds), all: seconds.reduce((sum, n) => sum + n, 0) },
    curve: minutes.flatMap(({ updated }, minute) =>
      minute % step === 0 || minute === minutes.length - 1
        ? [[minute + 1, Math.round((updated / containers.length) * 1e4) / 1e4] as const]
        : [],
    ),
  };
}

function duration(ms: number | null): string {
  if (ms === null) return '–';
  return ms < 2 * HOUR_MS ? `${(ms / MINUTE_MS).toFixed(0)} min` : `${(ms / HOUR_MS).toFixed(1)} h`;
}

const count = (value: number) => value.toLocaleString('en-US');

const COLUMNS = [
  'scenario',
  'down at once, at most',
  'victims',
  'updated',
  'half after',
  'all after',
  'to GitHub, an hour and address',
  "to the lock's server, a second",
];

export function tableOf(results: readonly Result[]): string {
  return [
    `| ${COLUMNS.join(' | ')} |`,
    `|${'---|'.repeat(COLUMNS.length)}`,
    ...results.map((result) => {
      const { github, lock } = result;
      const refused = github.refused === 0 ? '' : `, ${count(github.refused)} refused`;
      const cells = [
        result.title,
        count(result.mostDown),
        count(result.victims),
        count(result.updated),
        duration(result.halfAfterMs),
        duration(result.allAfterMs),
        `${count(github.answered)}${refused}`,
        lock.all === 0 ? '–' : `${count(lock.aSecond)} (${count(lock.all)} in all)`,
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  ].join('\n');
}

const WIDTH = 880;
const CURVES = { left: 60, right: 560, top: 30, bottom: 330 };
const COLOURS = [
  '#d1495b',
  '#2a9d6f',
  '#2e6fba',
  '#8d5fb0',
  '#d98a1f',
  '#555',
  '#1b9aaa',
  '#b0467f',
];
/** Minutes; a logarithmic scale, since an update without any care takes five, a rollout a day. */
const TICKS: readonly (readonly [number, string])[] = [
  [1, '1 min'],
  [5, '5 min'],
  [15, '15 min'],
  [60, '1 h'],
  [240, '4 h'],
  [1440, '24 h'],
  [2880, '48 h'],
];

const text = (x: number, y: number, words: string, anchor = 'start') =>
  `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}" text-anchor="${anchor}">${words
    .replaceAll('`', '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')}</text>`;

/** Above, who is updated by when; below, how many were down at once. */
export function plotOf(results: readonly Result[]): string {
  const curves = results.filter(({ updated }) => updated > 0);
  const barsTop = CURVES.bottom + 60;
  const height = barsTop + results.length * LINE_HEIGHT + 20;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>${axes()}${curves.map(curveOf).join('')}${bars(results, barsTop)}</svg>\n`;
}

function xOf(minute: number): number {
  const part = Math.log(Math.max(minute, 1)) / Math.log(2880);
  return CURVES.left + part * (CURVES.right - CURVES.left);
}

const yOf = (part: number) => CURVES.bottom - part * (CURVES.bottom - CURVES.top);

function axes(): string {
  const { left, right, top, bottom } = CURVES;
  const times = TICKS.map(
    ([minute, words]) =>
      `<line x1="${xOf(minute).toFixed(0)}" x2="${xOf(minute).toFixed(0)}" y1="${top}" y2="${bottom}" stroke="#ddd"/>${text(xOf(minute), bottom + 16, words, 'middle')}`,
  );
  const parts = [0, 0.25, 0.5, 0.75, 1].map(
    (part) =>
      `<line x1="${left}" x2="${right}" y1="${yOf(part)}" y2="${yOf(part)}" stroke="#ddd"/>${text(left - 6, yOf(part) + 4, `${part * 100} %`, 'end')}`,
  );
  return `${text(left, 16, 'updated, by the time since the publication')}${times.join('')}${parts.join('')}`;
}

function curveOf({ title, curve }: Result, index: number): string {
  const colour = COLOURS[index % COLOURS.length] ?? '#000';
  const dashes = index < COLOURS.length ? '' : ' stroke-dasharray="5 3"';
  const points = curve.map(([minute, part]) => `${xOf(minute).toFixed(1)},${yOf(part).toFixed(1)}`);
  const y = CURVES.top + 10 + index * 18;
  const x = CURVES.right + 12;
  return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"${dashes}/><line x1="${x}" x2="${x + 22}" y1="${y - 4}" y2="${y - 4}" stroke="${colour}" stroke-width="2"${dashes}/>${text(x + 28, y, title)}`;
}

const LINE_HEIGHT = 22;
const BAR_LEFT = 300;
const BAR_WIDTH = 440;

/** Logarithmic as well: the longest bar is a whole fleet. */
function bars(results: readonly Result[], top: number): string {
  const lines = results.map(({ title, mostDown, containers, slots }, index) => {
    const y = top + index * LINE_HEIGHT;
    const long = (value: number) =>
      (Math.log(Math.max(value, 1)) / Math.log(Math.max(containers, 10))) * BAR_WIDTH;
    const limit =
      slots === null
        ? ''
        : `<line x1="${(BAR_LEFT + long(slots)).toFixed(0)}" x2="${(BAR_LEFT + long(slots)).toFixed(0)}" y1="${y - 2}" y2="${y + 17}" stroke="#333" stroke-width="2"/>`;
    const width = Math.max(long(mostDown), 2);
    return `${text(BAR_LEFT - 8, y + 12, title, 'end')}<rect x="${BAR_LEFT}" y="${y}" width="${width.toFixed(1)}" height="15" fill="#2e6fba"/>${limit}${text(BAR_LEFT + Math.max(width, slots === null ? 0 : long(slots)) + 6, y + 12, count(mostDown))}`;
  });
  return `${text(BAR_LEFT, top - 12, 'down at once, at most (logarithmic); the mark is the number of slots')}${lines.join('')}`;
}

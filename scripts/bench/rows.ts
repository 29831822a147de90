/**
 * Rows of the table of figures: each with its goal, its reference in the same run, and what
 * decides.
 */

export type Figures = { median: number; least: number; most: number };

export type Row = {
  what: string;
  unit: 'ms' | 'MB' | 'requests' | 'times';
  measured: Figures;
  /** What was measured beside it, in the same run. */
  reference: { name: string; figures: Figures } | null;
  /** How the two are compared: `value` looks at ours alone. */
  compare: 'ratio' | 'difference' | 'value';
  /** The compared figure is to be no more than this; null where there is no goal. */
  goal: number | null;
  /** What a bare figure does not say. */
  remark?: string;
};

export function figuresOf(values: readonly number[]): Figures {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    median: sorted[sorted.length >> 1] ?? Number.NaN,
    least: sorted[0] ?? Number.NaN,
    most: sorted.at(-1) ?? Number.NaN,
  };
}

export function compared({ measured, reference, compare }: Row): number {
  if (compare === 'value' || reference === null) return measured.median;
  return compare === 'ratio'
    ? measured.median / reference.figures.median
    : measured.median - reference.figures.median;
}

const digits = (value: number) =>
  Math.abs(value) >= 100
    ? value.toFixed(0)
    : Math.abs(value) >= 10
      ? value.toFixed(1)
      : value.toFixed(2);

function shown({ median, least, most }: Figures, unit: Row['unit']): string {
  const range = least === most ? '' : ` [${digits(least)}–${digits(most)}]`;
  return `${digits(median)}${range}${unit === 'times' ? ' times' : unit === 'requests' ? '' : ` ${unit}`}`;
}

function verdict(row: Row): string {
  const value = compared(row);
  const words =
    row.compare === 'ratio'
      ? `${value.toFixed(2)} ×`
      : row.compare === 'difference'
        ? `${value >= 0 ? '+' : '−'}${digits(Math.abs(value))} ${row.unit}`
        : digits(value);
  return row.goal === null ? words : `${words} ${value <= row.goal ? '✔' : '**✘**'}`;
}

function goalOf({ goal, compare, unit }: Row): string {
  if (goal === null) return '';
  return compare === 'ratio'
    ? `≤ ${goal.toFixed(2)} ×`
    : `≤ ${compare === 'difference' ? '+' : ''}${goal}${unit === 'requests' || unit === 'times' ? '' : ` ${unit}`}`;
}

export function tableOf(rows: readonly Row[]): string {
  return [
    '| what | goal | reference | measured | compared | |',
    '|---|---|---|---|---|---|',
    ...rows.map((row) => {
      const reference =
        row.reference === null
          ? ''
          : `${row.reference.name}: ${shown(row.reference.figures, row.unit)}`;
      return `| ${row.what} | ${goalOf(row)} | ${reference} | ${shown(row.measured, row.unit)} | ${verdict(row)} | ${row.remark ?? ''} |`;
    }),
  ].join('\n');
}

const BAR_WIDTH = 320;
const LABEL_WIDTH = 440;
const LINE_HEIGHT = 22;
/** The goal's place; what is beyond twice the goal is cut. */
const GOAL_AT = BAR_WIDTH / 2;

/** Each goal's row as a bar: the line in the middle is the goal, shorter is better. */
export function plotOf(rows: readonly Row[]): string {
  const bars = rows.filter(({ goal }) => goal !== null && goal > 0);
  const height = bars.length * LINE_HEIGHT + 40;
  const lines = bars.map((row, index) => {
    const part = Math.max(compared(row) / (row.goal ?? 1), 0);
    const y = index * LINE_HEIGHT + 28;
    const width = Math.max(Math.min(part * GOAL_AT, BAR_WIDTH), 1).toFixed(1);
    const label = row.what.replaceAll('`', '').replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    return `<text x="${LABEL_WIDTH - 8}" y="${y + 12}" text-anchor="end">${label}</text><rect x="${LABEL_WIDTH}" y="${y}" width="${width}" height="15" fill="${part <= 1 ? '#2a9d6f' : '#d1495b'}"/><text x="${LABEL_WIDTH + Number(width) + 6}" y="${y + 12}">${part.toFixed(2)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL_WIDTH + BAR_WIDTH + 60}" height="${height}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/><text x="${LABEL_WIDTH + GOAL_AT}" y="16" text-anchor="middle">goal = 1, shorter is better</text>${lines.join('')}<line x1="${LABEL_WIDTH + GOAL_AT}" x2="${LABEL_WIDTH + GOAL_AT}" y1="20" y2="${height - 8}" stroke="#333" stroke-dasharray="3 3"/></svg>\n`;
}

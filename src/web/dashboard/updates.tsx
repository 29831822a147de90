/** The updates so far: a plot of what they cost, and all of them as a table. */
import { formatDuration } from '../../report/words.ts';
import type { Update } from './api.ts';
import { Moment } from './time.tsx';

const OUTCOMES: Record<Update['outcome'], { label: string; mark: string }> = {
  updated: { label: 'updated', mark: '●' },
  rolledBack: { label: 'rolled back', mark: '▲' },
  failed: { label: 'failed', mark: '■' },
  inProgress: { label: 'in progress', mark: '○' },
};
const MAX_PLOTTED = 40;

export function Updates({ updates }: { updates: readonly Update[] }) {
  return (
    <section class="panel" aria-labelledby="updates-title">
      <h2 id="updates-title">Updates</h2>
      {updates.length === 0 ? (
        <p>No updates yet.</p>
      ) : (
        <Plot updates={updates.slice(-MAX_PLOTTED)} />
      )}
      {updates.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard (WCAG 2.1.1)
        <section class="scroll" aria-label="Table of updates" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Version</th>
                <th scope="col">Outcome</th>
                <th scope="col">App down</th>
                <th scope="col">Took</th>
                <th scope="col">Reason</th>
              </tr>
            </thead>
            <tbody>
              {updates.map((update, i) => <Row key={`${i} ${update.to}`} {...update} />).reverse()}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

function Row(update: Update) {
  const { startedAt, from, to, outcome, durationMs, downtimeMs, overlapMs, reason } = update;
  const note = overlapMs === null ? '' : `two copies for ${formatDuration(overlapMs)}`;
  return (
    <tr>
      <td>
        <Moment at={startedAt} />
      </td>
      <td>
        {from ?? 'nothing'} → {to}
      </td>
      <td>
        <span class={`outcome ${outcome}`}>{OUTCOMES[outcome].label}</span>
      </td>
      <td>{downtimeMs === null ? 'not at all' : formatDuration(downtimeMs)}</td>
      <td>{durationMs === null ? '–' : formatDuration(durationMs)}</td>
      <td>{reason ?? note}</td>
    </tr>
  );
}

const WIDTH = 640;
const HEIGHT = 190;
const LEFT = 58;
const BOTTOM = 24;
const TOP = 8;
const TICKS_MS = [1, 10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000];

/**
 * Downtime and duration of each, on a logarithmic scale: ten milliseconds and ten minutes in one
 * picture.
 */
function Plot({ updates }: { updates: readonly Update[] }) {
  const values = updates
    .flatMap(({ durationMs, downtimeMs }) => [durationMs, downtimeMs])
    .filter((ms) => ms !== null && ms > 0) as number[];
  const most = Math.max(100, ...values);
  const ticks = TICKS_MS.filter((ms) => ms <= most * 10).slice(
    0,
    TICKS_MS.findIndex((ms) => ms >= most) + 1 || TICKS_MS.length,
  );
  const top = ticks.at(-1) ?? most;
  const y = (ms: number) =>
    HEIGHT - BOTTOM - (Math.log10(Math.max(ms, 1)) / Math.log10(top)) * (HEIGHT - BOTTOM - TOP);
  const step = (WIDTH - LEFT - 10) / updates.length;
  const x = (i: number) => LEFT + step * (i + 0.5);
  return (
    <figure class="plot">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`Downtime and duration of the last ${updates.length} updates; the table below has the same`}
      >
        {ticks.map((ms) => (
          <g key={ms}>
            <line class="grid" x1={LEFT} x2={WIDTH} y1={y(ms)} y2={y(ms)} />
            <text class="tick" x={LEFT - 6} y={y(ms) + 4} text-anchor="end">
              {formatDuration(ms)}
            </text>
          </g>
        ))}
        {updates.map((update, i) => (
          <g key={`${i} ${update.to}`} class={`mark ${update.outcome}`}>
            <title>{sayAll(update)}</title>
            {update.durationMs !== null && update.downtimeMs !== null && (
              <line x1={x(i)} x2={x(i)} y1={y(update.durationMs)} y2={y(update.downtimeMs)} />
            )}
            {update.durationMs !== null && (
              <circle class="hollow" cx={x(i)} cy={y(update.durationMs)} r="4" />
            )}
            <text
              x={x(i)}
              y={(update.downtimeMs === null ? HEIGHT - BOTTOM : y(update.downtimeMs)) + 5}
              text-anchor="middle"
            >
              {OUTCOMES[update.outcome].mark}
            </text>
            {step > 44 && (
              <text class="tick" x={x(i)} y={HEIGHT - 6} text-anchor="middle">
                {update.to}
              </text>
            )}
          </g>
        ))}
      </svg>
      <figcaption>
        Filled: how long the app was down (at the bottom: not at all); hollow: how long the update
        took.{' '}
        {Object.values(OUTCOMES)
          .map(({ mark, label }) => `${mark} ${label}`)
          .join(', ')}
        .
      </figcaption>
    </figure>
  );
}

function sayAll({ from, to, outcome, downtimeMs, durationMs }: Update): string {
  const down = downtimeMs === null ? '' : `, app down for ${formatDuration(downtimeMs)}`;
  return `${from ?? 'nothing'} → ${to}: ${OUTCOMES[outcome].label}${down}${durationMs === null ? '' : `, took ${formatDuration(durationMs)}`}`;
}

/** At a glance: what runs, what is new, why not now. */
import { formatBytes } from '../../report/words.ts';
import type { Progress, Status } from './api.ts';
import { Ago, Ahead, useNow } from './time.tsx';

export function Overview({
  status,
  progress,
  isLive,
}: {
  status: Status;
  progress: Progress;
  isLive: boolean;
}) {
  const now = useNow();
  const { waitingFor, lastError, denied, hold } = status;
  return (
    <section class="overview" aria-label="Overview">
      <dl class="figures">
        <Figure name="Running" value={status.version} note={status.tag} />
        <Figure
          name="Latest"
          value={status.latest}
          note={
            status.latest === status.version
              ? 'up to date'
              : status.target === null
                ? null
                : `${status.target} is on its way`
          }
        />
        <Figure
          name="Previous"
          value={status.previous}
          note={status.lastGood === null ? null : `last good ${status.lastGood}`}
        />
        <div class="figure">
          <dt>State</dt>
          <dd>
            <span class={`badge ${isLive ? toneOf(status) : 'lost'}`} data-testid="state">
              {isLive ? stateOf(status) : 'reconnecting …'}
            </span>
          </dd>
          <dd class="note">
            checked <Ago at={status.lastCheck} now={now} />, next{' '}
            <Ahead at={status.nextCheck} now={now} />
          </dd>
        </div>
      </dl>
      {progress !== null && <Download {...progress} />}
      {status.beside !== null && (
        <p class="callout waiting">
          <strong>Two copies run:</strong>{' '}
          {status.beside.role === 'candidate'
            ? `${status.beside.version} has to prove itself beside ${status.version}.`
            : `${status.version} serves, and ${status.beside.version} is told to stop.`}
        </p>
      )}
      {waitingFor !== null && (
        <p class="callout waiting" data-testid="why-not-now">
          <strong>Why not now?</strong> {waitingFor.message}.
          {waitingFor.until !== null && (
            <>
              {' '}
              Next chance <Ahead at={waitingFor.until} now={now} />.
            </>
          )}
        </p>
      )}
      {status.fleet?.lock === 'kept' && (
        <p class="callout trouble" data-testid="fleet-held">
          <strong>This container holds the fleet:</strong> {status.fleet.version} failed here, and
          goes no further until its lock is released.
        </p>
      )}
      {hold !== null && (
        <p class="callout">
          <strong>Held:</strong> {hold.version}, until the hold is released.
        </p>
      )}
      {status.warnings.map((warning) => (
        <p class="callout waiting" key={warning}>
          <strong>Warning:</strong> {warning}
        </p>
      ))}
      {denied.map(({ version, reason }) => (
        <p class="callout trouble" key={version}>
          <strong>Denied:</strong> {version}. {reason}
        </p>
      ))}
      {lastError !== null && !denied.some(({ reason }) => reason === lastError.message) && (
        <p class="callout trouble">
          <strong>Last error:</strong> {lastError.message} <code>{lastError.code}</code>,{' '}
          <Ago at={lastError.at} now={now} />
        </p>
      )}
    </section>
  );
}

function Figure({
  name,
  value,
  note,
}: {
  name: string;
  value: string | null;
  note: string | null;
}) {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd class="value">{value ?? 'none'}</dd>
      {note !== null && <dd class="note">{note}</dd>}
    </div>
  );
}

function Download({ receivedBytes, totalBytes }: NonNullable<Progress>) {
  return (
    <div class="download">
      <label for="download">
        Downloading: {formatBytes(receivedBytes)} of {formatBytes(totalBytes)}
      </label>
      <progress id="download" max={Math.max(totalBytes, 1)} value={receivedBytes} />
    </div>
  );
}

function stateOf({ state, phase, paused }: Status): string {
  const inner = phase === null || phase === 'settled' ? '' : ` (${phase})`;
  return `${state}${inner}${paused ? ', paused' : ''}`;
}

function toneOf({ state, phase, paused }: Status): string {
  if (state === 'rollingBack') return 'bad';
  return state === 'running' && phase === 'settled' && !paused ? 'good' : 'busy';
}

/** The journal, and time travel: choose a fact, see the state then. */
import { useEffect, useState } from 'preact/hooks';
import { type Context, type Event, get, pathOf, type Replay } from './api.ts';
import { Moment } from './time.tsx';

/** The state after a fact; null for now. */
export function useReplay(at: number | null): { replay: Replay | null; problem: string | null } {
  const [replay, setReplay] = useState<Replay | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    setProblem(null);
    if (at === null) {
      setReplay(null);
      return;
    }
    const abort = new AbortController();
    get<Replay>(`api/replay?at=${at}`, abort.signal).then(setReplay, (error: Error) => {
      if (!abort.signal.aborted) setProblem(error.message);
    });
    return () => abort.abort();
  }, [at]);
  return { replay: at === null ? null : replay, problem };
}

type Props = {
  events: readonly Event[];
  at: number | null;
  replay: Replay | null;
  problem: string | null;
  onChoose: (at: number | null) => void;
  onOlder: () => void;
};

export function Journal({ events, at, replay, problem, onChoose, onOlder }: Props) {
  const newest = events.at(-1)?.seq ?? 0;
  const oldest = events[0]?.seq ?? 0;
  return (
    <section class="panel" aria-labelledby="journal-title">
      <h2 id="journal-title">The journal</h2>
      <p class="hint">
        Every fact that was ever journaled. Choose one to see the state as it was then.
      </p>
      <div class="travel">
        <label for="travel">Time travel</label>
        <input
          id="travel"
          type="range"
          min="1"
          max={Math.max(newest, 1)}
          value={at ?? newest}
          aria-valuetext={at === null ? 'now' : `fact ${at} of ${newest}`}
          onInput={(event) => {
            const chosen = Number(event.currentTarget.value);
            onChoose(chosen >= newest ? null : chosen);
          }}
        />
        <button type="button" disabled={at === null} onClick={() => onChoose(null)}>
          Back to now
        </button>
      </div>
      {problem !== null && <p class="callout trouble">{problem}</p>}
      {replay !== null && <Then replay={replay} />}
      <section class="scroll journal" aria-label="Facts, newest first">
        <ol reversed>
          {[...events].reverse().map((event) => (
            <li key={event.seq} value={event.seq} class={event.code === undefined ? '' : 'trouble'}>
              <button
                type="button"
                class={event.seq === at ? 'fact chosen' : 'fact'}
                aria-pressed={event.seq === at}
                onClick={() => onChoose(event.seq)}
              >
                <span class="seq">{event.seq}</span> <Moment at={event.at} />{' '}
                <code>{event.type}</code> <span>{event.text}</span>
              </button>
            </li>
          ))}
        </ol>
        {oldest > 1 && (
          <button type="button" onClick={onOlder}>
            Older facts
          </button>
        )}
      </section>
    </section>
  );
}

function Then({ replay: { seq, value, outstanding, context } }: { replay: Replay }) {
  return (
    <div class="then-card" data-testid="then">
      <h3>After fact {seq}</h3>
      <dl class="pairs">
        {[['State', pathOf(value)], ...pairs(context)].map(([name, text]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
        <div>
          <dt>At work</dt>
          <dd>{outstanding.length === 0 ? 'nothing' : outstanding.join(', ')}</dd>
        </div>
      </dl>
    </div>
  );
}

function pairs({
  current,
  previous,
  lastGood,
  candidate,
  denied,
  hold,
  paused,
  lastError,
}: Context): [string, string][] {
  return [
    ['Running', current?.version ?? 'none'],
    ['Previous', previous?.version ?? 'none'],
    ['Last good', lastGood?.version ?? 'none'],
    [
      'On its way',
      candidate === null ? 'nothing' : `${candidate.release.version}, try ${candidate.attempt}`,
    ],
    ['Denied', denied.length === 0 ? 'nothing' : denied.map(({ version }) => version).join(', ')],
    ['Held', hold?.version ?? 'nothing'],
    ['Paused', paused ? 'yes' : 'no'],
    ['Last error', lastError === null ? 'none' : `${lastError.message} [${lastError.code}]`],
  ];
}

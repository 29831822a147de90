/** The dashboard. */
import { render } from 'preact';
import { useState } from 'preact/hooks';
import { describeShownSource } from '../../report/source.ts';
import { Actions } from './actions.tsx';
import { pathOf } from './api.ts';
import { Journal, useReplay } from './journal.tsx';
import { useLive } from './live.ts';
import { Overview } from './overview.tsx';
import { Statechart } from './statechart.tsx';
import { Unlock } from './unlock.tsx';
import { Updates } from './updates.tsx';

function App() {
  const { isLive, locked, status, history, events, progress, loadOlder, reload } = useLive();
  const [at, setAt] = useState<number | null>(null);
  const { replay, problem } = useReplay(at);
  if (locked !== null) return <Unlock message={locked} onToken={reload} />;
  if (status === null)
    return <p class="loading">{isLive ? 'Loading …' : 'The updater does not answer yet …'}</p>;
  const now = events.at(-1)?.state ?? status.state;
  const source = describeShownSource(status.source);
  const then = replay === null ? null : pathOf(replay.value);
  return (
    <>
      <header>
        <h1>{status.repository ?? 'self-update'}</h1>
        <p>
          kept up to date{source === null ? '' : ` from ${source}`}, {status.strategy}; verified by{' '}
          {status.verify.length === 0 ? 'NOTHING' : status.verify.join(', ')}
        </p>
      </header>
      <main>
        <Overview status={status} progress={progress} isLive={isLive} />
        <Statechart state={then ?? now} way={history.way} isThen={then !== null} />
        <div class="column">
          <Updates updates={history.updates} />
          <Actions status={status} />
        </div>
        <Journal
          events={events}
          at={at}
          replay={replay}
          problem={problem}
          onChoose={setAt}
          onOlder={loadOlder}
        />
      </main>
      <footer>
        <p>
          {status.imageVersion === null ? 'not in a container' : `image ${status.imageVersion}`} ·{' '}
          <a href="api/openapi.json">API</a> · <a href="metrics">metrics</a>
        </p>
      </footer>
    </>
  );
}

const root = document.getElementById('app');
if (root !== null) render(<App />, root);

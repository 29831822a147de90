/** The operator's commands. The token stays in this tab. */
import { useState } from 'preact/hooks';
import { act, type Status, storedToken, storeToken } from './api.ts';

type Outcome = { ok: boolean; text: string } | null;

export function Actions({ status }: { status: Status }) {
  const [token, setToken] = useState(storedToken());
  const [tag, setTag] = useState('');
  const [outcome, setOutcome] = useState<Outcome>(null);
  const perform =
    (name: string, body: object = {}, question: string | null = null) =>
    async () => {
      if (question !== null && !window.confirm(question)) return;
      try {
        await act(name, body);
        setOutcome({
          ok: true,
          text: `“${name}” was handed over: what becomes of it is in the journal.`,
        });
      } catch (error) {
        setOutcome({ ok: false, text: `“${name}” was refused: ${(error as Error).message}` });
      }
    };
  const waiting = status.waitingFor?.reason === 'approval' ? status.target : null;
  return (
    <section class="panel" aria-labelledby="actions-title">
      <h2 id="actions-title">Actions</h2>
      <form class="row" onSubmit={(event) => event.preventDefault()}>
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          value={token}
          placeholder="UPDATE_HTTP_TOKEN"
          onInput={({ currentTarget: { value } }) => {
            storeToken(value);
            setToken(value);
          }}
        />
      </form>
      <div class="row">
        {waiting !== null && (
          <Action
            label={`Approve ${waiting}`}
            main
            onClick={perform('approve', { version: waiting })}
          />
        )}
        <Action label="Check now" onClick={perform('check')} />
        <Action label="Update now" onClick={perform('update')} />
        {status.waitingFor !== null && status.target !== null && (
          <Action
            label="Update whatever speaks against it"
            onClick={perform(
              'update',
              { force: true },
              `Interrupt the app now for ${status.target}?`,
            )}
          />
        )}
        {status.paused ? (
          <Action label="Resume" onClick={perform('resume')} />
        ) : (
          <Action label="Pause" onClick={perform('pause')} />
        )}
        <Action
          label="Restart the app"
          onClick={perform('restart', {}, 'Restart the app? It is down for a moment.')}
        />
        {status.hold !== null && (
          <Action
            label={`Release the hold of ${status.hold.version}`}
            onClick={perform('release')}
          />
        )}
        {status.fleet?.lock === 'kept' && (
          <Action label="Release the fleet" onClick={perform('fleet-release')} />
        )}
        {status.target !== null && (
          <Action
            label={`Deny ${status.target}`}
            onClick={perform('deny', { version: status.target })}
          />
        )}
        {status.denied.map(({ version, code }) =>
          code === 'DENIED_BY_ENVIRONMENT' ? null : (
            <Action
              key={version}
              label={`Retry ${version}`}
              onClick={perform('retry', { version })}
            />
          ),
        )}
      </div>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void perform('install', { tag }, `Install ${tag}, and hold it?`)();
        }}
      >
        <label for="tag">Install a tag</label>
        <input
          id="tag"
          value={tag}
          placeholder={status.previousTag ?? 'v1.2.3'}
          onInput={({ currentTarget: { value } }) => setTag(value)}
        />
        <button type="submit" disabled={tag === ''}>
          Install
        </button>
      </form>
      <p
        role="status"
        class={outcome === null ? 'outcome-line' : `outcome-line ${outcome.ok ? 'good' : 'bad'}`}
        data-testid="outcome"
      >
        {outcome?.text ?? ''}
      </p>
    </section>
  );
}

function Action({
  label,
  main = false,
  onClick,
}: {
  label: string;
  main?: boolean;
  onClick: () => void;
}) {
  return (
    <button type="button" class={main ? 'main' : ''} onClick={onClick}>
      {label}
    </button>
  );
}

/** Where the server wants a token for reading. */
import { useState } from 'preact/hooks';
import { storedToken, storeToken } from './api.ts';

export function Unlock({ message, onToken }: { message: string; onToken: () => void }) {
  const [token, setToken] = useState('');
  return (
    <main>
      <section class="panel" aria-labelledby="unlock-title">
        <h1 id="unlock-title">self-update</h1>
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            storeToken(token);
            onToken();
          }}
        >
          <label for="unlock">Token</label>
          <input
            id="unlock"
            type="password"
            autocomplete="off"
            value={token}
            placeholder="UPDATE_HTTP_TOKEN"
            onInput={({ currentTarget: { value } }) => setToken(value)}
          />
          <button type="submit" class="main" disabled={token === ''}>
            Show
          </button>
        </form>
        <p role="status" class="outcome-line bad">
          {storedToken() === '' ? '' : message}
        </p>
      </section>
    </main>
  );
}

/**
 * The server's events, kept as the page's state. It outlives a restart of the updater: the browser
 * comes back and resumes.
 */
import { useEffect, useReducer, useState } from 'preact/hooks';
import {
  type Event,
  get,
  type History,
  Locked,
  listen,
  type Progress,
  type Status,
} from './api.ts';

const PAGE = 100;
/**
 * A browser gives up on a server that answers, but not with events: while the updater starts, say.
 */
const RETRY_MS = 2000;

export type Live = {
  isLive: boolean;
  /** What the server says where it wants a token; null where it does not. */
  locked: string | null;
  status: Status | null;
  history: History;
  events: Event[];
  progress: Progress;
  loadOlder: () => void;
  /** Asks anew, with another token. */
  reload: () => void;
};

type State = Omit<Live, 'loadOlder' | 'reload'>;
type Change =
  | { kind: 'loaded'; events: Event[]; history: History; status: Status }
  | { kind: 'fact'; event: Event }
  | { kind: 'older'; events: Event[] }
  | { kind: 'history'; history: History }
  | { kind: 'status'; status: Status }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'live'; isLive: boolean }
  | { kind: 'locked'; message: string };

const NOTHING: State = {
  isLive: false,
  locked: null,
  status: null,
  history: { updates: [], way: [] },
  events: [],
  progress: null,
};

function reduce(state: State, change: Change): State {
  switch (change.kind) {
    case 'loaded':
      return {
        ...state,
        isLive: true,
        locked: null,
        events: change.events,
        history: change.history,
        status: change.status,
        progress: null,
      };
    case 'fact':
      // A resumed stream may tell again what was loaded.
      if (change.event.seq <= (state.events.at(-1)?.seq ?? 0)) return state;
      return { ...state, events: [...state.events, change.event] };
    case 'older':
      return { ...state, events: [...change.events, ...state.events] };
    case 'history':
      return { ...state, history: change.history };
    case 'status':
      return { ...state, status: change.status };
    case 'progress':
      return { ...state, progress: change.progress };
    case 'live':
      return { ...state, isLive: change.isLive };
    case 'locked':
      return { ...NOTHING, locked: change.message };
    default:
      return change satisfies never;
  }
}

export function useLive(): Live {
  const [state, change] = useReducer(reduce, NOTHING);
  const [tries, setTries] = useState(0);
  useEffect(() => new Connection(change).open(), [tries]);
  const loadOlder = async () => {
    const before = state.events[0]?.seq ?? 1;
    const { events } = await get<{ events: Event[] }>(`api/facts?before=${before}&limit=${PAGE}`);
    change({ kind: 'older', events });
  };
  return {
    ...state,
    loadOlder: () => void loadOlder().catch(() => {}),
    reload: () => setTries(tries + 1),
  };
}

class Connection {
  readonly #change: (change: Change) => void;
  readonly #closed = new AbortController();
  #retry: ReturnType<typeof setTimeout> | undefined;
  #asking = false;
  #askAgain = false;

  constructor(change: (change: Change) => void) {
    this.#change = change;
  }

  /** Returns what closes it. */
  open(): () => void {
    void this.#load();
    return () => {
      clearTimeout(this.#retry);
      this.#closed.abort();
    };
  }

  async #load(): Promise<void> {
    try {
      const [{ events, seq }, history, status] = await Promise.all([
        get<{ events: Event[]; seq: number }>(`api/facts?limit=${PAGE}`),
        get<History>('api/history'),
        get<Status>('api/status'),
      ]);
      this.#change({ kind: 'loaded', events, history, status });
      await this.#listen(seq);
      this.#later();
    } catch (error) {
      if (error instanceof Locked) this.#change({ kind: 'locked', message: error.message });
      else this.#later();
    }
  }

  #later(): void {
    if (this.#closed.signal.aborted) return;
    this.#change({ kind: 'live', isLive: false });
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#load(), RETRY_MS);
  }

  /** Resolves when the stream ends. */
  async #listen(seq: number): Promise<void> {
    for await (const { event, data } of listen(`api/events?after=${seq}`, this.#closed.signal)) {
      if (event === 'status') this.#change({ kind: 'status', status: JSON.parse(data) as Status });
      else if (event === 'progress')
        this.#change({ kind: 'progress', progress: JSON.parse(data) as Progress });
      else {
        this.#change({ kind: 'fact', event: JSON.parse(data) as Event });
        void this.#refreshHistory();
      }
    }
  }

  /** Facts come in bursts: one question at a time. */
  async #refreshHistory(): Promise<void> {
    this.#askAgain = true;
    if (this.#asking) return;
    this.#asking = true;
    while (this.#askAgain) {
      this.#askAgain = false;
      await get<History>('api/history').then(
        (history) => this.#change({ kind: 'history', history }),
        () => {},
      );
    }
    this.#asking = false;
  }
}

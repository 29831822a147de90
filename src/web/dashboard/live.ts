/** The server's events, kept as the page's state. It outlives a restart of the updater: the browser comes back and resumes. */
import { useEffect, useReducer } from 'preact/hooks';
import { type Event, get, type History, type Progress, type Status } from './api.ts';

const PAGE = 100;
/** A browser gives up on a server that answers, but not with events: while the updater starts, say. */
const RETRY_MS = 2000;

export type Live = {
  isLive: boolean;
  status: Status | null;
  history: History;
  events: Event[];
  progress: Progress;
  loadOlder: () => void;
};

type State = Omit<Live, 'loadOlder'>;
type Change =
  | { kind: 'loaded'; events: Event[]; history: History; status: Status }
  | { kind: 'fact'; event: Event }
  | { kind: 'older'; events: Event[] }
  | { kind: 'history'; history: History }
  | { kind: 'status'; status: Status }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'live'; isLive: boolean };

const NOTHING: State = { isLive: false, status: null, history: { updates: [], way: [] }, events: [], progress: null };

function reduce(state: State, change: Change): State {
  switch (change.kind) {
    case 'loaded':
      return { ...state, isLive: true, events: change.events, history: change.history, status: change.status, progress: null };
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
    default:
      return change satisfies never;
  }
}

export function useLive(): Live {
  const [state, change] = useReducer(reduce, NOTHING);
  useEffect(() => new Connection(change).open(), []);
  const loadOlder = async () => {
    const before = state.events[0]?.seq ?? 1;
    const { events } = await get<{ events: Event[] }>(`api/facts?before=${before}&limit=${PAGE}`);
    change({ kind: 'older', events });
  };
  return { ...state, loadOlder: () => void loadOlder().catch(() => {}) };
}

class Connection {
  readonly #change: (change: Change) => void;
  #source: EventSource | undefined;
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
      this.#source?.close();
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
      this.#listen(seq);
    } catch {
      this.#later();
    }
  }

  #later(): void {
    this.#change({ kind: 'live', isLive: false });
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#load(), RETRY_MS);
  }

  #listen(seq: number): void {
    const source = new EventSource(`api/events?after=${seq}`);
    this.#source = source;
    source.onopen = () => this.#change({ kind: 'live', isLive: true });
    source.onmessage = ({ data }) => {
      this.#change({ kind: 'fact', event: JSON.parse(data) as Event });
      void this.#refreshHistory();
    };
    source.addEventListener('status', ({ data }) => this.#change({ kind: 'status', status: JSON.parse(data) as Status }));
    source.addEventListener('progress', ({ data }) => this.#change({ kind: 'progress', progress: JSON.parse(data) as Progress }));
    source.onerror = () => {
      this.#change({ kind: 'live', isLive: false });
      if (source.readyState === EventSource.CLOSED) this.#later();
    };
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

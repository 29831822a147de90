/** What the runtime is given by the composition root. */
import type { Journal } from '../journal/journal.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { Effects } from '../machines/effects.ts';
import type { Policy, World } from '../machines/model.ts';
import type { Log } from '../support/log.ts';
import type { State } from './fold.ts';
import type { Trouble } from './outcomes.ts';

export type RuntimeOptions = {
  journal: Journal;
  effects: Effects;
  policy: Policy;
  inboxDir: string;
  pollIntervalMs: number;
  /** From the start of the runtime until the app is started whatever happens. */
  firstCheckTimeoutMs: number;
  /** When the next poll is due, wall clock; null for now. */
  nextPollAt: () => number | null;
  /** What polling met last; null when all was well. */
  pollTrouble: () => Trouble | null;
  observeWorld: () => Promise<World>;
  /** The highest version among the trees on disk; asked when a journal begins. */
  observeFloor: () => Promise<string | null>;
  /** Whether the app runs. */
  observeApp: (handsOver: boolean) => Promise<boolean>;
  /** How long ago the app exited unexpectedly, ms, each time since its last start. */
  exitAgesMs: () => number[];
  /**
   * Why a version ends again and again, if that can be found out; null where nothing is held for
   * the app.
   */
  explainCrash:
    | ((version: string, signal: AbortSignal) => Promise<{ code: string; message: string } | null>)
    | null;
  /** Whether the files of a version are still there. */
  isTreeThere: (path: string) => boolean;
  /** Whether the app's busy lock is there; looked at that often while an update waits for it. */
  isBusy: () => boolean;
  busyLookMs: number;
  now: () => number;
  random: () => number;
  log: Log;
  /** Told of every change, for progress, notifications, the inspector. */
  onRecord: (record: JournalRecord, state: State) => void;
  /** What no fact may contain. */
  secrets: () => readonly string[];
};

/** What every route is given. */

import { Fault } from '../support/fault.ts';
import type { Log } from '../support/log.ts';
import type { Changes, UpdaterView } from './updater-view.ts';

export type Progress = { receivedBytes: number; totalBytes: number };

export type WebContext = {
  /** Null until the journal is open. */
  view: () => UpdaterView | null;
  changes: Changes;
  /** Of the download that runs; null when none does. */
  progress: () => Progress | null;
  repository: string;
  isAppUp: () => Promise<boolean>;
  programVersion: string;
  token: () => string | null;
  /** Whether a token was set when the updater began: an emptied file is told as that. */
  hasToken: boolean;
  /** UPDATE_HTTP_READ=token. */
  readingNeedsToken: boolean;
  /** The app's user, where that is another one than ours. */
  appUid: number | null;
  /** Null also while a secret's file is empty: that opens nothing. */
  webhookSecret: () => string | null;
  takesWebhooks: boolean;
  pollIntervalMs: number;
  hosts: readonly string[];
  log: Log;
  /** Aborts when the server ends. */
  ending: AbortSignal;
};

/** The updater, or a fault that becomes 503: its journal can't be opened, or is being opened. */
export function viewOf({ view }: WebContext): UpdaterView {
  const found = view();
  if (found === null)
    throw new Fault(
      'STARTING',
      'the updater has not opened its journal yet: the log says why if this stays so',
    );
  return found;
}

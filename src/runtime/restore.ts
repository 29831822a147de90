/**
 * The state as the journal has it: from the newest checkpoint and the facts after it, or from all
 * facts.
 */
import type { Checkpoint, Journal } from '../journal/journal.ts';
import type { JournalRecord } from '../journal/record.ts';
import { deserializeState, replay, type State } from './fold.ts';

/** The state from the newest checkpoint and the facts after it, or from all facts. */
export function restore(journal: Journal): { state: State | null; seq: number } {
  return restoreFrom(journal.checkpoint(), (after) => journal.read(after));
}

/** `read` gives the facts after a seq, as far as the caller wants them. */
export function restoreFrom(
  checkpoint: Checkpoint | null,
  read: (after: number) => JournalRecord[],
): { state: State | null; seq: number } {
  const from = checkpoint && readCheckpoint(checkpoint.state);
  // A checkpoint only saves time: one that another version of this program wrote is not needed.
  if (checkpoint === null || from === null) return { state: replay(read(0)), seq: 0 };
  return { state: replay(read(checkpoint.seq), from), seq: checkpoint.seq };
}

function readCheckpoint(text: string): State | null {
  try {
    return deserializeState(text);
  } catch {
    return null;
  }
}

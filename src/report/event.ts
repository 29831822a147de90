/** A fact as `events` and the API tell it. Pure. */
import type { JournalRecord } from '../journal/record.ts';
import { shownState } from '../machines/shown.ts';
import type { State } from '../runtime/fold.ts';
import { visible } from '../support/visible.ts';
import { describeFact, formatTime } from './words.ts';

export type Event = { seq: number; at: string | null; type: string };

export function eventOf({ seq, at, fact }: JournalRecord): Event {
  const { type, ...body } = fact;
  return { seq, at: formatTime(at), type, ...body };
}

export function eventLine(record: JournalRecord, json: boolean): string {
  if (json) return JSON.stringify(eventOf(record));
  const { seq, at, fact } = record;
  return `${String(seq).padStart(5)}  ${formatTime(at)}  ${fact.type.padEnd(20)}  ${visible(describeFact(fact))}`;
}

/** What `replay` leads to. */
export function replaySummary(seq: number, { snapshot, effects }: State) {
  const { state, phase } = shownState(snapshot);
  return {
    seq,
    state,
    value: phase === null ? state : { [state]: phase },
    outstanding: [...effects.keys()],
    context: snapshot.context,
  };
}

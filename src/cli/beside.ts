/**
 * A command beside an updater: handed over by the inbox, and followed until the updater has noted
 * what became of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { identityOf } from '../effects/sources/conditional.ts';
import { LOOP, type Loop } from '../effects/supervisor/container.ts';
import { inboxDir, stateDir } from '../effects/trees.ts';
import { Journal } from '../journal/journal.ts';
import type { Lock } from '../journal/lock.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { OperatorFact } from '../machines/facts.ts';
import { isLimitInForce } from '../machines/pacing.ts';
import { isLimitOf, type PollNote, pollNoteSchema } from '../machines/poll-note.ts';
import { eventLine } from '../report/event.ts';
import { describeFact } from '../report/words.ts';
import type { State } from '../runtime/fold.ts';
import { commandFile, isPending, remove, submit } from '../runtime/inbox.ts';
import { isQuick, judge, type Outcome, readTaken, type TakenCommand } from '../runtime/outcomes.ts';
import { restore } from '../runtime/restore.ts';
import { Fault } from '../support/fault.ts';
import { visible } from '../support/visible.ts';
import type { Arguments } from './arguments.ts';
import { readPollNote } from './notes.ts';
import type { Parts } from './parts.ts';
import { Absence, becomeUpdater, isAtWork, wakeUpdater } from './presence.ts';
import { readState } from './read.ts';

/** An updater that is awake takes a command within milliseconds. */
const TAKEN_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 100;
/**
 * So many looks in a row at an updater that rests, and has noted nothing. One of an older version
 * notes nothing ever; what polling learnt is written a moment before what it found is a fact, so it
 * is looked at twice. Any other notes it, unless its journal takes no note.
 */
const RESTS_OF_OLDER = 2;
const RESTS_WITHOUT_NOTE = 300;
/**
 * So many at a command that was left open, with nobody at work: a container's loop that sleeps is
 * woken then, and its next run goes on with it. One that is about to start a run does so by itself.
 */
const RESTS_UNTIL_WOKEN = 10;

/** `lock`: there is no updater any more, and the command is to be done by whoever gave it. */
export type HandedOver = { outcome: Outcome } | { lock: Lock };

export async function besideUpdater(
  fact: OperatorFact,
  args: Arguments,
  parts: Parts,
  signal: AbortSignal,
  loop: Loop = LOOP,
): Promise<HandedOver> {
  const directory = inboxDir(parts.places);
  const { seq } = readState(parts);
  const startedAt = Date.now();
  const id = submit(directory, fact);
  wakeUpdater(parts, loop);
  const absence = new Absence(parts, loop);
  const deadline = performance.now() + TAKEN_WITHIN_MS;
  while (isPending(directory, id) && takenOf(parts, id) === null) {
    const lock = (await absence.look()) ? await becomeUpdater(parts, loop) : null;
    if (lock !== null) {
      // It ended before it saw the command.
      if (isPending(directory, id)) {
        remove(commandFile(directory, id));
        return { lock };
      }
      lock.release();
      break;
    }
    if (performance.now() > deadline && readState(parts).state?.snapshot.hasTag('resting'))
      throw new Fault(
        'NOT_TAKEN',
        'the updater does not take commands: is it stopped? The command stays in the inbox',
      );
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch((aborted: unknown) => {
      // Withdrawn, as long as nobody has it.
      remove(commandFile(directory, id));
      throw aborted;
    });
  }
  const given = { id, fact, startedAt, seq, wake: () => wakeUpdater(parts, loop) };
  return { outcome: await follow(given, args, parts, absence, signal) };
}

/** `seq`: the newest fact from before it was given. */
type Given = {
  id: string;
  fact: OperatorFact;
  startedAt: number;
  seq: number;
  wake: () => void;
};

async function follow(
  given: Given,
  args: Arguments,
  parts: Parts,
  absence: Absence,
  signal: AbortSignal,
): Promise<Outcome> {
  const { id, fact } = given;
  let { seq } = given;
  let looksAtRest = 0;
  for (;;) {
    // First: whoever is gone by now has written everything that the next look sees.
    const isGone = await absence.look();
    const isNobodyAtWork = !isAtWork(parts);
    const { taken, records, state, note } = look(parts, id, seq);
    if (!isQuick(fact.type)) for (const record of records) say(record, args);
    seq = records.at(-1)?.seq ?? seq;
    if (taken?.outcome) return taken.outcome;
    if (state === null) throw new Fault('JOURNAL_MISSING', 'nothing was recorded');
    const judged = () =>
      judge(
        {
          type: fact.type,
          tag: fact.type === 'installRequested' ? fact.tag : null,
          since: given.startedAt,
        },
        state.snapshot.context,
        note.lastError,
      );
    if (taken === null && isQuick(fact.type)) return judged();
    const rests = state.snapshot.hasTag('resting');
    const isUpdate = fact.type === 'updateRequested';
    if (isGone) {
      // What a command left behind is told by the state; whether a check was made to its end is
      // not.
      if (rests && (taken === null || !isUpdate)) return judged();
      throw new Fault(
        'UPDATER_GONE',
        'the updater ended in the middle of it: start it again, and it resumes',
      );
    }
    const isChecked = !isUpdate || checkBegunAt(note) >= given.startedAt || isLimited(note, parts);
    const mayBeDone = rests && (isChecked || taken === null || isNobodyAtWork);
    looksAtRest = mayBeDone && records.length === 0 ? looksAtRest + 1 : 0;
    if (looksAtRest === RESTS_UNTIL_WOKEN && isNobodyAtWork) given.wake();
    const isOlder = taken === null && isChecked;
    if (looksAtRest >= (isOlder ? RESTS_OF_OLDER : RESTS_WITHOUT_NOTE)) {
      if (isChecked) return judged();
      throw new Fault(
        'NOT_NOTED',
        "the updater took the command, and can't note what became of it: is the disk full? See its log",
      );
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** When the last check began, wall clock: one that was on its way already is not a command's own. */
function checkBegunAt({ lastSuccessAt, lastError }: PollNote): number {
  return Math.max(lastSuccessAt ?? 0, lastError?.at ?? 0);
}

/** While a limit is in force nobody is asked. */
function isLimited(note: PollNote, parts: Parts): boolean {
  return (
    isLimitInForce(note.limitedUntilAt, Date.now()) &&
    isLimitOf(note, identityOf(parts.config.token(), parts.config.source.url))
  );
}

function say(record: JournalRecord, args: Arguments): void {
  process.stderr.write(
    `${args.json ? eventLine(record, true) : `update: ${visible(describeFact(record.fact))}`}\n`,
  );
}

function takenOf({ places }: Parts, id: string): TakenCommand | null {
  const journal = Journal.openForReading(stateDir(places));
  try {
    return journal && readTaken(journal, id);
  } finally {
    journal?.close();
  }
}

type Look = {
  taken: TakenCommand | null;
  records: JournalRecord[];
  state: State | null;
  note: PollNote;
};

/**
 * What the journal says by now: of the command, then since `after`, then in all, so that no fact is
 * missed which led to an outcome.
 */
function look({ places }: Parts, id: string, after: number): Look {
  const journal = Journal.openForReading(stateDir(places));
  if (journal === null)
    return { taken: null, records: [], state: null, note: pollNoteSchema.parse({}) };
  try {
    const taken = readTaken(journal, id);
    return {
      taken,
      records: journal.read(after),
      state: restore(journal).state,
      note: readPollNote(journal),
    };
  } finally {
    journal.close();
  }
}

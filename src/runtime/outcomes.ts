/**
 * What became of each command, noted under its id: who gave it reads that, instead of guessing from
 * the state. A command is noted when it is taken, before its file goes, and once more when the
 * updater rests after it. A kill in between leaves it open, and the next updater goes on with it.
 * The note lies beside the facts, in the journal's file: it is told, and nothing follows from it.
 */
import * as z from 'zod';
import type { Journal } from '../journal/journal.ts';
import type { Context } from '../machines/context.ts';
import { operatorFactTypes } from '../machines/facts.ts';
import { lockTroubleOf } from '../machines/fleet.ts';
import type { Log } from '../support/log.ts';
import { redactJson } from '../support/redact.ts';
import { CHECK_NOW, type Command, submittedAt } from './inbox.ts';

const NOTE = 'commands';
/** Older ones were read long ago. A few hundred bytes each. */
const MAX_REMEMBERED = 64;

export const outcomeSchema = z.object({
  /** Whether that was done which was asked for, also where there was nothing to do. */
  ok: z.boolean(),
  /** The version that was named is there, and runs as soon as it may. */
  comesLater: z.boolean(),
  /** What was current then. */
  version: z.string().nullable(),
  tag: z.string().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type Outcome = z.infer<typeof outcomeSchema>;

const takenSchema = z.object({
  id: z.string(),
  type: z.enum([...operatorFactTypes, CHECK_NOW]),
  /** What `install` named. */
  tag: z.string().nullable(),
  /** When it was given, wall clock: trouble from before is not its own. */
  since: z.number(),
  /** Null until the updater rests after it. */
  outcome: outcomeSchema.nullable(),
});
export type TakenCommand = z.infer<typeof takenSchema>;
/** What an outcome is judged by. */
export type Asked = Pick<TakenCommand, 'type' | 'tag' | 'since'>;

export type Trouble = { code: string; message: string; at: number };

/** These change what is remembered, and need nothing done. */
const QUICK = new Set<TakenCommand['type']>([
  'paused',
  'resumed',
  'versionDenied',
  'versionRetried',
  'holdReleased',
]);

export const isQuick = (type: TakenCommand['type']): boolean => QUICK.has(type);

/**
 * What became of a command, by what is remembered after it. `pollTrouble`: what polling met last.
 */
export function judge(
  { type, tag, since }: Asked,
  context: Context,
  pollTrouble: Trouble | null,
): Outcome {
  const { current, hold, lastError, candidate } = context;
  const lockTrouble = type === 'fleetReleaseRequested' ? lockTroubleOf(context, since) : null;
  const troubles = isQuick(type)
    ? []
    : [lastError, pollTrouble, lockTrouble]
        .filter((trouble) => trouble !== null)
        .filter(({ at }) => at >= since);
  const problem = troubles.sort((a, b) => b.at - a.at)[0] ?? null;
  const ok = problem === null && !(type === 'installRequested' && isAnotherHeld(tag, hold));
  return {
    ok,
    comesLater: !ok && problem === null && candidate?.byOperator === true,
    version: current?.version ?? null,
    tag: current?.tag ?? null,
    error: problem && { code: problem.code, message: problem.message },
  };
}

/** Whether something else is held than what was asked for. */
function isAnotherHeld(wanted: string | null, hold: Context['hold']): boolean {
  return (
    hold === null ||
    (wanted !== null && hold.tag !== wanted && hold.version !== wanted.replace(/^v(?=\d)/, ''))
  );
}

/**
 * What is noted of a command; null for one that nobody took, that was long ago, or that was taken
 * by a version which notes nothing.
 */
export function readTaken(journal: Journal, id: string): TakenCommand | null {
  return readAll(journal).find((taken) => taken.id === id) ?? null;
}

function readAll(journal: Journal): TakenCommand[] {
  return z
    .array(takenSchema)
    .catch([])
    .parse(JSON.parse(journal.readNote(NOTE) ?? '[]'));
}

export type OutcomesOptions = {
  journal: Journal;
  now: () => number;
  log: Log;
  secrets: () => readonly string[];
  /** What polling met last. */
  pollTrouble: () => Trouble | null;
};

/** The writer's side: of the one updater there is. */
export class Outcomes {
  readonly #options: OutcomesOptions;
  #taken: TakenCommand[] = [];

  constructor(options: OutcomesOptions) {
    this.#options = options;
    try {
      this.#taken = readAll(options.journal);
    } catch (error) {
      options.log.debug(
        `what became of earlier commands can't be read: ${(error as Error).message}`,
      );
    }
  }

  /**
   * Whether a check was asked for by a command that is still open: its file is gone, so the next
   * updater knows it from here.
   */
  get awaitCheck(): boolean {
    return this.#taken.some(
      ({ type, outcome }) => outcome === null && (type === 'updateRequested' || type === CHECK_NOW),
    );
  }

  /**
   * Before the file of the command goes: that it is gone, and not noted, tells of an updater that
   * notes nothing.
   */
  take({ id, fact }: Pick<Command, 'id' | 'fact'>, context: Context): void {
    // Noted before a crash that left the file.
    if (this.#taken.some((taken) => taken.id === id)) return;
    const asked: Asked = {
      type: (fact?.type ?? CHECK_NOW) as Asked['type'],
      tag: fact?.type === 'installRequested' ? fact.tag : null,
      since: submittedAt(id) ?? this.#options.now(),
    };
    this.#write(() => [
      ...this.#taken,
      { id, ...asked, outcome: isQuick(asked.type) ? judge(asked, context, null) : null },
    ]);
  }

  /** The updater rests: what was open is done, or will not be. */
  settle(context: Context): void {
    if (this.#taken.every(({ outcome }) => outcome !== null)) return;
    this.#write(() => {
      const trouble = this.#options.pollTrouble();
      return this.#taken.map((taken) =>
        taken.outcome === null ? { ...taken, outcome: judge(taken, context, trouble) } : taken,
      );
    });
  }

  /**
   * What can't be noted keeps nobody from an update: whoever waits for it looks at the state then.
   */
  #write(change: () => TakenCommand[]): void {
    const { journal, log, secrets } = this.#options;
    try {
      const taken = redactJson(change().slice(-MAX_REMEMBERED), secrets());
      journal.writeNote(NOTE, JSON.stringify(taken));
      this.#taken = taken;
    } catch (error) {
      log.debug(`what became of a command could not be noted: ${(error as Error).message}`);
    }
  }
}

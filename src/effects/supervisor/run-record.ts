/**
 * state/app.json of the embedded supervisor: which app was started, by tree, pid and start time.
 * The app has this very file open, so that it is also a sign by which the app is found again.
 */
import { closeSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { MAX_NOTE_BYTES } from '../../support/bounded.ts';
import { openOwnForReading, readOwn, writeOwn } from '../../support/own.ts';
import {
  groupMembers,
  holdersOf,
  type ProcessInfo,
  processInfo,
  processSpace,
} from './process-table.ts';
import type { SlotName } from './supervisor.ts';

/** The app has its record open as this descriptor: none that a program expects something of. */
export const RECORD_FD = 19;

/** The tree is written before the start, the rest right after it. */
const runRecordSchema = z.object({
  tree: z.string(),
  pid: z.number().int().min(2).optional(),
  startTime: z.string().optional(),
  space: z.string().optional(),
});
type RunRecord = z.infer<typeof runRecordSchema>;

/** `directory`: UPDATE_DIR. */
export function runRecordFile(directory: string, slot: SlotName): string {
  return path.join(directory, 'state', `${slot}.json`);
}

export class RunRecordFile {
  readonly #file: string;
  readonly #log: (message: string) => void;

  /** `directory`: UPDATE_DIR. `slot`: the place of the copy, `app` or `app2`. */
  constructor(directory: string, slot: SlotName, log: (message: string) => void) {
    this.#file = runRecordFile(directory, slot);
    this.#log = log;
  }

  /**
   * Written in place, since the app holds this very file. A full disk must not make that a failed
   * start.
   */
  write(record: RunRecord): void {
    try {
      mkdirSync(path.dirname(this.#file), { recursive: true, mode: 0o700 });
      writeOwn(this.#file, JSON.stringify(record), this.#log);
    } catch (error) {
      this.#log(`${this.#file} could not be written: ${(error as Error).message}`);
    }
  }

  /** A descriptor for the app to hold, or null: then the other signs have to do. */
  open(): number | null {
    try {
      return openOwnForReading(this.#file);
    } catch {
      return null;
    }
  }

  /**
   * The processes that hold the record or are recorded, each with the recorded tree; '' where none
   * is known.
   */
  processes(): (ProcessInfo & { tree: string })[] {
    const record = this.#read();
    return [...this.#holders(), ...recorded(record)].map((found) => ({
      ...found,
      tree: record?.tree ?? '',
    }));
  }

  #read(): RunRecord | null {
    try {
      const parsed = runRecordSchema.safeParse(
        JSON.parse(readOwn(this.#file, MAX_NOTE_BYTES).toString('utf8')),
      );
      return parsed.success ? parsed.data : null;
    } catch {
      return null;
    }
  }

  #holders(): ProcessInfo[] {
    const opened = this.open();
    if (opened === null) return [];
    try {
      return holdersOf(opened, RECORD_FD);
    } finally {
      closeSync(opened);
    }
  }
}

/**
 * The recorded process, and what is left of its group. A number that was given away anew since then
 * is not taken for it.
 */
function recorded(record: RunRecord | null): ProcessInfo[] {
  if (
    record?.pid === undefined ||
    record.startTime === undefined ||
    record.space !== processSpace()
  )
    return [];
  const { pid, startTime } = record;
  const leader = processInfo(pid);
  if (leader !== null && leader.startTime !== startTime) return [];
  const group = groupMembers(pid).flatMap((member) => processInfo(member) ?? []);
  return group.filter(
    (member) => !member.isZombie && Number(member.startTime) >= Number(startTime),
  );
}

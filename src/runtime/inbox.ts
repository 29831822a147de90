/** The operators' inbox: one file a command, placed by rename, taken in as a fact, then removed. */
import { randomUUID } from 'node:crypto';
import {
  chownSync,
  type Dir,
  existsSync,
  type FSWatcher,
  opendirSync,
  renameSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { type Fact, operatorFactTypes, parseFact } from '../machines/facts.ts';
import { Fault, isErrno } from '../support/fault.ts';
import type { Log } from '../support/log.ts';
import { readOwn, setAside, setForeignAside, userId } from '../support/own.ts';
import { makePrivate } from '../support/private.ts';

/** A command that is no fact: it only asks for a check now. */
export const CHECK_NOW = 'checkNow';
/** A command is a few words. */
const MAX_COMMAND_BYTES = 64 * 1024;
/** So many names are looked at in one go; the rest are seen once these are gone. */
const MAX_NAMES = 10_000;

const commandSchema = z.looseObject({ type: z.enum([...operatorFactTypes, CHECK_NOW]) });

export type Command = { id: string; file: string; fact: Fact | null };

/** Places a command; the id tells its fate from the journal. */
export function submit(directory: string, command: Fact | { type: typeof CHECK_NOW }): string {
  const text = JSON.stringify(command);
  // What would be set aside when it is read is not written.
  if (Buffer.byteLength(text) > MAX_COMMAND_BYTES)
    throw new Fault(
      'COMMAND_REFUSED',
      `the command has more than ${MAX_COMMAND_BYTES} bytes: a tag or a path is much shorter`,
    );
  makePrivate(directory);
  const id = `${Date.now()}-${randomUUID()}`;
  const temporary = path.join(directory, `.${id}.tmp`);
  writeFileSync(temporary, text, { flag: 'wx', mode: 0o600 });
  // By root, as `docker exec -u 0` has it, for an updater that is another user: it could not read
  // it.
  const { uid, gid } = statSync(directory);
  if (userId() === 0 && uid !== 0) chownSync(temporary, uid, gid);
  renameSync(temporary, commandFile(directory, id));
  return id;
}

/** When a command was placed, wall clock; null where somebody else chose its name. */
export function submittedAt(id: string): number | null {
  const at = /^(\d{13})-/.exec(id)?.[1];
  return at === undefined ? null : Number(at);
}

export function commandFile(directory: string, id: string): string {
  return path.join(directory, `${id}.json`);
}

export function isPending(directory: string, id: string): boolean {
  return existsSync(commandFile(directory, id));
}

/** The inbox as its updater sees it. */
export class Inbox {
  readonly #directory: string;
  readonly #log: Log;
  /** Commands that were taken, and whose files could not be removed. */
  readonly #stuck = new Set<string>();

  constructor(directory: string, log: Log) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Oldest first. What is no command is removed. */
  pending(): Command[] {
    const reject = (file: string, reason: string) => {
      this.#log.warn(`${file} is not a valid command (${reason}); it is removed [COMMAND_REFUSED]`);
      this.remove(file);
    };
    return pendingCommands(this.#directory, (file) => this.#stuck.has(file), reject);
  }

  /** A file that can't be removed must not be taken in for ever. */
  remove(file: string): void {
    try {
      remove(file);
    } catch (error) {
      this.#stuck.add(file);
      this.#log.warn(
        `${file} can't be removed, and is ignored from now on: ${(error as Error).message} [COMMAND_REFUSED]`,
      );
    }
  }

  /** Null where it can't be watched. */
  watch(onChange: () => void): FSWatcher | null {
    const { warn } = this.#log;
    try {
      prepareInbox(this.#directory, warn);
      const watcher = watch(this.#directory, onChange);
      watcher.on('error', (error) =>
        warn(
          `the inbox is no longer watched, so commands wait for the next check: ${error.message}`,
        ),
      );
      return watcher;
    } catch (error) {
      warn(
        `the inbox can't be watched, so commands wait for the next check: ${(error as Error).message}`,
      );
      return null;
    }
  }
}

/**
 * What is in the inbox, oldest first. Files that say nothing sensible are handed to `reject`.
 * `isDone`: what is not looked at again.
 */
export function pendingCommands(
  directory: string,
  isDone: (file: string) => boolean,
  reject: (file: string, reason: string) => void,
): Command[] {
  return commandNames(directory).flatMap((name) => {
    const file = path.join(directory, name);
    if (isDone(file)) return [];
    try {
      const { type, ...body } = commandSchema.parse(
        JSON.parse(readOwn(file, MAX_COMMAND_BYTES).toString('utf8')),
      );
      return [
        {
          id: path.basename(name, '.json'),
          file,
          fact: type === CHECK_NOW ? null : parseFact(type, 1, body),
        },
      ];
    } catch (error) {
      reject(file, (error as Error).message.split('\n')[0] ?? '');
      return [];
    }
  });
}

function commandNames(directory: string): string[] {
  const names: string[] = [];
  using entries = openDirectory(directory);
  if (entries === null) return [];
  for (let seen = 0; seen < MAX_NAMES; seen++) {
    const name = entries.readSync()?.name;
    if (name === undefined) break;
    if (name.endsWith('.json') && !name.startsWith('.')) names.push(name);
  }
  return names.sort();
}

/** Null where there is none that may be read: that is said by whoever prepares it. */
function openDirectory(directory: string): Dir | null {
  try {
    return opendirSync(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM')) return null;
    throw error;
  }
}

/**
 * Makes the inbox. Something else that bears its name is moved out of the way, and `told`. Throws
 * what the file system says.
 */
export function prepareInbox(directory: string, told: (message: string) => void): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === false) {
    const aside = setAside(directory);
    told(
      `${directory} was not a directory, and was ${aside === null ? 'removed' : `moved to ${aside}`} [COMMAND_REFUSED]`,
    );
  }
  setForeignAside(directory, path.dirname(directory), told);
  makePrivate(directory);
}

/**
 * A directory of that name is moved out of the way. Throws where the file system takes no change.
 */
export function remove(file: string): void {
  setAside(file);
}

/** The operators' inbox: one file a command, placed by rename, taken in as a fact, then removed. */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { type Fact, operatorFactTypes, parseFact } from '../machines/facts.ts';
import { makePrivate } from '../support/private.ts';

/** A command that is no fact: it only asks for a check now. */
const CHECK_NOW = 'checkNow';
/** A command is a few words. */
const MOST_COMMAND_BYTES = 64 * 1024;

const commandSchema = z.looseObject({ type: z.enum([...operatorFactTypes, CHECK_NOW]) });

export type Command = { id: string; file: string; fact: Fact | null };

/** Places a command; the id tells its fate from the journal. */
export function submit(directory: string, command: Fact | { type: typeof CHECK_NOW }): string {
  makePrivate(directory);
  const id = `${Date.now()}-${randomUUID()}`;
  const temporary = path.join(directory, `.${id}.tmp`);
  writeFileSync(temporary, JSON.stringify(command), { mode: 0o600 });
  renameSync(temporary, commandFile(directory, id));
  return id;
}

export function commandFile(directory: string, id: string): string {
  return path.join(directory, `${id}.json`);
}

export function isPending(directory: string, id: string): boolean {
  return existsSync(commandFile(directory, id));
}

/** What is in the inbox, oldest first. Files that say nothing sensible are handed to `reject`. `isDone`: what is not looked at again. */
export function pendingCommands(directory: string, isDone: (file: string) => boolean, reject: (file: string, reason: string) => void): Command[] {
  return commandNames(directory).flatMap((name) => {
    const file = path.join(directory, name);
    if (isDone(file)) return [];
    try {
      const text = readFileSync(file, 'utf8');
      if (text.length > MOST_COMMAND_BYTES) throw new Error('it is too long');
      const { type, ...body } = commandSchema.parse(JSON.parse(text));
      return [{ id: path.basename(name, '.json'), file, fact: type === CHECK_NOW ? null : parseFact(type, 1, body) }];
    } catch (error) {
      reject(file, (error as Error).message.split('\n')[0] ?? '');
      return [];
    }
  });
}

function commandNames(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
    .sort();
}

/** A directory of that name goes too. Throws where the file system takes no change. */
export function remove(file: string): void {
  rmSync(file, { force: true, recursive: true });
}

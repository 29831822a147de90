import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { openJournal } from '../../src/cli/open-journal.ts';
import type { Places } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { policy, world } from '../support/machine.ts';

let places: Places;
let directory: string;
let said: string[];
const log = { info: () => {}, debug: () => {}, warn: (message: string) => void said.push(message) };
beforeEach(() => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'open-journal-'));
  places = {
    root,
    bakedDir: path.join(root, 'baked'),
    repository: 'acme/app',
    versioning: 'semver',
    tagPrefix: '',
  };
  directory = path.join(root, 'state');
  said = [];
  const journal = Journal.open(directory);
  for (const fact of [
    { type: 'initialized', policy, world: world() },
    { type: 'nothingNewer' },
  ] as const)
    journal.append(fact, { at: 1, effect: null, command: null });
  journal.close();
});
afterEach(() => rmSync(places.root, { recursive: true }));

function edit(sql: string): void {
  const db = new DatabaseSync(Journal.path(directory));
  db.exec(sql);
  db.close();
}

/** Files of the directory that this process holds open. */
function held(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${fd}`);
      return file.startsWith(directory) ? [path.basename(file)] : [];
    } catch {
      return [];
    }
  });
}

describe('opening the journal', () => {
  it('leaves nothing open when it is refused, however often that is tried', {
    skip: process.platform !== 'linux' && 'needs /proc',
  }, async () => {
    edit("UPDATE facts SET type = 'appTeleported' WHERE seq = 2");
    // The chain does not hold any more, so the damaged one is set aside; the new one is the
    // caller's.
    (await openJournal(places, log)).close();
    assert.match(said.join(), /JOURNAL_CORRUPT/);
    edit('PRAGMA user_version = 99');
    for (let i = 0; i < 3; i++)
      await assert.rejects(openJournal(places, log), { code: 'JOURNAL_NEWER' });
    assert.deepEqual(held(), []);
  });

  it('passes over the write-ahead log that a crash left while a damaged journal was set aside', async () => {
    const journal = Journal.open(directory);
    journal.append({ type: 'nothingNewer' }, { at: 2, effect: null, command: null });
    const wal = `${Journal.path(directory)}-wal`;
    copyFileSync(wal, `${wal}.left`);
    journal.close();
    renameSync(Journal.path(directory), path.join(directory, 'aside'));
    renameSync(`${wal}.left`, wal);
    const next = await openJournal(places, log);
    assert.deepEqual(next.read(), []);
    next.close();
  });
});

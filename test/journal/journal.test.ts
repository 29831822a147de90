import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Journal } from '../../src/journal/journal.ts';
import { acquireLock, isLocked } from '../../src/journal/lock.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { policy, world } from '../support/machine.ts';

let directory: string;
beforeEach(() => {
  directory = path.join(mkdtempSync(path.join(os.tmpdir(), 'journal-')), 'state');
});
afterEach(() => rmSync(path.dirname(directory), { recursive: true, force: true }));

const FIRST: Fact = { type: 'initialized', policy, world: world() };
const META = { at: 1_700_000_000_000, effect: null, command: null };

function filled(count: number): Journal {
  const journal = Journal.open(directory);
  journal.append(FIRST, META);
  for (let i = 1; i < count; i++) journal.append({ type: 'nothingNewer' }, META);
  return journal;
}

function edit(sql: string): void {
  const db = new DatabaseSync(Journal.path(directory));
  db.exec(sql);
  db.close();
}

const corrupt = (error: Error) => (error as { code?: string }).code === 'JOURNAL_CORRUPT';

describe('the journal', () => {
  it('gives back what was appended, in order, numbered from 1', () => {
    const journal = filled(3);
    assert.deepEqual(
      journal.read().map(({ seq, fact }) => [seq, fact.type]),
      [
        [1, 'initialized'],
        [2, 'nothingNewer'],
        [3, 'nothingNewer'],
      ],
    );
    assert.deepEqual(
      journal.read(2).map(({ seq }) => seq),
      [3],
    );
    journal.close();
  });

  it('is for the eyes of its user only', () => {
    filled(1).close();
    assert.equal(statSync(directory).mode & 0o777, 0o700);
  });

  it('can be read by others while it is written', () => {
    const writer = filled(1);
    const reader = Journal.openForReading(directory);
    assert.ok(reader);
    writer.append({ type: 'paused' }, META);
    assert.equal(reader.read().length, 2);
    reader.close();
    writer.close();
  });

  for (const [title, sql] of [
    ['a fact was edited', `UPDATE facts SET body = '{"x":1}' WHERE seq = 2`],
    ['a time was edited', 'UPDATE facts SET at = at + 1 WHERE seq = 2'],
    ['a fact is missing', 'DELETE FROM facts WHERE seq = 2'],
    [
      'facts were swapped',
      'UPDATE facts SET seq = 99 WHERE seq = 2; UPDATE facts SET seq = 2 WHERE seq = 3; UPDATE facts SET seq = 3 WHERE seq = 99',
    ],
    ['a fact of a newer program is in it', "UPDATE facts SET type = 'teleported' WHERE seq = 2"],
  ] as const) {
    it(`notices that ${title}`, () => {
      filled(3).close();
      edit(sql);
      const journal = Journal.open(directory);
      assert.throws(() => journal.read(), corrupt);
      journal.close();
    });
  }

  it('notices a file that is no journal, and one that was cut', () => {
    filled(200).close();
    const file = Journal.path(directory);
    copyFileSync(file, `${file}.whole`);
    truncateSync(file, 5000);
    assert.throws(() => {
      const journal = Journal.open(directory);
      try {
        journal.read();
      } finally {
        journal.close();
      }
    }, corrupt);
    writeFileSync(
      file,
      'this is no database, but it is long enough to be looked at as if it were one'.repeat(20),
    );
    assert.throws(() => Journal.open(directory), corrupt);
  });

  it('is set aside whole when damaged', () => {
    filled(1).close();
    const before = readFileSync(Journal.path(directory));
    const aside = Journal.setAside(directory);
    assert.deepEqual(readFileSync(aside), before);
    assert.ok(!existsSync(Journal.path(directory)));
    assert.deepEqual(readdirSync(directory), [path.basename(aside)]);
  });

  it('refuses one of a newer schema, and leaves it as it is', () => {
    filled(1).close();
    edit('PRAGMA user_version = 99');
    assert.throws(
      () => Journal.open(directory),
      (error: Error) => (error as { code?: string }).code === 'JOURNAL_NEWER',
    );
  });

  it('says of a fact that it does not know, with a hash that fits, that a newer program wrote it', () => {
    const journal = filled(2);
    // As a newer program would append it: the chain holds.
    const [, last] = new DatabaseSync(Journal.path(directory))
      .prepare('SELECT * FROM facts ORDER BY seq')
      .all() as Record<string, string | number | null>[];
    const row = {
      seq: 3,
      at: META.at,
      type: 'appTeleported',
      version: 1,
      body: '{}',
      effect: null,
      command: null,
    };
    const hash = createHash('sha256')
      .update(
        JSON.stringify([
          last?.['hash'],
          row.seq,
          row.at,
          row.type,
          row.version,
          row.body,
          row.effect,
          row.command,
        ]),
      )
      .digest('hex');
    journal.close();
    edit(`INSERT INTO facts VALUES (3, ${row.at}, '${row.type}', 1, '{}', NULL, NULL, '${hash}')`);
    const reader = Journal.open(directory);
    assert.throws(() => reader.read(), { code: 'JOURNAL_NEWER' });
    reader.close();
  });

  it('notices at once a damaged page that no fact shows', () => {
    const journal = filled(1);
    for (let i = 0; i < 50; i++)
      journal.append({ type: 'paused' }, { ...META, command: `command-${i}` });
    journal.close();
    const db = new DatabaseSync(Journal.path(directory));
    const { rootpage } = db
      .prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'facts_by_command'")
      .get() as { rootpage: number };
    const { page_size: pageSize } = db.prepare('PRAGMA page_size').get() as { page_size: number };
    db.close();
    const content = readFileSync(Journal.path(directory));
    content.fill(0, (rootpage - 1) * pageSize, rootpage * pageSize);
    writeFileSync(Journal.path(directory), content);
    assert.throws(() => Journal.open(directory), corrupt);
  });

  for (const [table, column, flipped] of [
    ['notes', 'value', 'valve'],
    ['checkpoint', 'state', 'stave'],
    ['facts', 'effect', 'effelt'],
  ] as const)
    it(`notices at once a flipped bit in the description of ${table}`, () => {
      filled(3).close();
      const content = readFileSync(Journal.path(directory), 'latin1');
      const at = content.indexOf(column, content.indexOf(`CREATE TABLE ${table} `));
      writeFileSync(
        Journal.path(directory),
        `${content.slice(0, at)}${flipped}${content.slice(at + column.length)}`,
        'latin1',
      );
      assert.throws(() => Journal.open(directory), corrupt);
    });

  it('that somebody gave a program (a view without an end, a trigger) is damaged, and who reads it does not hang', () => {
    const endless = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)';
    const columns =
      "x AS seq, 0 AS at, 'nothingNewer' AS type, 1 AS version, '{}' AS body, NULL AS effect, NULL AS command, '' AS hash";
    for (const program of [
      `ALTER TABLE facts RENAME TO theirs; CREATE VIEW facts AS ${endless} SELECT ${columns} FROM n`,
      `CREATE TRIGGER theirs AFTER INSERT ON facts BEGIN DELETE FROM notes; END`,
      `DROP TABLE notes; CREATE TABLE notes (name TEXT)`,
    ]) {
      filled(3).close();
      edit(program);
      assert.throws(() => Journal.openForReading(directory), corrupt, program);
      assert.throws(() => Journal.open(directory), corrupt, program);
      rmSync(directory, { recursive: true });
    }
  });

  it('passes over a note and a checkpoint that were damaged', () => {
    const journal = filled(1);
    journal.writeNote('poll', '{"a":1}');
    journal.saveCheckpoint({ seq: 1, state: 'x' });
    edit(
      `UPDATE notes SET value = replace(value, '1}', '2}'); UPDATE checkpoint SET state = state || 'y'`,
    );
    assert.equal(journal.readNote('poll'), null);
    assert.equal(journal.checkpoint(), null);
    journal.close();
  });

  it('keeps notes and a checkpoint that may be overwritten', () => {
    const journal = filled(1);
    journal.writeNote('poll', 'a');
    journal.writeNote('poll', 'b');
    journal.saveCheckpoint({ seq: 1, state: 'x' });
    journal.saveCheckpoint({ seq: 2, state: 'y' });
    assert.equal(journal.readNote('poll'), 'b');
    assert.deepEqual({ ...journal.checkpoint() }, { seq: 2, state: 'y' });
    assert.equal(journal.lastSeq(), 1);
    journal.close();
  });

  it('keeps of notes of one kind those that were written last, within a number and a size', () => {
    const journal = filled(1);
    journal.writeNote('poll', 'p');
    for (const name of ['a', 'b', 'c', 'd']) journal.writeNote(`answer:${name}`, 'x'.repeat(1000));
    journal.writeNote('answer:a', 'y'.repeat(1000));
    const kept = () =>
      ['poll', 'answer:a', 'answer:b', 'answer:c', 'answer:d'].filter(
        (name) => journal.readNote(name) !== null,
      );
    journal.pruneNotes('answer:', { maxCount: 3, maxBytes: 1_000_000 });
    assert.deepEqual(kept(), ['poll', 'answer:a', 'answer:c', 'answer:d']);
    journal.pruneNotes('answer:', { maxCount: 3, maxBytes: 2500 });
    assert.deepEqual(kept(), ['poll', 'answer:a', 'answer:d']);
    journal.pruneNotes('answer:', { maxCount: 0, maxBytes: 0 });
    assert.deepEqual(kept(), ['poll']);
    journal.close();
  });

  it('remembers which commands were taken in', () => {
    const journal = filled(1);
    journal.append({ type: 'paused' }, { ...META, command: 'c1' });
    assert.equal(journal.hasCommand('c1'), true);
    assert.equal(journal.hasCommand('c2'), false);
    journal.close();
  });
});

describe('the lock', () => {
  it('is held by one, seen by others, and free again afterwards', () => {
    assert.equal(isLocked(directory), false);
    const lock = acquireLock(directory);
    assert.equal(isLocked(directory), true);
    assert.throws(
      () => acquireLock(directory),
      (error: Error) => (error as { code?: string }).code === 'LOCKED',
    );
    lock.release();
    assert.equal(isLocked(directory), false);
    acquireLock(directory).release();
  });
});

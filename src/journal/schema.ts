/** The journal's tables: made once, and looked at whenever it is opened for appending. */
import type { DatabaseSync } from 'node:sqlite';
import { Fault } from '../support/fault.ts';

/** Bumped when the tables change; facts have versions of their own. */
const SCHEMA_VERSION = 1;
/**
 * "self-upd" does not fit: 'sUpd' as SQLite's application id, so that `file` and we recognise it.
 */
const APPLICATION_ID = 0x73557064;

const TABLES: Record<string, string> = {
  facts: `CREATE TABLE facts (
      seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
      effect TEXT, command TEXT, hash TEXT NOT NULL
    ) STRICT`,
  facts_by_command: 'CREATE INDEX facts_by_command ON facts (command) WHERE command IS NOT NULL',
  checkpoint:
    'CREATE TABLE checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, state TEXT NOT NULL) STRICT',
  notes: 'CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT',
};

/**
 * Creates what is missing. Throws `Fault` `JOURNAL_NEWER`, or `JOURNAL_CORRUPT` for tables that are
 * not ours.
 */
export function prepareSchema(db: DatabaseSync): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as {
    user_version: number;
  };
  checkVersion(version);
  if (version === SCHEMA_VERSION) {
    checkTables(db);
    return;
  }
  const tables = db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get();
  if (version < 0 || tables !== undefined)
    throw new Fault(
      'JOURNAL_CORRUPT',
      `the journal has no schema version, but is not empty: the file was damaged`,
    );
  db.exec(`
    BEGIN IMMEDIATE;
    ${Object.values(TABLES).join(';')};
    PRAGMA application_id = ${APPLICATION_ID};
    PRAGMA user_version = ${SCHEMA_VERSION};
    COMMIT;
  `);
}

/** Throws `Fault` `JOURNAL_NEWER`. */
export function checkVersion(version: number): void {
  if (version > SCHEMA_VERSION)
    throw new Fault(
      'JOURNAL_NEWER',
      `the journal was written by a newer self-update (schema ${version}, this one knows ${SCHEMA_VERSION}): use the newer image`,
    );
}

/**
 * A flipped bit in a column's name or its constraint would come up at the first write to it: as an
 * error of ours, not as damage. And a view in the place of a table, or a trigger, is a program of
 * somebody's, and may have no end.
 */
export function checkTables(db: DatabaseSync): void {
  type Described = { name: string; type: string; sql: string | null };
  const all = db.prepare('SELECT name, type, sql FROM sqlite_schema').all() as Described[];
  const program = all.find(({ type }) => type === 'view' || type === 'trigger');
  if (program !== undefined)
    throw new Fault(
      'JOURNAL_CORRUPT',
      `the journal has a ${program.type} in it, which is not ours: the file was edited`,
    );
  const found = new Map(all.map((row) => [row.name, row.sql]));
  for (const [name, sql] of Object.entries(TABLES))
    if (words(found.get(name) ?? '') !== words(sql))
      throw new Fault(
        'JOURNAL_CORRUPT',
        `the journal's ${name} has a different definition: the file was damaged`,
      );
}

/** SQLite keeps the statement as it was typed, line breaks and all. */
function words(sql: string): string {
  return sql.split(/\s+/).join(' ');
}

/**
 * Damage that no fact shows would come up later, in the middle of an update: looked for at the
 * start (SQLite, "PRAGMA quick_check").
 */
export function checkPages(db: DatabaseSync): void {
  const { quick_check: found } = db.prepare('PRAGMA quick_check(1)').get() as {
    quick_check: string;
  };
  if (found !== 'ok')
    throw new Fault(
      'JOURNAL_CORRUPT',
      `the journal can't be read (${found}): the file was damaged`,
    );
}

/**
 * The journal: an append-only table of facts, each chained to the one before by a hash, in one
 * SQLite file. Beside it, in the same file, what may be overwritten: what polling learnt, cached
 * answers, one checkpoint.
 *
 * One writer, any number of short readers. WAL with synchronous=FULL makes a committed fact survive
 * a power cut (SQLite, "Write-Ahead Logging"); where the volume can't do WAL (no shared memory), a
 * rollback journal with EXTRA does: see mode.ts.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Fact, NewerFactError, parseFact, serializeFact } from '../machines/facts.ts';
import { Fault } from '../support/fault.ts';
import { makePrivate } from '../support/private.ts';
import { openForWriting } from './mode.ts';
import { assertPlain } from './plain.ts';
import type { JournalRecord } from './record.ts';
import { checkPages, checkTables, checkVersion, prepareSchema } from './schema.ts';

/** Hash of nothing, before the first fact. */
const GENESIS = '0'.repeat(64);
/** A reader gives up on a lock after this; a writer too, since it is alone. */
const BUSY_TIMEOUT_MS = 5000;
/** A disk that damages one journal after the other must not fill up with them. */
const MAX_DAMAGED_KEPT = 3;

type Row = {
  seq: number;
  at: number;
  type: string;
  version: number;
  body: string;
  effect: string | null;
  command: string | null;
  hash: string;
};

export type Checkpoint = { seq: number; state: string };

export class Journal {
  readonly #db: DatabaseSync;
  readonly #readOnly: boolean;
  readonly #durable: string;
  #lastHash: string | null = null;

  private constructor(db: DatabaseSync, options: { readOnly: boolean; wal: boolean }) {
    this.#db = db;
    this.#readOnly = options.readOnly;
    this.#durable = options.wal ? 'PRAGMA synchronous=FULL' : 'PRAGMA synchronous=EXTRA';
    if (!options.readOnly) db.exec(this.#durable);
  }

  static path(directory: string): string {
    return path.join(directory, 'journal.db');
  }

  /**
   * Opens for appending; creates what is missing. Throws `Fault` `JOURNAL_NEWER` or
   * `JOURNAL_CORRUPT`.
   */
  static open(directory: string): Journal {
    makePrivate(directory);
    return guarded(() => {
      const { db, wal } = openForWriting(Journal.path(directory), BUSY_TIMEOUT_MS);
      try {
        const journal = new Journal(db, { readOnly: false, wal });
        prepareSchema(db);
        checkPages(db);
        return journal;
      } catch (error) {
        db.close();
        throw error;
      }
    });
  }

  /**
   * Moves a damaged journal out of the way, whole, and forgets the oldest such ones. Returns its
   * new name.
   */
  static setAside(directory: string): string {
    const aside = `${Journal.path(directory)}.damaged-${new Date().toISOString().replaceAll(':', '')}`;
    const wal = `${Journal.path(directory)}-wal`;
    // The file first: a crash in between leaves a -wal that fits no other file, and SQLite passes
    // it over.
    renameSync(Journal.path(directory), aside);
    if (existsSync(wal)) renameSync(wal, `${aside}-wal`);
    rmSync(`${Journal.path(directory)}-shm`, { force: true });
    const damaged = readdirSync(directory).filter((name) =>
      /\.damaged-[^-]+-[^-]+-[^-]+$/.test(name),
    );
    for (const name of damaged.sort().slice(0, -MAX_DAMAGED_KEPT))
      for (const suffix of ['', '-wal'])
        rmSync(path.join(directory, `${name}${suffix}`), { force: true });
    return aside;
  }

  /** Opens for reading beside a writer. Null if there is no journal yet. */
  static openForReading(directory: string): Journal | null {
    if (!existsSync(Journal.path(directory))) return null;
    assertPlain(Journal.path(directory));
    return guarded(() => {
      const db = new DatabaseSync(Journal.path(directory), {
        readOnly: true,
        timeout: BUSY_TIMEOUT_MS,
      });
      const { user_version: version } = db.prepare('PRAGMA user_version').get() as {
        user_version: number;
      };
      if (version === 0) {
        db.close();
        return null;
      }
      try {
        checkVersion(version);
        checkTables(db);
      } catch (error) {
        db.close();
        throw error;
      }
      return new Journal(db, { readOnly: true, wal: true });
    });
  }

  /**
   * Appends one fact. `durable: false` leaves the sync to the next durable append: for the steps
   * between stop and start, which recovery can see on the disk.
   */
  append(
    fact: Fact,
    meta: { at: number; effect: string | null; command: string | null; durable?: boolean },
  ): JournalRecord {
    const previous = this.#tail();
    const { version, body } = serializeFact(fact);
    const row = {
      seq: previous.seq + 1,
      at: meta.at,
      type: fact.type,
      version,
      body,
      effect: meta.effect,
      command: meta.command,
    };
    const hash = chain(previous.hash, row);
    const insert = this.#db.prepare(
      'INSERT INTO facts (seq, at, type, version, body, effect, command, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    const write = () =>
      insert.run(row.seq, row.at, row.type, row.version, row.body, row.effect, row.command, hash);
    if (meta.durable === false) this.#unsynced(write);
    else write();
    this.#lastHash = hash;
    return { seq: row.seq, at: meta.at, fact, effect: meta.effect, command: meta.command };
  }

  /**
   * The facts after `seq`, oldest first, each checked against the chain. Throws `Fault`
   * `JOURNAL_CORRUPT`.
   */
  read(after = 0, limit = -1): JournalRecord[] {
    return guarded(() => {
      let hash = after === 0 ? GENESIS : this.#hashAt(after);
      let seq = after;
      const rows = this.#db
        .prepare('SELECT * FROM facts WHERE seq > ? ORDER BY seq LIMIT ?')
        .all(after, limit) as Row[];
      return rows.map((row) => {
        hash = chain(hash, row);
        seq += 1;
        if (row.hash !== hash || row.seq !== seq) throw misfit(row.seq);
        return {
          seq: row.seq,
          at: row.at,
          fact: parseFact(row.type, row.version, JSON.parse(row.body)),
          effect: row.effect,
          command: row.command,
        };
      });
    });
  }

  /**
   * Checks the chain over the newest facts, also those that a checkpoint spares us. Throws `Fault`
   * `JOURNAL_CORRUPT`.
   */
  checkChain(newest: number): void {
    const after = Math.max(0, this.lastSeq() - newest);
    guarded(() => {
      let hash = after === 0 ? GENESIS : this.#hashAt(after);
      let seq = after;
      for (const row of this.#db
        .prepare('SELECT * FROM facts WHERE seq > ? ORDER BY seq')
        .iterate(after) as Iterable<Row>) {
        hash = chain(hash, row);
        seq += 1;
        if (row.hash !== hash || row.seq !== seq) throw misfit(row.seq);
      }
    });
  }

  lastSeq(): number {
    return guarded(
      () =>
        (
          this.#db.prepare('SELECT coalesce(max(seq), 0) AS seq FROM facts').get() as {
            seq: number;
          }
        ).seq,
    );
  }

  /** Whether a command from the inbox was taken in already: its file may outlive a crash. */
  hasCommand(command: string): boolean {
    return guarded(
      () => this.#db.prepare('SELECT 1 FROM facts WHERE command = ?').get(command) !== undefined,
    );
  }

  /** Null if there is none, or it was damaged: it only saves time. */
  checkpoint(): Checkpoint | null {
    const row = guarded(
      () =>
        this.#db.prepare('SELECT seq, state FROM checkpoint WHERE id = 1').get() as
          | Checkpoint
          | undefined,
    );
    const state = row === undefined ? null : unsealed(row.state);
    return row === undefined || state === null ? null : { seq: row.seq, state };
  }

  /**
   * Losing one costs time, so it is written without a sync of its own: it may fall between the stop
   * of the app and its start.
   */
  saveCheckpoint({ seq, state }: Checkpoint): void {
    const upsert = this.#db.prepare(
      'INSERT INTO checkpoint (id, seq, state) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, state = excluded.state',
    );
    this.#unsynced(() => upsert.run(seq, sealed(state)));
  }

  /**
   * A named cell that may be overwritten; null if it was never written, or damaged. Not part of the
   * truth, and never replayed.
   */
  readNote(name: string): string | null {
    const row = guarded(
      () =>
        this.#db.prepare('SELECT value FROM notes WHERE name = ?').get(name) as
          | { value: string }
          | undefined,
    );
    return row === undefined ? null : unsealed(row.value);
  }

  /** Losing a note costs a request, so it is written without a sync of its own. */
  writeNote(name: string, value: string): void {
    // With a new rowid, by which the oldest is known.
    const replace = this.#db.prepare('INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)');
    this.#unsynced(() => replace.run(name, sealed(value)));
  }

  /** Of the notes whose names begin so, keeps those that were written last, within both bounds. */
  pruneNotes(prefix: string, { maxCount, maxBytes }: { maxCount: number; maxBytes: number }): void {
    const drop = this.#db.prepare(`
      DELETE FROM notes WHERE name IN (
        SELECT name FROM (
          SELECT name, row_number() OVER newest AS place, sum(octet_length(value)) OVER newest AS bytes
          FROM notes WHERE substr(name, 1, length(?1)) = ?1 WINDOW newest AS (ORDER BY rowid DESC ROWS UNBOUNDED PRECEDING)
        ) WHERE place > ?2 OR bytes > ?3
      )`);
    this.#unsynced(() => drop.run(prefix, maxCount, maxBytes));
  }

  #unsynced(write: () => void): void {
    this.#db.exec('PRAGMA synchronous=NORMAL');
    try {
      write();
    } finally {
      this.#db.exec(this.#durable);
    }
  }

  close(): void {
    this.#db.close();
  }

  #tail(): { seq: number; hash: string } {
    const seq = this.lastSeq();
    return { seq, hash: this.#lastHash ?? (seq === 0 ? GENESIS : this.#hashAt(seq)) };
  }

  #hashAt(seq: number): string {
    const row = guarded(
      () =>
        this.#db.prepare('SELECT hash FROM facts WHERE seq = ?').get(seq) as
          | { hash: string }
          | undefined,
    );
    if (!row) throw new Fault('JOURNAL_CORRUPT', `fact ${seq} is missing from the journal`);
    return row.hash;
  }
}

function misfit(seq: number): Fault {
  return new Fault(
    'JOURNAL_CORRUPT',
    `fact ${seq} of the journal does not match the one before it: the file was damaged or edited`,
  );
}

/** The hash covers every column, so an edit, a loss and a swap of rows all show. */
function chain(previous: string, row: Omit<Row, 'hash'>): string {
  const line = JSON.stringify([
    previous,
    row.seq,
    row.at,
    row.type,
    row.version,
    row.body,
    row.effect,
    row.command,
  ]);
  return createHash('sha256').update(line).digest('hex');
}

/**
 * SQLite has no page checksums: what may be overwritten carries its own sum, as the facts carry
 * theirs.
 */
function sealed(text: string): string {
  return `${createHash('sha256').update(text).digest('hex')} ${text}`;
}

function unsealed(text: string): string | null {
  const content = text.slice(65);
  return sealed(content) === text ? content : null;
}

/** SQLITE_CORRUPT (11) and SQLITE_NOTADB (26), https://www.sqlite.org/rescode.html */
const CORRUPT_CODES = new Set([11, 26]);

/** SQLite's word that the file is damaged, and anything unreadable in it, become one fault. */
function guarded<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof Fault) throw error;
    // Its hash fits, so it is no damage: an older image was started over a newer one's volume.
    if (error instanceof NewerFactError)
      throw new Fault(
        'JOURNAL_NEWER',
        `the journal was written by a newer self-update (${error.message}): use the newer image`,
        { cause: error },
      );
    const code = (error as { errcode?: number }).errcode;
    const unreadable =
      error instanceof SyntaxError || (error instanceof Error && error.name === 'ZodError');
    if (unreadable || (code !== undefined && CORRUPT_CODES.has(code & 0xff))) {
      throw new Fault(
        'JOURNAL_CORRUPT',
        `the journal can't be read (${(error as Error).message.split('\n')[0]}): the file was damaged`,
        { cause: error },
      );
    }
    throw error;
  }
}

/** Errors of the system and of SQLite, as they really come. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { toFault } from '../../src/support/fault.ts';

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('it did not throw');
}

describe('an error of the system', () => {
  it('keeps its words, and gets a code and a remedy', () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, write '/x'"), { code: 'ENOSPC', errno: -os.constants.errno.ENOSPC });
    const fault = toFault(error, 'OTHER');
    assert.equal(fault.code, 'NO_SPACE');
    assert.match(fault.message, /write '\/x': the disk is full; free some space$/);
  });

  it('is known by its number where libuv has no name for it', () => {
    const number = -os.constants.errno.EDQUOT;
    const error = Object.assign(new Error(`Unknown system error ${number}: Unknown system error ${number}, write`), {
      code: `Unknown system error ${number}`,
      errno: number,
    });
    assert.equal(toFault(error, 'OTHER').code, 'NO_SPACE');
    assert.match(toFault(error, 'OTHER').message, /^EDQUOT: EDQUOT, write: the disk quota is used up/);
  });

  it('is not taken for one because its number looks like it', () => {
    const error = Object.assign(new Error('unexpected end of file'), { code: 'Z_BUF_ERROR', errno: -os.constants.errno.EIO });
    assert.equal(toFault(error, 'OTHER').code, 'OTHER');
  });

  it('is no business of an abort, whose code is a number', () => {
    assert.equal(toFault(AbortSignal.abort().reason, 'OTHER').code, 'OTHER');
  });

  it('without a remedy of its own is what the caller calls it', () => {
    assert.equal(
      toFault(
        thrownBy(() => readFileSync('/nowhere')),
        'OTHER',
      ).code,
      'OTHER',
    );
  });
});

describe('an error of SQLite', () => {
  it('says what is wrong with the journal', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'fault-'));
    const file = path.join(directory, 'journal.db');
    const [holder, other] = [new DatabaseSync(file), new DatabaseSync(file)];
    holder.exec('CREATE TABLE t (a); BEGIN EXCLUSIVE');
    assert.equal(
      toFault(
        thrownBy(() => other.exec('INSERT INTO t VALUES (1)')),
        'OTHER',
      ).code,
      'JOURNAL_BUSY',
    );
    holder.close();
    assert.equal(
      toFault(
        thrownBy(() => new DatabaseSync(directory)),
        'OTHER',
      ).code,
      'PERMISSION_DENIED',
    );
    other.close();
    rmSync(directory, { recursive: true });
  });
});

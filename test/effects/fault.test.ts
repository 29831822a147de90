/** Errors of the system and of SQLite, as they really come. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { fsyncSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { isHostFailure } from '../../src/machines/failure.ts';
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
    const error = Object.assign(new Error("ENOSPC: no space left on device, write '/x'"), {
      code: 'ENOSPC',
      errno: -os.constants.errno.ENOSPC,
    });
    const fault = toFault(error, 'OTHER');
    assert.equal(fault.code, 'NO_SPACE');
    assert.match(fault.message, /write '\/x': the disk is full; free some space$/);
  });

  it('is known by its number where libuv has no name for it', () => {
    const number = -os.constants.errno.EDQUOT;
    const error = Object.assign(
      new Error(`Unknown system error ${number}: Unknown system error ${number}, write`),
      {
        code: `Unknown system error ${number}`,
        errno: number,
      },
    );
    assert.equal(toFault(error, 'OTHER').code, 'NO_SPACE');
    assert.match(
      toFault(error, 'OTHER').message,
      /^EDQUOT: EDQUOT, write: the disk quota is used up/,
    );
  });

  it('is not taken for one because its number looks like it', () => {
    const error = Object.assign(new Error('unexpected end of file'), {
      code: 'Z_BUF_ERROR',
      errno: -os.constants.errno.EIO,
    });
    assert.equal(toFault(error, 'OTHER').code, 'OTHER');
  });

  it('is no business of an abort, whose code is a number', () => {
    assert.equal(toFault(AbortSignal.abort().reason, 'OTHER').code, 'OTHER');
  });

  it("on a local file is the machine's trouble, whatever its number", () => {
    for (const [code, number] of Object.entries(os.constants.errno)) {
      const error = Object.assign(new Error(`${code}: words, fsync '/x'`), {
        code,
        errno: -number,
        syscall: 'fsync',
        path: '/x',
      });
      const fault = toFault(error, 'OTHER');
      assert.ok(isHostFailure(fault.code), `${code} is called ${fault.code}`);
      assert.match(fault.message, /fsync '\/x': .+/);
    }
  });

  it('on an open file is, too, and says what is missing as it really comes', () => {
    const closed = thrownBy(() => fsyncSync(9999));
    assert.equal(toFault(closed, 'OTHER').code, 'DISK_ERROR');
    const missing = toFault(
      thrownBy(() => readFileSync('/nowhere')),
      'OTHER',
    );
    assert.equal(missing.code, 'DISK_ERROR');
    assert.match(missing.message, /something removed it, or its volume is not mounted$/);
  });

  it("of a connection is the caller's", async () => {
    const socket = connect(1, '127.0.0.1');
    const [error] = (await once(socket, 'error')) as [Error];
    assert.equal(toFault(error, 'OTHER').code, 'OTHER');
    const reset = Object.assign(new Error('read ECONNRESET'), {
      code: 'ECONNRESET',
      errno: -104,
      syscall: 'read',
    });
    assert.equal(toFault(reset, 'OTHER').code, 'OTHER');
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

/**
 * runsv's status and FIFOs, on bytes that a real runsv wrote and on real FIFOs. The whole is tested
 * in test/container.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import {
  parseStatus,
  RunitService,
  writeToFifo,
} from '../../../src/effects/supervisor/runit-service.ts';
import { parseExit } from '../../../src/effects/supervisor/slot-files.ts';

const RUNNING = [64, 0, 0, 0, 107, 6, 51, 238, 12, 231, 12, 20, 120, 0, 0, 0, 0, 117, 0, 1];
const FINISHING = [64, 0, 0, 0, 107, 6, 51, 220, 47, 17, 231, 100, 0, 0, 0, 0, 0, 100, 0, 2];

const directory = mkdtempSync(path.join(os.tmpdir(), 'runit-'));
after(() => rmSync(directory, { recursive: true }));

function fifo(name: string): string {
  const file = path.join(directory, name);
  mkdirSync(path.dirname(file), { recursive: true });
  execFileSync('mkfifo', [file]);
  return file;
}

/** Open for reading, as runsv keeps it. */
const reader = (file: string): number => openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);

describe('the status of runsv', () => {
  it('tells pid, what is wanted and the state', () => {
    assert.deepEqual(parseStatus(Buffer.from(RUNNING)), { pid: 120, wanted: 'up', state: 'run' });
    assert.deepEqual(parseStatus(Buffer.from(FINISHING)), {
      pid: 0,
      wanted: 'down',
      state: 'finish',
    });
  });

  it('is nothing when it is cut short, too long, or of an unknown state', () => {
    for (const bytes of [[], RUNNING.slice(0, 19), [...RUNNING, 0], [...RUNNING.slice(0, 19), 3]])
      assert.equal(parseStatus(Buffer.from(bytes)), null);
  });

  it('is believed only while somebody reads supervise/ok, since the file outlives runsv', () => {
    const ok = fifo('app/supervise/ok');
    writeFileSync(path.join(directory, 'app/supervise/status'), Buffer.from(RUNNING));
    const service = new RunitService(path.join(directory, 'app'));
    assert.equal(service.status(), null, 'stale');
    reader(ok);
    assert.equal(service.status()?.pid, 120);
  });
});

describe('a FIFO', () => {
  it('is written without waiting: false when nobody reads, or when there is none', () => {
    const file = fifo('control');
    assert.equal(writeToFifo(file, 'd'), false);
    assert.equal(writeToFifo(`${file}.none`, 'd'), false);
    const fd = reader(file);
    assert.equal(writeToFifo(file, 'du'), true);
    const buffer = Buffer.alloc(8);
    assert.equal(buffer.toString('latin1', 0, readSync(fd, buffer)), 'du');
  });
});

describe("a line of the app's finish script", () => {
  it('is an exit code, or a signal, and the tree', () => {
    assert.deepEqual(parseExit('120 3 0 /data/self-update/releases/1.0.0-abc'), {
      exitCode: 3,
      signal: null,
      tree: '/data/self-update/releases/1.0.0-abc',
      uptimeSeconds: 120,
    });
    assert.deepEqual(parseExit('120 -1 9 /a tree'), {
      exitCode: null,
      signal: 'SIGKILL',
      tree: '/a tree',
      uptimeSeconds: 120,
    });
  });

  it('is nothing when it was cut short', () => {
    for (const line of ['', '120', '120 3', '120 3 0', '120 3 0 ', 'x 3 0 /a'])
      assert.equal(parseExit(line), null, line);
  });
});

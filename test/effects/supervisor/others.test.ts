/**
 * Others on the machine: what they run is not taken for the app, and what they leave in the
 * updater's directory stops nothing.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedSupervisor } from '../../../src/effects/supervisor/embedded.ts';
import {
  holdersOf,
  isOurs,
  MARKER,
  markedProcesses,
  processInfo,
  processSpace,
} from '../../../src/effects/supervisor/process-table.ts';
import { mkfifo, needsRoot, OTHER, startedByOther } from '../../support/others.ts';
import { missing } from '../../support/tools.ts';

const STOP = { signalName: 'TERM', waitMs: 5000 };
const STAYS = { file: 'perl', args: ['-e', '$| = 1; print "ready\\n"; sleep 1 while 1'], cwd: '/' };

let directory: string;
let lines: string[];
let started: EmbeddedSupervisor[];
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'others-'));
  chmodSync(directory, 0o755);
  mkdirSync(path.join(directory, 'state'), { mode: 0o700 });
  lines = [];
  started = [];
});
afterEach(async () => {
  for (const one of started) await one.stop(STOP);
  rmSync(directory, { recursive: true, force: true });
});

const record = () => path.join(directory, 'state', 'app.json');
const log = () => path.join(directory, 'app.log');

function supervisor(): EmbeddedSupervisor {
  const one = new EmbeddedSupervisor({
    directory,
    environment: { PATH: process.env['PATH'] ?? '' },
    output: 'file',
    stop: STOP,
    log: (line) => lines.push(line),
  });
  started.push(one);
  return one;
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, `not yet: ${what}`);
    await sleep(10);
  }
}

/** The app starts, and its output is in its log. */
async function startsAsEver(): Promise<void> {
  const one = supervisor();
  assert.deepEqual(await one.start('/trees/1', STAYS), { adopted: false });
  await until(
    'its output is there',
    () => lstatSync(log()).isFile() && readFileSync(log(), 'utf8') === 'ready\n',
  );
  assert.equal(markedProcesses(directory).length, 1);
  // The next updater finds it, by what was recorded.
  one.detach();
  assert.equal(await supervisor().observe(), '/trees/1');
}

describe("another user's process", { skip: needsRoot || missing('perl') }, () => {
  const marker = () => ({ [MARKER]: `${directory}:/trees/1` });

  it('that bears the mark of the app is not adopted, and the app starts', async () => {
    const child = await startedByOther('perl', STAYS.args, marker());
    try {
      assert.equal(await supervisor().observe(), null);
      await startsAsEver();
      assert.equal(processInfo(child.pid ?? 0)?.isZombie, false, 'it is none of ours to end');
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('that nobody may trace is not adopted either', async () => {
    // prctl(PR_SET_DUMPABLE, 0), by the number of the machine's call.
    const call = process.arch === 'arm64' ? 167 : 157;
    const child = await startedByOther(
      'perl',
      ['-e', `syscall(${call}, 4, 0, 0, 0, 0); ${STAYS.args[1]}`],
      marker(),
    );
    try {
      assert.equal(isOurs(child.pid ?? 0), false);
      assert.equal(await supervisor().observe(), null);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('is not adopted for a file that it holds, or for a record of its own that names it', async () => {
    // The directory was open to all for a while.
    chmodSync(path.join(directory, 'state'), 0o777);
    const child = await startedByOther('perl', STAYS.args, {});
    try {
      const { startTime } = processInfo(child.pid ?? 0) ?? {};
      writeFileSync(
        record(),
        JSON.stringify({ tree: '/trees/1', pid: child.pid, startTime, space: processSpace() }),
      );
      chownSync(record(), OTHER.uid, OTHER.gid);
      assert.equal(await supervisor().observe(), null);
      await startsAsEver();
      assert.match(lines.join(), /app\.json belongs to user 65534.*removed.*\[NOT_OURS\]/);
      assert.equal(lstatSync(record()).uid, 0);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('that the app became by giving up its rights is the app all the same', async () => {
    const drops = `$0 = "title " x 2000; $) = 65534; $( = 65534; $< = 65534; $> = 65534; ${STAYS.args[1]}`;
    const one = supervisor();
    await one.start('/trees/1', { ...STAYS, args: ['-e', drops] });
    await until(
      'it runs as the other user',
      () => existsSync(log()) && readFileSync(log(), 'utf8') === 'ready\n',
    );
    one.detach();
    assert.deepEqual(markedProcesses(directory), []);
    // By what it holds alone, when the updater could not note its pid.
    writeFileSync(record(), JSON.stringify({ tree: '/trees/1' }));
    const descriptor = openSync(record(), 'r');
    assert.equal(holdersOf(descriptor, 19).length, 1);
    const next = supervisor();
    assert.equal(await next.observe(), '/trees/1');
    await next.stop(STOP);
    assert.equal(await next.isAlive(), false);
    closeSync(descriptor);
  });
});

describe('in the place of the record of the app', { skip: missing('perl') }, () => {
  it('a FIFO that nobody reads or writes is replaced', async () => {
    mkfifo(record());
    await startsAsEver();
    assert.match(lines.join(), /\[NOT_A_FILE\]/);
  });

  it('a link is replaced, and what it names stays as it was', async () => {
    writeFileSync(path.join(directory, 'precious'), 'as it was');
    symlinkSync('../precious', record());
    await startsAsEver();
    assert.equal(readFileSync(path.join(directory, 'precious'), 'utf8'), 'as it was');
  });

  it('a directory is moved away', async () => {
    mkdirSync(path.join(record(), 'inside'), { recursive: true });
    await startsAsEver();
  });

  it('what is no record is passed over: a pid of all processes, or of init', async () => {
    for (const pid of [-1, 0, 1, '7', null]) {
      writeFileSync(
        record(),
        JSON.stringify({
          tree: '/trees/1',
          pid,
          startTime: processInfo(1)?.startTime,
          space: processSpace(),
        }),
        { mode: 0o600 },
      );
      assert.equal(await supervisor().observe(), null);
    }
  });
});

describe("in the place of the app's log", { skip: missing('perl') }, () => {
  it('a FIFO that nobody reads does not keep the app down', async () => {
    mkfifo(log());
    await startsAsEver();
  });

  it('a link does not have the file that it names emptied', async () => {
    writeFileSync(path.join(directory, 'precious'), 'as it was');
    symlinkSync('precious', log());
    await startsAsEver();
    assert.equal(readFileSync(path.join(directory, 'precious'), 'utf8'), 'as it was');
  });
});

/**
 * Nothing of an operator's command stays: neither what it put in the background nor what left its
 * process group.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { execa } from 'execa';
import { type CommandLine, runCommandLine } from '../../src/effects/command.ts';
import {
  HOOK_MARKER,
  processInfo,
  sendSignal,
} from '../../src/effects/supervisor/process-table.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'command-'));
});

afterEach(() => {
  for (const pid of noted()) sendSignal(pid, 'SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

const pids = () => path.join(directory, 'pids');

/** The processes that the command told of, and that live. */
function noted(): number[] {
  if (!existsSync(pids())) return [];
  return readFileSync(pids(), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(Number)
    .filter((pid) => processInfo(pid)?.isZombie === false);
}

function line(command: string, timeoutMs = 20_000): CommandLine {
  const environment = { PATH: process.env['PATH'] ?? '', PIDS: pids() };
  return {
    command,
    name: 'health',
    directory,
    environment,
    timeoutMs,
    onOutput: null,
    input: null,
  };
}

const run = (command: string, timeoutMs?: number) =>
  runCommandLine(line(command, timeoutMs), new AbortController().signal);

describe('what a command leaves', () => {
  it('in the background is ended when it has ended', async () => {
    assert.equal(await run('sleep 300 & echo $! > $PIDS'), 0);
    assert.deepEqual(noted(), []);
  });

  it('in a session of its own is ended, too', async () => {
    assert.equal(
      await run(
        `setsid sh -c 'echo $$ > "$PIDS"; exec sleep 300' & until [ -s "$PIDS" ]; do sleep 0.01; done; exit 3`,
      ),
      3,
    );
    assert.deepEqual(noted(), []);
  });

  it('and that ignores TERM is killed', async () => {
    assert.equal(
      await run(
        `sh -c 'trap "" TERM; echo $$ > "$PIDS"; while :; do sleep 1; done' & until [ -s "$PIDS" ]; do sleep 0.01; done`,
      ),
      0,
    );
    assert.deepEqual(noted(), []);
  });

  it('without an environment of ours, in its group, is ended', async () => {
    assert.equal(
      await run(
        `env -i sh -c 'echo $$; exec sleep 300' > "$PIDS" & until [ -s "$PIDS" ]; do sleep 0.01; done`,
      ),
      0,
    );
    assert.deepEqual(noted(), []);
  });

  it('when its time is up is ended with it', async () => {
    assert.equal(await run('sleep 300 & echo $! > $PIDS; wait', 3000), 'late');
    assert.deepEqual(noted(), []);
  });

  it('when an updater was killed under it is ended before the next one runs', async () => {
    const earlier = execa('/bin/sh', ['-c', 'echo $$ > $PIDS; echo ready; exec sleep 300'], {
      env: { PIDS: pids(), [HOOK_MARKER]: `${directory}:health` },
      reject: false,
    });
    await once(earlier.stdout, 'data');
    await run('true');
    assert.equal((await earlier).signal, 'SIGTERM');
    assert.deepEqual(noted(), []);
  });
});

describe('the text of a command, which may hold a secret,', () => {
  it('is not among the arguments of its shell, which every user may read, nor in what it starts inherits', async () => {
    const seen: Buffer[] = [];
    const command = `: s3cret-in-the-text\ntr '\\0' ' ' < /proc/$$/cmdline; env; sh -c 'env'; echo "$# arguments"; exit 7`;
    const status = await runCommandLine(
      { ...line(command), onOutput: (chunk) => seen.push(chunk) },
      new AbortController().signal,
    );
    const output = Buffer.concat(seen).toString();
    assert.equal(status, 7);
    assert.match(output, /\/bin\/sh -c .*PIDS=.*0 arguments/s);
    assert.doesNotMatch(output, /s3cret|SELF_UPDATE_COMMAND=/);
  });

  it('is read as by `sh -c`: comments, several lines, what is wrong with it', async () => {
    assert.equal(await run('# a comment\nfalse ||\n  exit 3 # and one'), 3);
    assert.equal(await run('echo "'), 2);
    assert.equal(await run('no-such-program'), 127);
  });
});

/**
 * Who is the updater: with real locks, a real FIFO, and processes that hold them and are killed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Parts } from '../../src/cli/parts.ts';
import {
  Absence,
  becomeUpdater,
  isAtWork,
  presenceOf,
  refuseBesideLoop,
  wakeUpdater,
} from '../../src/cli/presence.ts';
import type { Loop } from '../../src/effects/supervisor/container.ts';
import { stateDir } from '../../src/effects/trees.ts';
import { acquireLock } from '../../src/journal/lock.ts';
import { mkfifo } from '../support/others.ts';
import { partsOf } from '../support/output.ts';
import { missing } from '../support/tools.ts';

const SOURCES = path.join(import.meta.dirname, '..', '..', 'src');
/**
 * As chpst(8) of runit: a lock of flock(2), not waited for, and its words when somebody else has
 * it.
 */
const CHPST =
  '#!/bin/sh\nflock -n "$2" "$3" || { echo "chpst: fatal: unable to lock: $2: temporary failure" >&2; exit 111; }\n';

let root: string;
let loop: Loop;
let host: Parts;
let container: Parts;
let processes: ChildProcess[];
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'presence-'));
  loop = { fifo: path.join(root, 'wake'), chpst: path.join(root, 'chpst') };
  writeFileSync(loop.chpst, CHPST, { mode: 0o755 });
  host = partsOf(root);
  container = partsOf(root, { UPDATE_SUPERVISOR: 'runit' });
  mkdirSync(stateDir(host.places), { recursive: true, mode: 0o700 });
  processes = [];
});
afterEach(async () => {
  for (const child of processes) await killed(child);
  rmSync(root, { recursive: true });
});

/** Started, and ready: it has written its first line. */
async function started(
  file: string,
  args: string[],
): Promise<{ child: ChildProcess; line: () => Promise<string> }> {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  processes.push(child);
  const line = async () => String((await once(child.stdout, 'data'))[0]).trim();
  assert.equal(await line(), 'ready');
  return { child, line };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Works in the directory: holds the lock until it is killed. */
const worker = () =>
  started(process.execPath, [
    '--input-type=module',
    '-e',
    `const { acquireLock } = await import(${JSON.stringify(path.join(SOURCES, 'journal', 'lock.ts'))});
     globalThis.lock = acquireLock(${JSON.stringify(stateDir(host.places))});
     console.log('ready'); process.stdin.resume();`,
  ]);
/**
 * As docker/service/update/run reads its FIFO: held open, so that no word is lost. It says each.
 */
const sleeper = () => {
  mkfifo(loop.fifo);
  return started('sh', [
    '-c',
    'exec 9<> "$0"; echo ready; while read -r word <&9; do echo "$word"; done',
    loop.fifo,
  ]);
};
/** As the loop of another container holds the directory; `then` is what it runs. */
const elsewhere = (...then: string[]) =>
  started('flock', ['-F', '-n', path.join(stateDir(host.places), 'loop.lock'), ...then]);
const WAITS = ['sh', '-c', 'echo ready; read -r _'];

describe('the updater', () => {
  it('is nobody where nothing ever ran, and where whoever worked was killed', async () => {
    assert.equal(await presenceOf(host, loop), 'none');
    const { child } = await worker();
    assert.deepEqual([await presenceOf(host, loop), isAtWork(host)], ['atWork', true]);
    await killed(child);
    assert.deepEqual([await presenceOf(host, loop), isAtWork(host)], ['none', false]);
  });

  it('is asleep while its loop waits, is not woken by being looked for, and hears a word', async () => {
    const { child, line } = await sleeper();
    assert.equal(await presenceOf(container, loop), 'asleep');
    assert.equal(await becomeUpdater(container, loop), null);
    const word = line();
    wakeUpdater(container, loop);
    // Whoever had been woken by a look would have said a word more.
    assert.equal(await word, 'command');
    const lock = acquireLock(stateDir(container.places));
    assert.equal(await presenceOf(container, loop), 'atWork');
    lock.release();
    await killed(child);
    assert.equal(await presenceOf(container, loop), 'none');
  });

  it('outside the container is not its loop', async () => {
    const { line } = await sleeper();
    assert.equal(await presenceOf(host, loop), 'none');
    wakeUpdater(host, loop);
    const word = line();
    wakeUpdater(container, loop);
    assert.equal(await word, 'command');
  });

  it('is elsewhere while the loop of another container holds the directory', {
    skip: missing('flock'),
  }, async () => {
    const { child } = await elsewhere(...WAITS);
    assert.equal(await presenceOf(container, loop), 'elsewhere');
    for (const refused of [refuseBesideLoop(container, loop), becomeUpdater(container, loop)])
      await assert.rejects(refused, {
        code: 'LOCKED',
        message: /another updater follows .*, asleep or running/,
      });
    child.stdin?.end('\n');
    await once(child, 'exit');
    assert.equal(await presenceOf(container, loop), 'none');
  });

  it('is not elsewhere for what that loop itself started: it has the lock among its descriptors', {
    skip: missing('flock'),
  }, async () => {
    const run = `const { refuseBesideLoop } = await import(${JSON.stringify(path.join(SOURCES, 'cli', 'presence.ts'))});
      await refuseBesideLoop({ places: { root: ${JSON.stringify(host.places.root)} } }, ${JSON.stringify(loop)});
      console.log('ready'); process.stdin.resume();`;
    await elsewhere(process.execPath, '--input-type=module', '-e', run);
  });
});

describe('who gives a command', () => {
  it('becomes the updater where there is none, and nobody beside him does', async () => {
    const lock = await becomeUpdater(host, loop);
    assert.ok(lock);
    assert.equal(await becomeUpdater(host, loop), null);
    lock.release();
    assert.equal(await presenceOf(host, loop), 'none');
  });

  it('is told of an updater that is gone: at once, or in a container when its loop does not come back', async () => {
    assert.equal(await new Absence(host, loop).look(), true);
    assert.equal(await new Absence(container, loop).look(), false);
    const patient = new Absence(container, loop, 0);
    assert.equal(await patient.look(), true);
    await sleeper();
    assert.equal(await patient.look(), false);
  });
});

it('only presence.ts asks the locks who is there', () => {
  const asking = readdirSync(path.join(SOURCES, 'cli')).filter((name) =>
    /\b(?:isLocked|isLoopHere|isLoopElsewhere|wakeLoop)\b/.test(
      readFileSync(path.join(SOURCES, 'cli', name), 'utf8'),
    ),
  );
  assert.deepEqual(asking, ['presence.ts']);
});

/** What runs as the app's user is the app's to stop, to end and to steer: nothing of ours waits for it, and nothing of it stays. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runAsApp } from '../../src/effects/as-app.ts';
import { groupMembers, processInfo } from '../../src/effects/supervisor/process-table.ts';

const user = process.getuid?.() === 0 ? { uid: 1234, gid: 1234 } : null;
/** Far beyond the time of a test: none of them ends by that. */
const HOUR_MS = 3_600_000;
const shell = (script: string, timeoutMs = HOUR_MS) => runAsApp({ file: '/bin/sh', args: ['-c', script], user, timeoutMs });

describe('a process of ours that runs as the app’s user', { skip: process.platform !== 'linux' && 'reads /proc', concurrency: true }, () => {
  it('is that user, and gets nothing of our environment; its status and what it said are told', async () => {
    process.env['SECRET_OF_OURS'] = 'ghp_1';
    const { status, said } = await shell('id -u; env; exit 3');
    assert.equal(status, 3);
    assert.match(said, new RegExp(`^${user?.uid ?? process.getuid?.()}\n`));
    assert.doesNotMatch(said, /SECRET_OF_OURS/);
  });

  it('leads a session and a group of its own', async () => {
    const { said } = await shell('echo $$; cat /proc/$$/stat');
    const [pid, stat = ''] = said.split('\n');
    const [, , group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    assert.deepEqual([group, session], [pid, pid]);
  });

  it('is ended when the app stops it (SIGSTOP), long before its time is up', async () => {
    assert.equal((await shell('kill -STOP $$')).status, null);
  });

  it('is ended when the app stops what it waits for', async () => {
    assert.equal((await shell("sh -c 'kill -STOP $$'; echo went on")).said, '');
  });

  it('is ended when the app stops and continues it again and again', async () => {
    const { status } = await shell('(while :; do kill -STOP $$; sleep 0.6; kill -CONT $$; sleep 0.1; done) & while :; do :; done');
    assert.equal(status, null);
  });

  it('goes on while it works, and while it waits for a child that works', async () => {
    // Longer than it may be stopped.
    const work = 'end=$(($(date +%s) + 7)); while [ "$(date +%s)" -lt "$end" ]; do :; done';
    assert.equal((await shell(work)).status, 0);
    assert.equal((await shell(`sh -c '${work}'; exit 4`)).status, 4);
  });

  it('leaves nobody of its group behind, whether it ended or was ended', async () => {
    const left = await shell('sleep 1000 & echo $$');
    const late = await shell('echo $$; sleep 1000', 1000);
    assert.deepEqual([left.status, late.status], [0, null]);
    // The kernel ends them in its own time.
    for (const { said } of [left, late]) while (groupMembers(Number(said)).length > 0) await sleep(10);
    assert.equal(processInfo(Number(late.said))?.isZombie ?? true, true);
  });

  it('is told as not to be started where there is no such program', async () => {
    await assert.rejects(runAsApp({ file: '/nowhere/program', args: [], user, timeoutMs: 1000 }), { code: 'ENOENT' });
  });
});

describe('the process that seeds the app’s data', () => {
  it('opens no inspector for the app that sends it SIGUSR1', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
    // The option that linked.ts gives it, held to the Node that we pin.
    const source = readFileSync(path.join(import.meta.dirname, '../../src/effects/linked.ts'), 'utf8');
    assert.match(source, /\['--disable-sigusr1', /);
    const script = "process.kill(process.pid, 'SIGUSR1'); setTimeout(() => {}, 500)";
    const said = (...options: string[]) => spawnSync(process.execPath, [...options, '-e', script], { encoding: 'utf8' }).stderr;
    assert.match(said('--inspect-port=0'), /Debugger listening/);
    assert.equal(said('--inspect-port=0', '--disable-sigusr1'), '');
  });
});

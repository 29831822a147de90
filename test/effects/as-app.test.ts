/**
 * What runs as the app's user is the app's to stop, to end and to steer: nothing of ours waits for
 * it, and nothing of it stays.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runAsApp } from '../../src/effects/as-app.ts';
import { groupMembers, processInfo } from '../../src/effects/supervisor/process-table.ts';
import { testUser } from '../support/app-user.ts';

const user = process.getuid?.() === 0 ? testUser(1234) : null;
/** Their numbers in the kernel, prctl(2) and ptrace(2). */
const [PRCTL, PTRACE] = process.arch === 'arm64' ? [167, 117] : [157, 101];
/** Far beyond the time of a test: none of them ends by that. */
const HOUR_MS = 3_600_000;
const shell = (script: string, timeoutMs = HOUR_MS, silentMs?: number) =>
  runAsApp({
    file: '/bin/sh',
    args: ['-c', script],
    user,
    timeoutMs,
    ...(silentMs === undefined ? {} : { silentMs }),
  });

describe('a process of ours that runs as the app’s user', {
  skip: process.platform !== 'linux' && 'reads /proc',
  concurrency: true,
}, () => {
  it('is that user, and gets nothing of our environment; its status and what it said are told', async () => {
    process.env['SECRET_OF_OURS'] = 'ghp_1';
    const { status, said } = await shell('id -u; env; exit 3');
    assert.equal(status, 3);
    assert.match(said, new RegExp(`^${user?.uid ?? process.getuid?.()}\n`));
    assert.doesNotMatch(said, /SECRET_OF_OURS/);
  });

  it('has a session and a group of its own, and as another user a parent there that is ours', async () => {
    const { said } = await shell('echo $$; cat /proc/$$/stat');
    const [pid, stat = ''] = said.split('\n');
    const [, parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    assert.deepEqual([group, session], user === null ? [pid, pid] : [parent, parent]);
    assert.notEqual(group, String(process.pid));
  });

  it('is ended when the app stops it (SIGSTOP), long before its time is up', async () => {
    assert.equal((await shell('kill -STOP $$')).status, null);
  });

  it('is ended when the app stops what it waits for', async () => {
    assert.equal((await shell("sh -c 'kill -STOP $$'; echo went on")).said, '');
  });

  it('is ended when the app stops and continues it again and again', async () => {
    const { status } = await shell(
      '(while :; do kill -STOP $$; sleep 0.6; kill -CONT $$; sleep 0.1; done) & while :; do :; done',
    );
    assert.equal(status, null);
  });

  it('is ended when it does nothing, long before its time is up', { timeout: 60_000 }, async () => {
    const { status, said } = await shell('echo $$; sleep 1000', HOUR_MS, 500);
    assert.equal(status, null);
    assert.match(said, /^\d+\n$/);
  });

  it('goes on while it works, and while it waits for a child that works', async () => {
    // Longer than it may be stopped, or do nothing.
    const work = 'end=$(($(date +%s) + 7)); while [ "$(date +%s)" -lt "$end" ]; do :; done';
    assert.equal((await shell(work, HOUR_MS, 5000)).status, 0);
    assert.equal((await shell(`sh -c '${work}'; exit 4`)).status, 4);
  });

  it('leaves nobody of its group behind, whether it ended or was ended', async () => {
    const group = 'cut -d " " -f 5 /proc/$$/stat';
    const left = await shell(`sleep 1000 & ${group}`);
    const late = await shell(`${group}; sleep 1000`, 1000);
    assert.deepEqual([left.status, late.status], [0, null]);
    // The kernel ends them in its own time.
    for (const { said } of [left, late])
      while (groupMembers(Number(said)).length > 0) await sleep(10);
    assert.equal(processInfo(Number(late.said))?.isZombie ?? true, true);
  });

  it('is waited for no longer when the app traces it, and never looks at its end (ptrace; as root)', {
    skip: user === null && 'needs root',
    timeout: 60_000,
  }, async () => {
    // Tells how it ends only when the other, in a session of its own, has seized it.
    // PR_SET_PTRACER: where only parents may trace (Yama).
    const perl = (
      end: string,
    ) => `use POSIX; syscall(${PRCTL}, 0x59616d61, -1, 0, 0, 0); pipe(R, W); my $p = $$;
      if (fork == 0) { POSIX::setsid(); syscall(${PTRACE}, 0x4206, $p, 0, 0) == 0 or die "ptrace: $!"; syswrite W, "$$\n"; sleep 1000; exit }
      close W; print scalar <R>; $| = 1; print ""; ${end};`;
    for (const end of ['POSIX::_exit(0)', 'kill "KILL", $$', 'kill "STOP", $$']) {
      const { status, said } = await runAsApp({
        file: 'perl',
        args: ['-e', perl(end)],
        user,
        timeoutMs: HOUR_MS,
      });
      assert.match(said, /^\d+\n$/, end);
      process.kill(Number(said), 'SIGKILL');
      assert.equal(status, null, end);
    }
  });

  it('is told as not to be started where there is no such program', async () => {
    await assert.rejects(
      runAsApp({ file: '/nowhere/program', args: [], user: null, timeoutMs: 1000 }),
      { code: 'ENOENT' },
    );
  });
});

describe('the change of user', () => {
  const canFreeze = process.platform === 'linux' && process.getuid?.() === 0;
  // A user of this test's alone: all that it runs is stopped.
  const frozen = testUser(54_321);

  it('freezes nothing of ours where the app stops all of its user again and again (SIGSTOP between fork and exec; as root)', {
    skip: !canFreeze && 'needs root and Linux',
    timeout: 120_000,
  }, () => {
    const [program = '', ...rest] = frozen.become;
    const stopper = spawn(program, [...rest, 'sh', '-c', 'while :; do kill -STOP -1; done'], {
      stdio: 'ignore',
    });
    try {
      const module = new URL('../../src/effects/as-app.ts', import.meta.url).href;
      const script = `import { runAsApp } from '${module}';
        const one = () => runAsApp({ file: '/bin/true', args: [], user: ${JSON.stringify(frozen)}, timeoutMs: 50 });
        for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 20 }, one));
        console.log('went on');`;
      // Its own timers are what a freeze takes away, so this one ends it.
      const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
        encoding: 'utf8',
        timeout: 100_000,
        killSignal: 'SIGKILL',
      });
      assert.equal(stdout, 'went on\n');
    } finally {
      stopper.kill('SIGKILL');
    }
  });

  it('is left to a program that is still root’s: no spawn in src has a uid or a gid', () => {
    const root = path.join(import.meta.dirname, '../../src');
    const files = readdirSync(root, { recursive: true })
      .map(String)
      .filter((file) => file.endsWith('.ts'));
    let calls = 0;
    for (const file of files) {
      const source = readFileSync(path.join(root, file), 'utf8');
      if (!/node:child_process|loadExeca/.test(source)) continue;
      for (const match of source.matchAll(
        /(?<![.\w])(?:spawn|spawnSync|exec|execSync|execFile|execFileSync|fork|execa|execaSync)\b(?:\)?)\(/g,
      )) {
        calls += 1;
        const call = source.slice(match.index, source.indexOf(';', match.index));
        assert.doesNotMatch(call, /\b[ug]id\b|[.]{3}(?:user|owner)\b/i, `${file}: ${call}`);
      }
    }
    assert.ok(calls >= 8, `${calls}`);
  });
});

describe('the process that seeds the app’s data', () => {
  it('opens no inspector for the app that sends it SIGUSR1', {
    skip: process.platform !== 'linux' && 'reads /proc',
  }, () => {
    // The option that linked.ts gives it, held to the Node that we pin.
    const source = readFileSync(
      path.join(import.meta.dirname, '../../src/effects/linked.ts'),
      'utf8',
    );
    assert.match(source, /\['--disable-sigusr1', /);
    const script = "process.kill(process.pid, 'SIGUSR1'); setTimeout(() => {}, 500)";
    const said = (...options: string[]) =>
      spawnSync(process.execPath, [...options, '-e', script], { encoding: 'utf8' }).stderr;
    assert.match(said('--inspect-port=0'), /Debugger listening/);
    assert.equal(said('--inspect-port=0', '--disable-sigusr1'), '');
  });
});

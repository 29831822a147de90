/**
 * The embedded supervisor never lets a second copy of the app run, whatever the app does to the
 * signs by which it is found.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedSupervisor } from '../../../src/effects/supervisor/embedded.ts';
import {
  markedProcesses,
  processInfo,
  sendSignal,
} from '../../../src/effects/supervisor/process-table.ts';
import { needsRoot, OTHER } from '../../support/others.ts';
import { missing } from '../../support/tools.ts';

const STOP = { signalName: 'TERM', waitMs: 5000 };
/**
 * Notes its pid, and then overwrites what /proc/PID/environ shows, as nginx, PostgreSQL and every
 * program that sets a long title do.
 */
const NOTES = 'open(F, ">>", $ENV{PIDS}); print F "$$\\n"; close F;';
const WIPES = '$0 = "title " x 2000;';
const STAYS = 'sleep 1 while 1;';

let root: string;
let directory: string;

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'embedded-'));
  directory = path.join(root, 'data');
  mkdirSync(path.join(directory, 'state'), { recursive: true });
});

afterEach(() => {
  for (const pid of running()) sendSignal(pid, 'SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

const pids = () => path.join(root, 'pids');
const record = () => path.join(directory, 'state', 'app.json');

/** Every process of the app that lives, by its own word. */
function running(): number[] {
  if (!existsSync(pids())) return [];
  return readFileSync(pids(), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(Number)
    .filter((pid) => processInfo(pid)?.isZombie === false);
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, `not yet: ${what}`);
    await sleep(10);
  }
}

function supervisor(): EmbeddedSupervisor {
  const environment = { PATH: process.env['PATH'] ?? '', PIDS: pids() };
  return new EmbeddedSupervisor({
    directory,
    environment,
    output: 'file',
    stop: STOP,
    log: () => {},
  });
}

const command = (source: string) => ({ file: 'perl', args: ['-e', source], cwd: os.tmpdir() });
const wiped = command(`${WIPES}${NOTES}${STAYS}`);

/** What an updater that was killed leaves behind: the app, and nobody who watches. */
async function leftBehind(app = wiped, count = 1): Promise<void> {
  const first = supervisor();
  await first.start('/trees/1', app);
  first.detach();
  await until('the app runs', () => running().length === count);
}

describe('an app that overwrites its environment', { skip: missing('perl') }, () => {
  it('bears no mark, and is adopted by the next updater', async () => {
    await leftBehind();
    assert.deepEqual(markedProcesses(directory), []);
    const next = supervisor();
    assert.equal(await next.observe(), '/trees/1');
    assert.deepEqual(await next.start('/trees/1', wiped), { adopted: true });
    assert.equal(running().length, 1);
    await next.stop(STOP);
    assert.deepEqual(running(), []);
  });

  it('is started anew where an updater was killed while it read its last words', async () => {
    await leftBehind();
    const [old] = running();
    const words = path.join(directory, 'state', 'app.output');
    writeFileSync(words, '');
    const next = supervisor();
    assert.deepEqual(await next.start('/trees/1', wiped), { adopted: false });
    await until('another one runs', () => running().length === 1);
    assert.notEqual(running()[0], old);
    assert.equal(existsSync(words), false);
    await next.stop(STOP);
  });

  it('is ended before another version starts', async () => {
    await leftBehind();
    const [old] = running();
    await supervisor().start('/trees/2', wiped);
    await until('the new one runs', () => running().length > 0);
    assert.equal(running().length, 1);
    assert.notEqual(running()[0], old);
  });

  it('is found when the updater was killed before it could note the pid', async () => {
    await leftBehind();
    writeFileSync(record(), JSON.stringify({ tree: '/trees/1' }));
    const next = supervisor();
    assert.equal(await next.observe(), '/trees/1');
    await next.stop(STOP);
    assert.deepEqual(running(), []);
  });

  it('is ended, and started anew, when nothing tells its version any more', async () => {
    await leftBehind();
    const [old] = running();
    writeFileSync(record(), '');
    const next = supervisor();
    assert.equal(await next.observe(), null);
    await next.start('/trees/1', wiped);
    await until('it runs anew', () => running().length > 0);
    assert.equal(running().length, 1);
    assert.notEqual(running()[0], old);
  });

  it('is ended with a child that bears no sign at all, in a session of its own', async () => {
    const hidden = `if (!fork) { setsid(); POSIX::close($_) for 3 .. 64; ${WIPES}${NOTES}${STAYS} }`;
    await leftBehind(command(`use POSIX 'setsid'; ${hidden}${NOTES}${STAYS}`), 2);
    await supervisor().stop(STOP);
    assert.deepEqual(running(), []);
  });

  it('is found by its group when it also closed what it inherited, and its leader has ended', async () => {
    // The leader ends; what it forked stays in its group, without the descriptor.
    await leftBehind(
      command(`use POSIX; POSIX::close(19); exit if fork; ${WIPES}${NOTES}${STAYS}`),
    );
    await until(
      'the leader has ended',
      () =>
        processInfo((JSON.parse(readFileSync(record(), 'utf8')) as { pid: number }).pid)
          ?.isZombie !== false,
    );
    const next = supervisor();
    assert.equal(await next.isAlive(), true);
    await next.stop(STOP);
    assert.deepEqual(running(), []);
  });
});

describe('a record of the app', { skip: missing('perl') }, () => {
  it('is not believed of another boot, or another set of pids', async () => {
    const self = processInfo(process.pid);
    writeFileSync(
      record(),
      JSON.stringify({
        tree: '/trees/1',
        pid: process.pid,
        startTime: self?.startTime,
        space: 'another boot',
      }),
    );
    assert.equal(await supervisor().observe(), null);
  });

  it('is not believed of a pid that another process has by now', async () => {
    await leftBehind();
    const held = JSON.parse(readFileSync(record(), 'utf8')) as object;
    for (const pid of running()) sendSignal(pid, 'SIGKILL');
    await until('it is gone', () => running().length === 0);
    writeFileSync(record(), JSON.stringify({ ...held, pid: process.pid }));
    assert.equal(await supervisor().observe(), null);
  });
});

describe('a directory with letters of other alphabets', { skip: missing('perl') }, () => {
  it('is known by them in the mark of the app', async () => {
    directory = path.join(root, 'Größe-日本');
    mkdirSync(path.join(directory, 'state'), { recursive: true });
    await supervisor().start('/trees/ü', command(`${NOTES}${STAYS}`));
    await until('the app runs', () => running().length === 1);
    assert.deepEqual(
      markedProcesses(directory).map(({ marker }) => marker),
      ['/trees/ü'],
    );
    rmSync(record());
    assert.equal(await supervisor().observe(), '/trees/ü');
  });
});

describe('an app that is there after SIGKILL', { skip: needsRoot || missing('setpriv') }, () => {
  it('is not said to be stopped, and nothing is started beside it', {
    timeout: 60_000,
  }, async () => {
    // What no signal of the updater's reaches is what hangs in the kernel, or became another user
    // (setuid).
    const become = path.join(root, 'become');
    copyFileSync(
      execFileSync('sh', ['-c', 'command -v setpriv'], { encoding: 'utf8' }).trim(),
      become,
    );
    chmodSync(become, 0o4755);
    chmodSync(root, 0o777);
    execFileSync('chown', ['-R', '1234:1234', directory]);
    const module = new URL('../../../src/effects/supervisor/embedded.ts', import.meta.url).href;
    const script = `import { EmbeddedSupervisor } from '${module}';
      const stop = { signalName: 'TERM', waitMs: 100 };
      const environment = { PATH: process.env.PATH };
      const one = new EmbeddedSupervisor({ directory: '${directory}', environment, output: 'file', stop, log: () => {} });
      const reuid = ['--reuid=${OTHER.uid}', '--regid=${OTHER.gid}', '--clear-groups', 'sh', '-c', 'echo $$ > ${root}/pid; exec sleep 1000'];
      await one.start('/trees/1', { file: '${become}', args: reuid, cwd: '/' });
      const { existsSync } = await import('node:fs');
      while (!existsSync('${root}/pid')) await new Promise((resolve) => setTimeout(resolve, 10));
      const refused = async (act) => act().then(() => 'done', ({ code, message }) => code + ': ' + message);
      console.log(await refused(() => one.stop(stop)));
      console.log(await refused(() => one.start('/trees/2', { file: '/bin/touch', args: ['${directory}/second'], cwd: '/' })));
      console.log(await one.isAlive());
      process.exit();`;
    const child = [
      '--reuid=1234',
      '--regid=1234',
      '--clear-groups',
      process.execPath,
      '--input-type=module',
      '--eval',
      script,
    ];
    const said = execFileSync('setpriv', child, { encoding: 'utf8', cwd: '/' }).trim().split('\n');
    const pid = Number(readFileSync(path.join(root, 'pid'), 'utf8'));
    try {
      const [stopped = '', started = '', isAlive] = said;
      for (const refused of [stopped, started])
        assert.match(
          refused,
          new RegExp(`^APP_NOT_STOPPED: the app \\(pid ${pid}\\) is still there after SIGKILL`),
        );
      assert.equal(isAlive, 'true');
      assert.equal(processInfo(pid)?.isZombie, false);
      assert.ok(!existsSync(path.join(directory, 'second')));
    } finally {
      sendSignal(pid, 'SIGKILL');
    }
  });
});

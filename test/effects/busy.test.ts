/** The busy lock, and what an app may put in its place. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { busySince } from '../../src/effects/busy.ts';
import { testUser } from '../support/app-user.ts';

const DAY_MS = 86_400_000;
const IN_2096 = new Date('2096-01-01T00:00:00Z');
let root: string;
let file: string;

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'busy-'));
  file = path.join(root, 'busy');
});
afterEach(() => rmSync(root, { recursive: true }));

const since = (nowMs = Date.now()) => busySince({ file, maxAgeMs: DAY_MS, owner: null }, nowMs);

describe('a busy file', () => {
  it('says that the app is busy, until it is a day old', () => {
    writeFileSync(file, '');
    assert.notEqual(since(), null);
    assert.equal(since(Date.now() + 2 * DAY_MS), null);
  });

  it('of the year 2096 counts from when it was set, and not for ever', () => {
    writeFileSync(file, '');
    utimesSync(file, IN_2096, IN_2096);
    assert.notEqual(since(), null);
    assert.ok((since() ?? Number.POSITIVE_INFINITY) <= Date.now());
    assert.equal(since(Date.now() + 2 * DAY_MS), null);
  });

  it('in a directory that the app has closed is looked at by its user; a freeze, a pipe that it keeps open and a debugger hold nobody up (as root)', {
    skip: (process.platform !== 'linux' || process.getuid?.() !== 0) && 'needs root and Linux',
    timeout: 60_000,
  }, () => {
    const owner = testUser(54_322, root);
    const [program = '', ...rest] = owner.become;
    const asOwner = (...command: string[]) => execFileSync(program, [...rest, ...command]);
    chmodSync(root, 0o755);
    const closed = path.join(root, 'closed');
    mkdirSync(closed);
    chownSync(closed, owner.uid, owner.gid);
    chmodSync(closed, 0o700);
    asOwner('touch', path.join(closed, 'busy'));
    const module = new URL('../../src/effects/busy.ts', import.meta.url).href;
    const script = `import { busySince } from '${module}';
      const owner = { ...${JSON.stringify(owner)}, privateDir: process.argv[2] ?? '${root}' };
      const options = { file: '${path.join(closed, 'busy')}', maxAgeMs: 0, owner };
      for (let i = 0; i < Number(process.argv[1]); i++) console.log(busySince(options, Date.now()) !== null);`;
    // Root is let in here, and the image's is not: so without the capabilities for that.
    const drop = [
      '--bounding-set=-dac_override,-dac_read_search',
      '--inh-caps=-dac_override,-dac_read_search',
    ];
    const look = (times: number, ...privateDir: string[]) => {
      const args = [
        ...drop,
        process.execPath,
        '--input-type=module',
        '--eval',
        script,
        `${times}`,
        ...privateDir,
      ];
      return execFileSync(program, args, {
        encoding: 'utf8',
        timeout: 50_000,
        killSignal: 'SIGKILL',
      })
        .trim()
        .split('\n');
    };
    assert.deepEqual(look(1), ['true']);
    assert.deepEqual(
      look(1, '/dev/full'),
      ['false'],
      'where no answer can be written, nobody is waited for',
    );
    // SEIZE (ptrace(2)), without ever waiting: what is dead then can't be waited for by its parent.
    const seize = `syscall(${process.arch === 'arm64' ? 117 : 101}, 0x4206, $_, 0, 0)`;
    const tracer = `while (1) { kill "STOP", -1; $_ != $$ and -O "/proc/$_" and ${seize} for map { m{(\\d+)$} } glob "/proc/[0-9]*"; kill "CONT", -1 }`;
    for (const attack of [
      ['sh', '-c', 'while :; do kill -STOP -1; done'],
      [
        'sh',
        '-c',
        'while :; do for p in /proc/[0-9]*; do exec 5> $p/fd/1; done; done 2> /dev/null',
      ],
      ['perl', '-e', tracer],
    ]) {
      const attacker = spawn(program, [...rest, ...attack], { stdio: 'ignore' });
      try {
        const times = attack[0] === 'perl' ? 3 : 10;
        assert.equal(look(times).length, times);
      } finally {
        attacker.kill('SIGKILL');
      }
    }
    assert.deepEqual(readdirSync(root), ['closed']);
  });

  it('is none if it is a directory, or a link', () => {
    mkdirSync(file);
    utimesSync(file, IN_2096, IN_2096);
    assert.equal(since(), null);
    rmSync(file, { recursive: true });
    symlinkSync('/proc/self/cmdline', file);
    assert.equal(since(), null);
  });
});

/** `self-update lint` and `verify` that are ended before they are done: by a signal, or killed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { execa } from 'execa';
import { FakeGitHub } from '../support/github/server.ts';
import { ARCHIVE, packed } from '../support/lint.ts';

const PROGRAM = path.join(import.meta.dirname, '..', '..', 'bin', 'self-update.js');
const PATIENCE_MS = 60_000;
/** Without blocks on the disk, and an hour of hashing. */
const HUGE_BYTES = 2 ** 42;
let root: string;
let github: FakeGitHub;

beforeEach(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'lint-ended-'));
  github = await new FakeGitHub().listen();
  github.publish('v1.2.3', { [ARCHIVE]: await packed() });
});
afterEach(async () => {
  await github.close();
  rmSync(root, { recursive: true });
});

function begin(...words: string[]) {
  return execa(process.execPath, [PROGRAM, ...words], {
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: root,
      GH_USER: 'acme',
      GH_REPO: 'app',
      UPDATE_GH_API_URL: github.url,
      UPDATE_ASSET_HOSTS: 'localhost',
      UPDATE_DIR: path.join(root, 'data'),
    },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
}

describe('a signal', () => {
  for (const [name, status, ...words] of [
    ['SIGTERM', 143, 'lint'],
    ['SIGINT', 130, 'lint', '--sums'],
  ] as const)
    it(`ends ${words.join(' ')} by ${name} at once, while it sums a huge file`, async () => {
      const dist = path.join(root, 'dist');
      mkdirSync(dist);
      const huge = path.join(dist, ARCHIVE);
      writeFileSync(huge, '');
      truncateSync(huge, HUGE_BYTES);
      const linting = begin(...words, dist);
      const late = AbortSignal.timeout(PATIENCE_MS);
      while (!openFiles(linting.pid).includes(huge)) {
        late.throwIfAborted();
        await turn();
      }
      linting.kill(name);
      const { exitCode, stdout, stderr } = await linting;
      assert.equal(exitCode, status, stderr);
      assert.equal(`${stdout}${stderr}`, '');
      assert.deepEqual(readdirSync(dist), [ARCHIVE]);
    });

  for (const [name, status, ...words] of [
    ['SIGTERM', 143, 'lint', 'acme/app'],
    ['SIGTERM', 143, 'verify', 'v1.2.3'],
    ['SIGINT', 130, 'verify', 'v1.2.3', '--json'],
  ] as const)
    it(`${name} in the middle of a download of ${words.join(' ')} leaves nothing`, async () => {
      github.misbehave = { stallAfterBytes: 10 };
      const [command] = [begin(...words), await once(github.events, 'limit')];
      assert.equal(scratchOf(command.pid).length, 1);
      command.kill(name);
      const { exitCode, stdout, stderr } = await command;
      assert.equal(exitCode, status, stderr);
      assert.equal(`${stdout}${stderr}`, '');
      assert.deepEqual(scratchOf(command.pid), []);
    });
});

describe('what a killed run left in the temporary directory', () => {
  for (const words of [
    ['lint', 'acme/app'],
    ['verify', 'v1.2.3'],
  ])
    it(`of ${words[0]} is removed by the next, and nothing of one that works`, async () => {
      github.misbehave = { stallAfterBytes: 10 };
      const [working] = [begin(...words), await once(github.events, 'limit')];
      const [killed] = [begin(...words), await once(github.events, 'limit')];
      assert.equal(scratchOf(killed.pid).length, 1);
      killed.kill('SIGKILL');
      await killed;
      github.misbehave = {};
      const { exitCode, stdout } = await begin(...words);
      assert.equal(exitCode, 0, stdout);
      assert.deepEqual(scratchOf(killed.pid), []);
      assert.equal(scratchOf(working.pid).length, 1);
      working.kill('SIGTERM');
      await working;
      assert.deepEqual(scratchOf(working.pid), []);
    });
});

/** The program does not take TMPDIR over. */
function scratchOf(pid: number | undefined): string[] {
  return readdirSync('/tmp').filter((name) =>
    new RegExp(`^self-update-(?:lint|verify)-${pid}-`).test(name),
  );
}

function openFiles(pid: number | undefined): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    return [];
  }
}

/**
 * `check`, against a server that speaks GitHub's API, beside a journal where 2.0.0 was installed
 * and trusted.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { checkOnly } from '../../src/cli/check-only.ts';
import { operate } from '../../src/cli/operate.ts';
import type { Parts } from '../../src/cli/parts.ts';
import { readState } from '../../src/cli/read.ts';
import { inboxDir, stateDir } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { acquireLock } from '../../src/journal/lock.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { updatedTo } from '../support/machine.ts';
import { argumentsOf, partsOf, written } from '../support/output.ts';

const { signal } = new AbortController();
let root: string;
let github: FakeGitHub;
let parts: Parts;
beforeEach(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'check-only-'));
  github = await new FakeGitHub().listen();
  parts = partsOf(root, {
    UPDATE_GH_API_URL: github.url,
    UPDATE_ASSET_HOSTS: 'localhost',
    UPDATE_ASSET: '*.tar.gz',
    UPDATE_STRATEGY: 'download-then-kill',
  });
  const journal = Journal.open(stateDir(parts.places));
  for (const { fact, at, effect, command } of updatedTo('2.0.0').records)
    journal.append(fact, { at, effect, command });
  journal.close();
});
afterEach(async () => {
  await github.close();
  rmSync(root, { recursive: true });
});

const publish = (version: string) =>
  void github.publish(`v${version}`, { 'app.tar.gz': Buffer.from(version) });
const commanded = (command: Parameters<typeof argumentsOf>[0], operand: string | null = null) =>
  written(() => operate(argumentsOf(command, { operand }), parts, signal));
const checked = (json = false) =>
  written(() => checkOnly(argumentsOf('check', { json }), parts, signal));

describe('check', () => {
  it('ends with 100 where an update is available, but journals nothing', async () => {
    publish('2.1.0');
    const before = readState(parts).seq;
    const { text, result } = await checked();
    assert.deepEqual([result, text], [100, '2.0.0 → 2.1.0 (v2.1.0): app.tar.gz\n']);
    assert.equal(readState(parts).seq, before);
    assert.deepEqual(JSON.parse((await checked(true)).text), {
      updateAvailable: true,
      version: '2.0.0',
      latest: '2.1.0',
      latestTag: 'v2.1.0',
      source: { name: 'github', url: github.url, webUntil: null },
    });
  });

  it('says "up to date" only where it is true', async () => {
    publish('1.9.0');
    assert.deepEqual(Object.values(await checked()), ['up to date: 2.0.0, latest 1.9.0\n', 0]);
    publish('2.1.0');
    await commanded('deny', '2.1.0');
    assert.match(
      (await checked()).text,
      /^not up to date: 2\.0\.0\. 2\.1\.0 is available, but is denied \(`self-update retry 2\.1\.0` allows it\)/,
    );
    await commanded('retry', '2.1.0');
    await commanded('pause');
    assert.match(
      (await checked()).text,
      /^not up to date: 2\.0\.0\. 2\.1\.0 is available, but updates are paused \(`self-update resume` ends that\)/,
    );
  });

  it('fails with what GitHub said', async () => {
    github.misbehave = { api: { status: 500 } };
    await assert.rejects(checked(), (error: Error & { code?: string }) =>
      /^[A-Z_]+$/.test(error.code ?? ''),
    );
  });

  it('wakes an updater that is at work, and leaves nothing in the inbox where there is none', async () => {
    publish('2.1.0');
    const inbox = () => readdirSync(inboxDir(parts.places)).length;
    assert.equal((await checked()).result, 100);
    assert.throws(inbox, { code: 'ENOENT' });
    const lock = acquireLock(stateDir(parts.places));
    assert.equal((await checked()).result, 100);
    lock.release();
    assert.equal(inbox(), 1);
  });
});

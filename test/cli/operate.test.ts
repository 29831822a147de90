/** Commands that change something, where no updater runs, and `check`. In this process: what needs an app or another process is in test/product. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Parts } from '../../src/cli/compose.ts';
import { checkOnly, operate } from '../../src/cli/operate.ts';
import { readState } from '../../src/cli/read.ts';
import { stateDir } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { isLocked } from '../../src/journal/lock.ts';
import { StandIn } from '../support/github/server.ts';
import { updatedTo } from '../support/machine.ts';
import { argumentsOf, partsOf, written } from '../support/output.ts';

const { signal } = new AbortController();
let root: string;
let github: StandIn;
let parts: Parts;
/** Where 2.0.0 was installed and trusted. */
beforeEach(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'operate-'));
  github = await new StandIn().listen();
  parts = partsOf(root, { UPDATE_GH_API_URL: github.url, UPDATE_ASSET_HOSTS: 'localhost', UPDATE_ASSET: '*.tar.gz', UPDATE_STRATEGY: 'download-then-kill' });
  const journal = Journal.open(stateDir(parts.places));
  for (const { fact, at, effect, command } of updatedTo('2.0.0').records) journal.append(fact, { at, effect, command });
  journal.close();
});
afterEach(async () => {
  await github.close();
  rmSync(root, { recursive: true });
});

const publish = (version: string) => void github.publish(`v${version}`, { 'app.tar.gz': Buffer.from(version) });
const commanded = (command: Parameters<typeof argumentsOf>[0], operand: string | null = null, json = false) =>
  written(() => operate(argumentsOf(command, { operand, json }), parts, signal));
const checked = (json = false) => written(() => checkOnly(argumentsOf('check', { json }), parts, signal));
const context = () => {
  const { state } = readState(parts);
  assert.ok(state);
  return state.snapshot.context;
};

describe('a command without an updater', () => {
  it('is done, says so, and gives the directory back', async () => {
    const { text, result } = await commanded('pause');
    assert.deepEqual([result, context().paused, isLocked(stateDir(parts.places))], [0, true, false]);
    assert.match(text, /^the operator paused updates: done, version 2\.0\.0; updates are paused until `self-update resume`\n$/);
    await commanded('resume');
    assert.equal(context().paused, false);
  });

  it('names a version with or without its v', async () => {
    await commanded('deny', 'v3.0.0');
    assert.deepEqual(
      context().denied.map(({ version }) => version),
      ['3.0.0'],
    );
    await commanded('retry', '3.0.0');
    assert.deepEqual(context().denied, []);
  });

  it('tells the same in JSON', async () => {
    const { text } = await commanded('deny', '3.0.0', true);
    assert.deepEqual(JSON.parse(text), { ok: true, version: '2.0.0', tag: 'v2.0.0', waitingFor: null, error: null });
  });
});

describe('check', () => {
  it('ends with 100 where an update is there, and journals nothing', async () => {
    publish('2.1.0');
    const before = readState(parts).seq;
    const { text, result } = await checked();
    assert.deepEqual([result, text], [100, '2.0.0 → 2.1.0 (v2.1.0): app.tar.gz\n']);
    assert.equal(readState(parts).seq, before);
    assert.deepEqual(JSON.parse((await checked(true)).text), { updateAvailable: true, version: '2.0.0', latest: '2.1.0', latestTag: 'v2.1.0' });
  });

  it('says "up to date" only where it is true', async () => {
    publish('1.9.0');
    assert.deepEqual(Object.values(await checked()), ['up to date: 2.0.0, latest 1.9.0\n', 0]);
    publish('2.1.0');
    await commanded('deny', '2.1.0');
    assert.match((await checked()).text, /^not up to date: 2\.0\.0\. 2\.1\.0 is there, and is denied \(`self-update retry 2\.1\.0` allows it\)/);
    await commanded('retry', '2.1.0');
    await commanded('pause');
    assert.match((await checked()).text, /^not up to date: 2\.0\.0\. 2\.1\.0 is there, and updates are paused \(`self-update resume` ends that\)/);
  });

  it('fails with what GitHub said', async () => {
    github.misbehave = { api: { status: 500 } };
    await assert.rejects(checked(), (error: Error & { code?: string }) => /^[A-Z_]+$/.test(error.code ?? ''));
  });
});

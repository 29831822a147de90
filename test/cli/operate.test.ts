/**
 * Commands that change something, where no updater runs. In this process: what needs an app or
 * another process is in test/product.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { operate } from '../../src/cli/operate.ts';
import type { Parts } from '../../src/cli/parts.ts';
import { readState } from '../../src/cli/read.ts';
import { stateDir } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { isLocked } from '../../src/journal/lock.ts';
import { updatedTo } from '../support/machine.ts';
import { argumentsOf, partsOf, written } from '../support/output.ts';

const { signal } = new AbortController();
let root: string;
let parts: Parts;
/** Where 2.0.0 was installed and trusted. */
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'operate-'));
  parts = partsOf(root);
  const journal = Journal.open(stateDir(parts.places));
  for (const { fact, at, effect, command } of updatedTo('2.0.0').records)
    journal.append(fact, { at, effect, command });
  journal.close();
});
afterEach(() => rmSync(root, { recursive: true }));

const commanded = (
  command: Parameters<typeof argumentsOf>[0],
  operand: string | null = null,
  json = false,
) => written(() => operate(argumentsOf(command, { operand, json }), parts, signal));
const context = () => {
  const { state } = readState(parts);
  assert.ok(state);
  return state.snapshot.context;
};

describe('a command without an updater', () => {
  it('is done, says so, and gives the directory back', async () => {
    const { text, result } = await commanded('pause');
    assert.deepEqual(
      [result, context().paused, isLocked(stateDir(parts.places))],
      [0, true, false],
    );
    assert.match(
      text,
      /^the operator paused updates: done, version 2\.0\.0; updates are paused until `self-update resume`\n$/,
    );
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
    assert.deepEqual(JSON.parse(text), {
      ok: true,
      version: '2.0.0',
      tag: 'v2.0.0',
      waitingFor: null,
      error: null,
    });
  });
});

/** What the composition root makes of the configuration. */
import assert from 'node:assert/strict';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createSupervisor } from '../../src/cli/compose.ts';
import { assetPatternOf } from '../../src/cli/parts.ts';
import { EmbeddedSupervisor } from '../../src/effects/supervisor/embedded.ts';
import { configOf, partsOf } from '../support/output.ts';

let root: string;
before(() => {
  root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'compose-')));
});
after(() => rmSync(root, { recursive: true }));

describe('an asset', () => {
  it('is chosen by the glob where one is set', () => {
    assert.equal(assetPatternOf(configOf()), null);
    const pattern = assetPatternOf(configOf({ UPDATE_ASSET: 'app_*_linux*.tar.gz' }));
    assert.deepEqual(
      ['app_1.0_linux_amd64.tar.gz', 'app_1.0_darwin.tar.gz'].map((name) => pattern?.matches(name)),
      [true, false],
    );
  });
});

describe('the supervisor', () => {
  it('is embedded outside the container, and runit there is an error with its remedy', () => {
    assert.ok(createSupervisor(partsOf(root), 'file') instanceof EmbeddedSupervisor);
    assert.throws(() => createSupervisor(partsOf(root, { UPDATE_SUPERVISOR: 'runit' }), 'file'), {
      code: 'SUPERVISOR_MISSING',
      message: /leave the setting out/,
    });
  });
});

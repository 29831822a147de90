/** What came with an image, and whose it is. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { readBaked } from '../../src/effects/trees.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'trees-'));
after(() => rmSync(root, { recursive: true }));

function places(name: string, versions: readonly string[], repository?: string) {
  const bakedDir = path.join(root, name);
  for (const version of versions) mkdirSync(path.join(bakedDir, version), { recursive: true });
  if (repository !== undefined)
    writeFileSync(path.join(bakedDir, '.repository'), `${repository}\n`);
  return {
    root: path.join(root, 'data'),
    bakedDir,
    repository: 'acme/app',
    versioning: 'semver',
    tagPrefix: '',
  } as const;
}

describe('the baked version', () => {
  it('is the newest directory that is named by a version', async () => {
    assert.equal(
      (await readBaked(places('several', ['1.9.0', '1.10.0', 'lost+found'])))?.version,
      '1.10.0',
    );
  });

  it('is none where there is nothing', async () => {
    assert.equal(await readBaked(places('none', [])), null);
  });

  it('counts for the repository that the image names, and for no other', async () => {
    assert.equal((await readBaked(places('ours', ['1.0.0'], 'acme/app')))?.version, '1.0.0');
    assert.equal(await readBaked(places('theirs', ['1.0.0'], 'somebody/else')), null);
  });
});

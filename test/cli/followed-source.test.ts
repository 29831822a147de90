/** Where releases come from: as `status`, `check`, the log and JSON name it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { checkOnly } from '../../src/cli/check-only.ts';
import type { Parts } from '../../src/cli/parts.ts';
import { currentStatus, showStatus } from '../../src/cli/read.ts';
import { stateDir } from '../../src/effects/trees.ts';
import { Journal } from '../../src/journal/journal.ts';
import { policySchema } from '../../src/machines/model.ts';
import { describeFact } from '../../src/report/words.ts';
import { FakeDirectory } from '../support/directory/server.ts';
import { argumentsOf, partsOf, written } from '../support/output.ts';

const { signal } = new AbortController();
let root: string;
before(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'followed-source-'));
});
after(() => rmSync(root, { recursive: true }));

const place = (name: string, url?: string): Record<string, string> => ({
  UPDATE_SOURCE: name,
  ...(url === undefined ? {} : { UPDATE_SOURCE_URL: url }),
});

/** As an updater that begins with these settings says it, and as `status` does. */
async function told(parts: Parts) {
  const world = { baked: null, current: null, lastGood: null };
  const { text } = await written(() => showStatus(argumentsOf('status'), parts, signal));
  return {
    log: describeFact({ type: 'initialized', policy: parts.policy, world }),
    status: /^following +(.*)\n(?:source +(.*)\n)?/m.exec(text)?.slice(1),
    json: (await currentStatus(parts)).source,
  };
}

describe('the source that is followed', () => {
  it('is not named where it is GitHub, but in JSON', async () => {
    const parts = partsOf(path.join(root, 'github'));
    assert.deepEqual(await told(parts), {
      log: 'following acme/app, kill-then-download',
      status: ['acme/app', undefined],
      json: { name: 'github', url: 'https://api.github.com', webUntil: null },
    });
    assert.ok(!('source' in parts.policy), 'old journals tell of no change');
  });

  for (const [shown, settings, url] of [
    ['codeberg.org (forgejo)', place('forgejo', 'https://codeberg.org/'), 'https://codeberg.org'],
    [
      'example.com:8443/git (gitlab)',
      place('gitlab', 'https://example.com:8443/git/'),
      'https://example.com:8443/git',
    ],
    [
      '/srv/releases (directory)',
      place('directory', 'file:///srv/releases/releases.json'),
      'file:///srv/releases',
    ],
    [
      'ghcr.io/owner/files (oci)',
      place('oci', 'https://ghcr.io/owner/files'),
      'https://ghcr.io/owner/files',
    ],
    ['ghcr.io/acme/app (oci)', place('oci', 'https://ghcr.io'), 'https://ghcr.io/acme/app'],
    ['github.com (github-web)', place('github-web'), 'https://github.com'],
    [
      'example.com/mirror (github-web)',
      place('github-web', 'https://user:a-password@example.com/mirror?key=a-secret#part'),
      'https://example.com/mirror',
    ],
  ] as const)
    it(`is named as ${shown}`, async () => {
      const parts = partsOf(path.join(root, 'elsewhere'), settings);
      assert.deepEqual(await told(parts), {
        log: `following acme/app from ${shown}, kill-then-download`,
        status: ['acme/app', shown],
        json: { name: settings.UPDATE_SOURCE, url, webUntil: null },
      });
      // As it comes back from the journal: else each start would tell of another configuration.
      assert.equal(
        JSON.stringify(policySchema.parse(JSON.parse(JSON.stringify(parts.policy)))),
        JSON.stringify(parts.policy),
      );
    });

  it('is named when the configuration changes to it', () => {
    const { policy } = partsOf(root, place('forgejo', 'https://codeberg.org'));
    assert.equal(
      describeFact({ type: 'configurationChanged', policy }),
      'the configuration changed: following acme/app from codeberg.org (forgejo), kill-then-download',
    );
  });

  it("is GitHub's web pages while its API is at its limit, unless there is a token", async () => {
    const directory = path.join(root, 'limited');
    const parts = partsOf(directory);
    const journal = Journal.open(stateDir(parts.places));
    const limit = (until: number) =>
      journal.writeNote('answer:limited-until', JSON.stringify({ etag: '', body: `${until}` }));
    const until = Date.now() + 1_800_000;
    const webUntil = new Date(until).toISOString();
    limit(until);
    const { status, json } = await told(parts);
    assert.equal(json.webUntil, webUntil);
    assert.equal(
      status?.[1],
      `GitHub's web pages, since its API answers no requests until ${webUntil}`,
    );
    const hasToken = partsOf(directory, { UPDATE_GH_TOKEN: 'a-token-of-one-s-own' });
    assert.equal((await told(hasToken)).json.webUntil, null);
    const elsewhere = partsOf(directory, place('forgejo', 'https://codeberg.org'));
    assert.equal((await told(elsewhere)).json.webUntil, null);
    limit(Date.now() - 1);
    assert.equal((await told(parts)).json.webUntil, null);
    journal.close();
  });

  it('is named by `check`, in words and in JSON', async () => {
    await using directory = await new FakeDirectory().listen();
    await directory.publish('v1.0.0', { 'app.tar.gz': Buffer.from('1.0.0') });
    const parts = partsOf(path.join(root, 'check'), {
      ...place('directory', directory.fileUrl),
      UPDATE_ASSET: '*.tar.gz',
    });
    const checked = async (json: boolean) =>
      (await written(() => checkOnly(argumentsOf('check', { json }), parts, signal))).text;
    assert.equal(
      await checked(false),
      `nothing → 1.0.0 (v1.0.0): app.tar.gz; asked ${directory.root} (directory)\n`,
    );
    assert.deepEqual(JSON.parse(await checked(true)).source, {
      name: 'directory',
      url: `file://${directory.root}`,
      webUntil: null,
    });
  });
});

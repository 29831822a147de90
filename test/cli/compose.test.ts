/** What the composition root makes of the configuration. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { assetPatternOf, createSupervisor } from '../../src/cli/compose.ts';
import { appEnvironment } from '../../src/cli/environment.ts';
import { noteStore, readPollNote } from '../../src/cli/notes.ts';
import { placesOf, policyOf } from '../../src/cli/policy.ts';
import { trustOf } from '../../src/cli/rules.ts';
import { EmbeddedSupervisor } from '../../src/effects/supervisor/embedded.ts';
import { Journal } from '../../src/journal/journal.ts';
import { FakeMinisign } from '../support/minisign.ts';
import { configOf, partsOf } from '../support/output.ts';

let root: string;
before(() => {
  root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'compose-')));
});
after(() => rmSync(root, { recursive: true }));

describe("the updater's directory", () => {
  it('is one, however it is written: with two slashes, through a link, before it is there', () => {
    mkdirSync(path.join(root, 'real'));
    symlinkSync('real', path.join(root, 'link'));
    const named = (directory: string) => placesOf(configOf({ UPDATE_DIR: directory })).root;
    assert.equal(named(`${root}//link`), path.join(root, 'real'));
    assert.equal(named(`${root}/link/new/deeper`), path.join(root, 'real', 'new', 'deeper'));
  });
});

describe('the rules that a tree was let in by', () => {
  const rules = (environment: Record<string, string>) => placesOf(configOf(environment)).rules;
  const [one, two] = [new FakeMinisign(), new FakeMinisign()].map(({ publicKey }) => publicKey) as [string, string];
  const minisign = (keys: string, more: Record<string, string> = {}) => rules({ UPDATE_VERIFY: 'digest,minisign', UPDATE_MINISIGN_KEYS: keys, ...more });

  it('are others under other conditions, keys or binding, and the same for the same keys in another order', () => {
    const all = [
      rules({}),
      rules({ UPDATE_VERIFY: 'none' }),
      minisign(one),
      minisign(two),
      minisign(`${one} ${two}`),
      minisign(one, { UPDATE_MINISIGN_BINDING: 'none' }),
    ];
    assert.equal(new Set(all).size, all.length);
    assert.equal(minisign(`${one} ${two}`), minisign(`${two} ${one}`));
  });

  it('do not change with a key that nothing is checked against', () => {
    assert.equal(rules({ UPDATE_MINISIGN_KEYS: one }), rules({}));
  });
});

describe('the policy', () => {
  it('asks for digests, and for nothing that is not set', () => {
    const policy = policyOf(configOf());
    assert.deepEqual([policy.repository, policy.requireDigest, policy.requireMinisign, policy.tag, policy.window], ['acme/app', true, false, null, null]);
    assert.deepEqual(policy.hooks, { preStop: false, preStart: false, postUpdate: false });
  });

  it('knows denied versions without their v, and a tag that begins with one as it is', () => {
    assert.deepEqual(policyOf(configOf({ UPDATE_DENY: 'v1.2.3 1.2.4 version-5' })).denied, ['1.2.3', '1.2.4', 'version-5']);
  });

  it('has a window in the time zone of TZ', () => {
    const { window } = policyOf(configOf({ UPDATE_WINDOW: '02:00-05:00', TZ: 'Europe/Berlin' }));
    assert.deepEqual([window?.text, window?.timeZone], ['02:00-05:00', 'Europe/Berlin']);
  });

  it('believes a release that it is urgent on its word where digests are all that is checked', () => {
    assert.equal(policyOf(configOf()).urgentNeedsProof, false);
    assert.equal(policyOf(configOf({ UPDATE_VERIFY: 'minisign', UPDATE_MINISIGN_KEYS: new FakeMinisign().publicKey })).urgentNeedsProof, true);
  });
});

describe('what the app is given', () => {
  it("is the whole environment but the updater's variables", () => {
    assert.deepEqual(appEnvironment({ PORT: '80', GH_USER: 'acme', UPDATE_GH_TOKEN: 'secret', EMPTY: '', UNSET: undefined }), {
      PORT: '80',
      GH_USER: 'acme',
      EMPTY: '',
    });
  });
});

describe('the note and the cached answers', () => {
  it('are kept without secrets, and an answer that holds one is not kept at all', () => {
    const journal = Journal.open(path.join(root, 'noted'));
    const { note, cache } = noteStore(journal, true, () => ['hush-hush-hush']);
    note.write({ ...note.read(), lastError: { code: 'NETWORK_FAILED', message: 'said hush-hush-hush', at: 1 } });
    assert.doesNotMatch(note.read().lastError?.message ?? '', /hush/);
    const entry = { etag: 'x', body: 'fine' } as never as Parameters<typeof cache.write>[1];
    cache.write('a', entry);
    cache.write('b', { ...entry, body: 'hush-hush-hush' });
    assert.deepEqual([cache.read('a'), cache.read('b')], [entry, null]);
    const readOnly = noteStore(journal, false, () => []);
    readOnly.cache.write('c', entry);
    assert.equal(readOnly.cache.read('c'), null);
    journal.close();
  });

  it('begin anew where the note is of another version', () => {
    const journal = Journal.open(path.join(root, 'odd'));
    const fresh = readPollNote(journal);
    journal.writeNote('poll', '{"lastCheckAt":"yesterday"}');
    assert.deepEqual(readPollNote(journal), fresh);
    journal.close();
  });
});

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

describe('what downloads are checked against', () => {
  it('is all that is asked for', () => {
    const { publicKey } = new FakeMinisign();
    const trust = trustOf(configOf({ UPDATE_VERIFY: 'digest,minisign', UPDATE_MINISIGN_KEYS: publicKey }));
    assert.deepEqual([trust.conditions, trust.minisignKeys.length, trust.attestation], [['digest', 'minisign'], 1, null]);
    const none = trustOf(configOf({ UPDATE_VERIFY: 'none' }));
    assert.deepEqual(none.conditions, []);
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

/** What follows from the configuration alone. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { placesOf, policyOf } from '../../src/cli/policy.ts';
import { FakeMinisign } from '../support/minisign.ts';
import { configOf } from '../support/output.ts';

let root: string;
before(() => {
  root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'policy-')));
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

describe('the policy', () => {
  it('asks for digests, and for nothing that is not set', () => {
    const policy = policyOf(configOf());
    assert.deepEqual(
      [policy.repository, policy.requireDigest, policy.requireMinisign, policy.tag, policy.window],
      ['acme/app', true, false, null, null],
    );
    assert.deepEqual(policy.hooks, { preStop: false, preStart: false, postUpdate: false });
  });

  it('knows denied versions without their v, and a tag that begins with one as it is', () => {
    assert.deepEqual(policyOf(configOf({ UPDATE_DENY: 'v1.2.3 1.2.4 version-5' })).denied, [
      '1.2.3',
      '1.2.4',
      'version-5',
    ]);
  });

  it('has a window in the time zone of TZ', () => {
    const { window } = policyOf(configOf({ UPDATE_WINDOW: '02:00-05:00', TZ: 'Europe/Berlin' }));
    assert.deepEqual([window?.text, window?.timeZone], ['02:00-05:00', 'Europe/Berlin']);
  });

  it('believes a release that it is urgent on its word where digests are all that is checked', () => {
    assert.equal(policyOf(configOf()).urgentNeedsProof, false);
    assert.equal(
      policyOf(
        configOf({ UPDATE_VERIFY: 'minisign', UPDATE_MINISIGN_KEYS: new FakeMinisign().publicKey }),
      ).urgentNeedsProof,
      true,
    );
  });
});

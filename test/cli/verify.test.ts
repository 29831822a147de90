/** `verify`: the trees on disk, a file beside its sums, and a release, each against every rule. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Parts } from '../../src/cli/parts.ts';
import { showVerify } from '../../src/cli/verify.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { FakeMinisign } from '../support/minisign.ts';
import { argumentsOf, partsOf, written } from '../support/output.ts';

const NAME = 'app_1.2.3_linux_amd64.tar.gz';
const BYTES = Buffer.from('not looked into');
const SHA = createHash('sha256').update(BYTES).digest('hex');
const { signal } = new AbortController();
let root: string;
let github: FakeGitHub;
beforeEach(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'verify-'));
  mkdirSync(path.join(root, 'files'));
  github = await new FakeGitHub().listen();
});
afterEach(async () => {
  await github.close();
  rmSync(root, { recursive: true });
});

function parts(environment: Record<string, string> = {}): Parts {
  return partsOf(root, {
    UPDATE_GH_API_URL: github.url,
    UPDATE_ASSET_HOSTS: 'localhost',
    UPDATE_ASSET: '*.tar.gz',
    ...environment,
  });
}
function file(name: string, content: string | Buffer): string {
  const made = path.join(root, 'files', name);
  writeFileSync(made, content);
  return made;
}
const verified = (operand: string | null, json = false, environment: Record<string, string> = {}) =>
  written(() => showVerify(argumentsOf('verify', { operand, json }), parts(environment), signal));
type Finding = { rule: string; ok: boolean; code: string | null };
const failing = (text: string) =>
  (JSON.parse(text) as Finding[]).filter(({ ok }) => !ok).map(({ code }) => code);

describe('verify of a file', () => {
  it('takes the sums that lie beside it, and not its own word', async () => {
    const named = file(NAME, BYTES);
    const alone = await verified(named, true);
    assert.equal(alone.result, 1);
    assert.deepEqual(failing(alone.text), ['DIGEST_MISSING']);
    file('checksums.txt', `${SHA}  ${NAME}\n`);
    const { text, result } = await verified(named);
    assert.equal(result, 0, text);
    assert.match(text, /^\S+app_1\.2\.3_linux_amd64\.tar\.gz, taken for version 1\.2\.3\n.*holds/);
    file('checksums.txt', `${'0'.repeat(64)}  ${NAME}\n`);
    assert.deepEqual(failing((await verified(named, true)).text), ['DIGEST_MISMATCH']);
  });

  it('names every rule that does not hold, not the first alone', async () => {
    const environment = {
      UPDATE_VERIFY: 'digest,minisign',
      UPDATE_MINISIGN_KEYS: new FakeMinisign().publicKey,
    };
    const { text, result } = await verified(file(NAME, BYTES), true, environment);
    assert.equal(result, 1);
    assert.deepEqual(failing(text).sort(), ['DIGEST_MISSING', 'SIGNATURE_MISSING']);
  });
});

describe('verify of a release', () => {
  it('downloads it, judges it, and leaves nothing', async () => {
    github.publish('v1.2.3', { [NAME]: BYTES });
    const before = readdirSync(os.tmpdir()).filter((name) =>
      name.startsWith('self-update-verify-'),
    ).length;
    const { text, result } = await verified('v1.2.3');
    assert.equal(result, 0, text);
    assert.match(text, /^app_1\.2\.3_linux_amd64\.tar\.gz of v1\.2\.3, acme\/app\n/);
    assert.equal(existsSync(path.join(root, 'data', 'releases')), false, 'nothing is installed');
    assert.equal(
      readdirSync(os.tmpdir()).filter((name) => name.startsWith('self-update-verify-')).length,
      before,
    );
  });

  it('that is not there says so', async () => {
    await assert.rejects(verified('v9.9.9'), (error: Error & { code?: string }) =>
      /NOT_FOUND/.test(error.code ?? ''),
    );
  });
});

describe('verify of what is installed', () => {
  it('says where nothing is', async () => {
    assert.deepEqual(Object.values(await verified(null)), ['nothing is installed yet\n', 0]);
    assert.deepEqual(Object.values(await verified(null, true)), ['[]\n', 0]);
  });
});

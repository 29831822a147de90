import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type Config, parseConfig } from '../../src/config/config.ts';
import { settingNames } from '../../src/config/settings.ts';
import { settingsTable } from '../../src/config/table.ts';

const MINIMAL = { GH_USER: 'acme', GH_REPO: 'app' };

function parsed(environment: Record<string, string> = {}): Config {
  const result = parseConfig({ ...MINIMAL, ...environment });
  assert.ok(result.ok, result.ok ? '' : result.problems.join('\n'));
  return result.config;
}

function problems(environment: Record<string, string | undefined>): string[] {
  const result = parseConfig({ ...MINIMAL, ...environment });
  return result.ok ? [] : result.problems;
}

describe('the configuration', () => {
  it('needs nothing but a repository', () => {
    const config = parsed();
    assert.equal(config.SLEEP, 300_000);
    assert.equal(config.SVWAIT, 7000);
    assert.equal(config.UPDATE_STRATEGY, 'kill-then-download');
    assert.equal(config.apiUrl, 'https://api.github.com');
    assert.equal(config.UPDATE_MAX_ASSET_BYTES, 1024 ** 3);
    assert.equal(config.token(), null);
  });

  it('takes an empty variable as an unset one', () => {
    assert.equal(parsed({ SLEEP: '', UPDATE_TAG: '', VERBOSE: '' }).UPDATE_TAG, undefined);
  });

  it('says every problem at once, each with its variable and an example', () => {
    const found = problems({ GH_USER: 'a/b', SLEEP: '-1', UPDATE_KEEP: '1', UPDATE_GH_API_URL: 'ftp://x', UPDATE_STOP_SIGNAL: 'FOO' });
    assert.equal(found.length, 5);
    for (const problem of found) assert.match(problem, /^[A-Z_]+: .+ Example: [A-Z_]+=.+$/);
  });

  const wrong: [string, Record<string, string | undefined>, RegExp][] = [
    ['no owner', { GH_USER: undefined }, /^GH_USER: is required/],
    ['an owner with a slash', { GH_USER: 'a/b' }, /^GH_USER: "a\/b" is not the name/],
    ['a repository with an owner', { GH_REPO: 'acme/app' }, /^GH_REPO: /],
    ['a repository that is a path', { GH_REPO: '..' }, /^GH_REPO: /],
    ['sleep in words', { SLEEP: 'often' }, /^SLEEP: "often" is not a number of seconds/],
    ['sleep below 5', { SLEEP: '4', UPDATE_GH_TOKEN: 't0ken' }, /^SLEEP: "4" is below 5/],
    ['sleep below 60 without a token', { SLEEP: '59' }, /^SLEEP: "59" is below 60.*60 requests an hour/],
    ['plain http to elsewhere', { UPDATE_GH_API_URL: 'http://github.corp/api/v3' }, /plain http.*UPDATE_INSECURE_HTTP=1/],
    ['a range that is none', { UPDATE_RANGE: 'latest' }, /^UPDATE_RANGE: "latest" is not a semver range/],
    ['an unknown strategy', { UPDATE_STRATEGY: 'fast' }, /kill-then-download, download-then-kill/],
    ['both health checks', { UPDATE_HEALTH_URL: 'http://127.0.0.1/', UPDATE_HEALTH_CMD: 'true' }, /Keep one/],
    ['a linked name that leaves the tree', { UPDATE_LINKED: 'world ../etc' }, /^UPDATE_LINKED: \.\.\/etc would leave the tree/],
    ['a relative directory', { UPDATE_DIR: 'data' }, /is not an absolute path/],
    ['bytes in words', { UPDATE_MAX_ASSET_BYTES: 'lots' }, /is not a number of bytes/],
    ['a time zone that is none', { TZ: 'Mars/Olympus', UPDATE_WINDOW: '02:00-05:00' }, /is not a time zone/],
    ['a secret file that is not there', { UPDATE_GH_TOKEN_FILE: '/nowhere/token' }, /^UPDATE_GH_TOKEN_FILE: \/nowhere\/token can't be read \(ENOENT\)/],
  ];
  for (const [title, environment, message] of wrong) {
    it(`refuses ${title}`, () => {
      const found = problems(environment);
      assert.ok(
        found.some((problem) => message.test(problem)),
        found.join('\n') || 'accepted',
      );
    });
  }

  it('accepts units, loopback without TLS, and short sleeps with a token', () => {
    const config = parsed({
      SLEEP: '5',
      UPDATE_GH_TOKEN: 'secret',
      UPDATE_GH_API_URL: 'http://127.0.0.1:8080/',
      UPDATE_PROBATION: '2m',
      UPDATE_MAX_ASSET_BYTES: '500MiB',
    });
    assert.deepEqual(
      [config.SLEEP, config.apiUrl, config.UPDATE_PROBATION, config.UPDATE_MAX_ASSET_BYTES],
      [5000, 'http://127.0.0.1:8080', 120_000, 500 * 1024 ** 2],
    );
  });

  it('reads a secret from its file anew each time, and not twice', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'secret-'));
    const file = path.join(directory, 'token');
    try {
      writeFileSync(file, 'first\n');
      const { token } = parsed({ UPDATE_GH_TOKEN_FILE: file });
      assert.equal(token(), 'first');
      writeFileSync(file, 'second\n');
      assert.equal(token(), 'second');
      assert.match(problems({ UPDATE_GH_TOKEN_FILE: file, UPDATE_GH_TOKEN: 'x' }).join(), /given twice/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('never repeats a secret in a complaint', () => {
    assert.ok(!problems({ HTTPS_PROXY: 'hunter2 is my password' }).join().includes('hunter2'));
  });

  it('notices slips of the pen', () => {
    const result = parseConfig({ ...MINIMAL, UPDATE_STRATEGI: 'x' });
    assert.deepEqual(result.ok && result.unknown, ['UPDATE_STRATEGI']);
  });

  it('is what docs/settings.md says', () => {
    const documented = readFileSync(path.join(import.meta.dirname, '..', '..', 'docs', 'settings.md'), 'utf8');
    assert.ok(documented.includes(settingsTable()), 'docs/settings.md is stale: npm run docs');
    for (const name of settingNames) assert.ok(documented.includes(`\`${name}\``), name);
  });
});

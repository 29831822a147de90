/** The address of a source, and what people write in its place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config/config.ts';

const given = (UPDATE_SOURCE: string, UPDATE_SOURCE_URL: string) =>
  parseConfig({ GH_USER: 'acme', GH_REPO: 'app', UPDATE_SOURCE, UPDATE_SOURCE_URL });

describe('the address of a source', () => {
  const taken: [source: string, given: string, url: string][] = [
    ['forgejo', 'https://codeberg.org/', 'https://codeberg.org'],
    ['directory', 'https://x.example/app/releases.json', 'https://x.example/app'],
    ['directory', 'file:///mnt/releases/releases.json', 'file:///mnt/releases'],
    ['directory', 'file:///mnt/releases/', 'file:///mnt/releases'],
    ['oci', 'http://localhost:5000', 'http://localhost:5000'],
  ];
  for (const [source, text, url] of taken)
    it(`is read from ${text} (${source})`, () => {
      const result = given(source, text);
      assert.equal(result.ok && result.config.source.url, url);
    });

  const meant: Record<string, string | null> = {
    '/mnt/releases': 'file:///mnt/releases',
    '/mnt/my releases': 'file:///mnt/my%20releases',
    'x.example/app': 'https://x.example/app',
    'oras://ghcr.io/acme/app': 'https://ghcr.io/acme/app',
    'docker://docker.io/acme/app': 'https://docker.io/acme/app',
    './releases': null,
    releases: null,
    'ftp://x.example': null,
    'file://host/releases': null,
  };
  for (const [text, url] of Object.entries(meant))
    it(`is not ${text}, and one problem is told of it`, () => {
      const result = given('directory', text);
      assert.ok(!result.ok);
      const [problem = '', ...others] = result.problems;
      assert.deepEqual(others, []);
      const [, set = null] = / Set UPDATE_SOURCE_URL=(\S+)$/.exec(problem) ?? [];
      assert.equal(set, url, problem);
    });
});

/** `self-update index`: from a directory of TAG/files to releases.json. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { checkOnly } from '../../../src/cli/check-only.ts';
import { indexSchema, releasesOf } from '../../../src/effects/sources/releases-index.ts';
import { writeIndex } from '../../../src/effects/sources/write-index.ts';
import { argumentsOf, partsOf, written } from '../../support/output.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'index-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const file = () => path.join(root, 'releases.json');
const read = () => indexSchema.parse(JSON.parse(readFileSync(file(), 'utf8')));
function place(name: string, content = name): void {
  mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
  writeFileSync(path.join(root, name), content);
}

it('lists each tag with its files, their sizes and sums, the newest version first', async () => {
  for (const tag of ['v1.9.0', 'v1.10.0', 'v1.10.0-rc.1', 'nightly']) place(`${tag}/app.tar.gz`);
  await writeIndex(root);
  const { releases } = read();
  assert.deepEqual(
    releases.map(({ tag, prerelease }) => [tag, prerelease]),
    [
      ['v1.10.0', false],
      ['v1.10.0-rc.1', true],
      ['v1.9.0', false],
      ['nightly', false],
    ],
  );
  assert.deepEqual(releases[0]?.assets, [
    {
      name: 'app.tar.gz',
      url: 'v1.10.0/app.tar.gz',
      sizeBytes: 18,
      sha256: createHash('sha256').update('v1.10.0/app.tar.gz').digest('hex'),
    },
  ]);
  assert.deepEqual(
    readdirSync(root).filter((name) => name.startsWith('releases')),
    ['releases.json'],
  );
});

it('leaves to the reader what only semver calls a prerelease', async () => {
  const tags = ['v4.7.3-1', 'v4.7.2-stable', 'v4.7.2-rc1', 'v4.7.1', 'v4.7rc1'];
  for (const tag of tags) place(`${tag}/app.tar.gz`);
  await writeIndex(root);
  assert.deepEqual(
    read().releases.map(({ tag, prerelease }) => [tag, prerelease]),
    tags.map((tag) => [tag, tag.includes('rc')]),
  );
  const followed = async (versioning: string) => {
    const parts = partsOf(path.join(root, '.place'), {
      UPDATE_SOURCE: 'directory',
      UPDATE_SOURCE_URL: pathToFileURL(root).href,
      UPDATE_VERSIONING: versioning,
    });
    const { signal } = new AbortController();
    const { text } = await written(() =>
      checkOnly(argumentsOf('check', { json: true }), parts, signal),
    );
    return JSON.parse(text).latestTag;
  };
  assert.equal(await followed('loose'), 'v4.7.3-1');
  assert.equal(await followed('semver'), 'v4.7.1');
});

it('keeps what files can not say, and knows no time by itself', async () => {
  place('v1.0.0/app');
  place('v2.0.0/app');
  await writeIndex(root);
  assert.equal(read().releases[0]?.publishedAt, undefined);
  const index = read();
  const publishedAt = '2026-01-31T12:00:00Z';
  Object.assign(index.releases[1] ?? {}, { publishedAt, urgent: true, prerelease: true });
  writeFileSync(file(), JSON.stringify({ ...index, latest: 'v1.0.0' }));
  place('v3.0.0/app');
  await writeIndex(root);
  const { latest, releases } = read();
  assert.equal(latest, 'v1.0.0');
  assert.deepEqual(
    releases.map(({ tag, publishedAt: at, urgent, prerelease }) => [tag, at, urgent, prerelease]),
    [
      ['v3.0.0', undefined, undefined, false],
      ['v2.0.0', undefined, undefined, false],
      ['v1.0.0', publishedAt, true, true],
    ],
  );
  rmSync(path.join(root, 'v1.0.0'), { recursive: true });
  await writeIndex(root);
  assert.equal(read().latest, undefined);
});

it('passes links, hidden files and deeper directories over, and encodes names', async () => {
  place('v1.0.0+5/a b#c?.tar.gz');
  place('v1.0.0+5/.part');
  place('v1.0.0+5/deeper/x');
  place('.git/config');
  symlinkSync('/etc/passwd', path.join(root, 'v1.0.0+5', 'link'));
  const { passedOver, releases } = await writeIndex(root);
  assert.equal(releases, 1);
  assert.deepEqual(passedOver.sort(), ['v1.0.0+5/deeper', 'v1.0.0+5/link']);
  const [release] = releasesOf(read(), 'https://files.example.com/', null);
  assert.deepEqual(
    release?.assets.map(({ url }) => url),
    ['https://files.example.com/v1.0.0%2B5/a%20b%23c%3F.tar.gz'],
  );
});

it('names files beside the directories of tags', async () => {
  place('app.tar.gz');
  await writeIndex(root);
  const { loose, releases } = await writeIndex(root);
  assert.equal(releases, 0);
  assert.deepEqual(loose, ['app.tar.gz']);
});

it('leaves a list as it is that is the same', async () => {
  place('v1.0.0/app');
  await writeIndex(root);
  const { ino } = statSync(file());
  await writeIndex(root);
  assert.equal(statSync(file()).ino, ino);
  place('v1.0.0/app2');
  await writeIndex(root);
  assert.notEqual(statSync(file()).ino, ino);
});

it('writes nothing that the updater would refuse, and leaves what was there', async () => {
  place('v1.0.0/app');
  await writeIndex(root);
  const before = readFileSync(file(), 'utf8');
  place('v2.0.0/app\u001b[2J');
  await assert.rejects(writeIndex(root), { code: 'INDEX_REFUSED' });
  assert.equal(readFileSync(file(), 'utf8'), before);
});

it('replaces no file that it can not read, and no directory that is not there', async () => {
  place('v1.0.0/app');
  place('releases.json', '{"releases": "mine"}');
  await assert.rejects(writeIndex(root), { code: 'INDEX_REFUSED' });
  assert.equal(readFileSync(file(), 'utf8'), '{"releases": "mine"}');
  await assert.rejects(writeIndex(path.join(root, 'no')), { code: 'FILE_MISSING' });
});

it('writes none that is larger than the updater reads', async () => {
  const name = 'n'.repeat(200);
  for (let tag = 0; tag < 6; tag++) {
    mkdirSync(path.join(root, `v1.0.${tag}`));
    for (let n = 0; n < 990; n++) writeFileSync(path.join(root, `v1.0.${tag}`, `${name}${n}`), '');
  }
  await assert.rejects(writeIndex(root), { code: 'INDEX_REFUSED', message: /bytes.*remove/ });
  assert.deepEqual(
    readdirSync(root).filter((entry) => entry.includes('releases')),
    [],
  );
});

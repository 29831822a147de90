/** What `releases.json` may hold, and that its schema says the same. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import {
  indexSchema,
  latestTagOf,
  releasesOf,
} from '../../../src/effects/sources/releases-index.ts';
import { validatorOf } from '../../support/schema.ts';

const DOCS = path.join(import.meta.dirname, '..', '..', '..', 'docs');
const BASE = 'https://files.example.com/app/';
const SHA = 'Ab'.repeat(32);
const asset = { name: 'app.tar.gz', url: 'v1/app.tar.gz', sizeBytes: 1, sha256: SHA };
const listing = (changes: object = {}, ofAsset: object = {}) => ({
  releases: [{ tag: 'v1', assets: [{ ...asset, ...ofAsset }], ...changes }],
});
const isTaken = (index: unknown) => indexSchema.safeParse(index).success;
const fits = validatorOf(JSON.parse(readFileSync(path.join(DOCS, 'releases.schema.json'), 'utf8')));

describe('an index', () => {
  it('is taken as the documentation shows it, by the parser and by its schema', () => {
    const text = /```json\n(.*?)```/s.exec(readFileSync(path.join(DOCS, 'sources.md'), 'utf8'));
    const shown: unknown = JSON.parse(text?.[1] ?? '');
    assert.ok(isTaken(shown));
    assert.ok(fits(shown), JSON.stringify(fits.errors));
  });

  it('gives its releases in its order, with addresses below it, sums in small letters, and nulls', () => {
    const index = indexSchema.parse(listing({}, { url: 'v%201/a%2Bb.tar.gz' }));
    const [release] = releasesOf(index, BASE, null);
    assert.deepEqual(release && { ...release, assets: undefined }, {
      tag: 'v1',
      draft: false,
      prerelease: false,
      publishedAt: null,
      urgent: false,
      assets: undefined,
    });
    const [first] = release?.assets ?? [];
    assert.deepEqual([first?.url, first?.digest], [`${BASE}v%201/a%2Bb.tar.gz`, SHA.toLowerCase()]);
    assert.equal(releasesOf(index, BASE, 'KEY')[0]?.indexKey, 'KEY');
  });

  it('may hold fields of later versions', () => {
    const index = { ...listing({ notes: 'x' }, { mime: 'y' }), generator: 'z' };
    assert.ok(isTaken(index) && fits(index));
  });

  it('names its newest release: by `latest`, else by the first that is no prerelease', () => {
    const of = (latest: string | undefined, ...tags: [string, boolean][]) =>
      latestTagOf(
        indexSchema.parse({
          latest,
          releases: tags.map(([tag, prerelease]) => ({ tag, prerelease, assets: [] })),
        }),
      );
    assert.equal(of(undefined, ['v3', true], ['v1', false], ['v2', false]), 'v1');
    assert.equal(of('v2', ['v3', true], ['v1', false], ['v2', false]), 'v2');
    assert.equal(of(undefined, ['v3', true]), null);
    assert.equal(of(undefined), null);
  });

  it('tells files of another size or name apart, where there is no sum', () => {
    const idOf = (changes: object) =>
      releasesOf(indexSchema.parse(listing({}, changes)), BASE, null)[0]?.assets[0]?.id;
    assert.equal(idOf({}), idOf({}));
    assert.notEqual(idOf({}), idOf({ sizeBytes: 2 }));
    assert.ok(Number.isSafeInteger(idOf({})));
  });
});

describe('an index is refused', () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ ...asset, name: `${i}` }));
  const cases: [title: string, index: unknown, bySchema: boolean][] = [
    ['that is a list', [], true],
    ['without releases', {}, true],
    [
      'with more than a thousand releases',
      {
        releases: Array.from({ length: 1001 }, (_, i) => ({ tag: `v${i}`, assets: [] })),
      },
      true,
    ],
    ['with more than a thousand assets', listing({ assets: many(1001) }), true],
    ['with one tag twice', { releases: [...listing().releases, ...listing().releases] }, false],
    ['with one name twice', listing({ assets: [asset, asset] }), false],
    ['with a latest that it does not list', { latest: 'v2', ...listing() }, false],
    ['without a tag', listing({ tag: '' }), true],
    ['with a tag of 256 characters', listing({ tag: 'v'.repeat(256) }), true],
    ['with a tag that steers a terminal', listing({ tag: 'v1\u001b[2J' }), true],
    ['with a time that is none', listing({ publishedAt: 'yesterday' }), true],
    ['with a name that is a path', listing({}, { name: 'a/b' }), true],
    ['with a name for the directory above', listing({}, { name: '..' }), false],
    ['with half a byte', listing({}, { sizeBytes: 0.5 }), true],
    ['with a size beyond all numbers', listing({}, { sizeBytes: 1e300 }), true],
    ['with half a sum', listing({}, { sha256: 'abc' }), true],
    ['with an address of a megabyte', listing({}, { url: 'a'.repeat(1_000_000) }), true],
  ];
  for (const [title, index, bySchema] of cases)
    it(title, () => {
      assert.ok(!isTaken(index));
      if (bySchema) assert.ok(!fits(index), 'by its schema, too');
    });

  const addresses = [
    '',
    '..',
    '../x',
    'v1/../../x',
    './x',
    '/x',
    '//host/x',
    'v1//x',
    'v1/',
    '%2e%2e/x',
    '%2E./x',
    '..%2fx',
    'v1%5c..%5cx',
    '..\\x',
    'v1/%00x',
    'v1/%zz',
    'v1/x?y',
    'v1/x#y',
    'v1/\nx',
    'file:///etc/passwd',
    'FILE:/etc/passwd',
    'ftp://files.example.com/x',
    'javascript:0',
    'https://user:password@files.example.com/x',
    'https://',
  ];
  for (const url of addresses)
    it(`with the address ${JSON.stringify(url)}`, () => assert.ok(!isTaken(listing({}, { url }))));

  it('and no address that is taken leads out of it, or is of another scheme', () => {
    for (const url of [
      'v1/x',
      'x',
      '...',
      'v1/..x',
      'a%20b/c%3Fd',
      'https://cdn.example.com/x?sig=1',
    ])
      assert.ok(isTaken(listing({}, { url })), url);
  });
});

/** Loose versions as projects write them, and that their order is one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import semver from 'semver';
import {
  buildOf,
  compareVersions,
  isPrerelease,
  satisfies,
  versionFromTag,
} from '../../src/machines/version.ts';

const loosely = (a: string, b: string) => Math.sign(compareVersions(a, b, 'loose'));
const sorted = (versions: readonly string[]) => versions.toSorted(loosely);

describe('a loose version', () => {
  const written: [tag: string, prefix: string, version: string, prerelease: boolean][] = [
    ['4.7.2-stable', '', '4.7.2-stable', false],
    ['v3.7b', '', '3.7b', false],
    ['2.2.0.3_stable', '', '2.2.0.3_stable', false],
    ['release-5.1.4', 'release-', '5.1.4', false],
    ['n8n@2.3.5', 'n8n@', '2.3.5', false],
    ['1.2.3_1', '', '1.2.3_1', false],
    ['2024-01-05', '', '2024-01-05', false],
    ['r1234', 'r', '1234', false],
    ['b4567', 'b', '4567', false],
    ['jq-1.7.1', 'jq-', '1.7.1', false],
    ['REL_16_2', 'REL_', '16_2', false],
    ['curl-8_5_0', 'curl-', '8_5_0', false],
    ['v0.8.6rc1', '', '0.8.6rc1', true],
    ['1.0b2', '', '1.0b2', true],
    ['1.0a1', '', '1.0a1', true],
    ['v2.4.0p12', '', '2.4.0p12', false],
    ['deluge-2.2.1.dev0', 'deluge-', '2.2.1.dev0', true],
    ['4.8-dev1', '', '4.8-dev1', true],
    ['1.0-nightly', '', '1.0-nightly', true],
    ['RELEASE.2025-10-15T17-29-55Z', 'RELEASE.', '2025-10-15T17-29-55Z', false],
    ['release-5.1.4_v2.0.11', 'release-', '5.1.4_v2.0.11', false],
  ];
  for (const [tag, prefix, version, prerelease] of written) {
    it(`is read from ${tag}${prerelease ? ', a prerelease' : ''}`, () => {
      assert.equal(versionFromTag(tag, 'loose', prefix), version);
      assert.equal(isPrerelease(version, 'loose'), prerelease);
    });
  }

  it('is not read from a word, or from a version behind another name', () => {
    for (const tag of [
      'stable',
      'nightly',
      'release-5.1.4',
      'n8n@2.3.5',
      '8n@2.3.5',
      'v',
      '',
      `1.${'0'.repeat(400)}`,
    ])
      assert.equal(versionFromTag(tag, 'loose'), null, tag);
  });

  const orders: string[][] = [
    ['3.6', '3.7rc1', '3.7', '3.7a', '3.7b', '3.7.1', '3.8'],
    ['1.1.1', '1.1.1a', '1.1.1t', '1.1.1w', '1.1.2', '3.0.0'],
    ['1.0.dev3', '1.0', '1.0.1'],
    ['1.0a1', '1.0a10', '1.0b1', '1.0b2', '1.0rc1', '1.0'],
    ['2.4.0p2', '2.4.0p12', '2.5.0b1', '2.5.0'],
    ['2.2.0_stable', '2.2.0.3_stable', '2.2.1_stable'],
    ['1.2.3', '1.2.3_1', '1.2.3_2', '1.2.3_10', '1.2.4'],
    ['16_2', '16_10', '17_0'],
    ['2023-12-31', '2024-01-05', '2024-02-01'],
    ['4.7.1-stable', '4.7.2-rc1', '4.7.2-stable', '4.8-dev1', '4.8-stable'],
    ['5.1.4_v2.0.9', '5.1.4_v2.0.11', '5.1.5_v2.0.11'],
  ];
  for (const versions of orders) {
    it(`is ordered: ${versions.join(' < ')}`, () => {
      assert.deepEqual(sorted(versions.toReversed()), versions);
      for (let i = 1; i < versions.length; i++)
        assert.equal(loosely(versions[i - 1] ?? '', versions[i] ?? ''), -1, versions[i]);
    });
  }

  it('lies in a range by its first three numbers', () => {
    assert.ok(satisfies('16_2', '^16.1', 'loose'));
    assert.ok(satisfies('2024.01.05', '>=2024.1.5', 'loose'), 'leading zeros');
    assert.ok(satisfies('4.7.2-stable', '^4.7.2', 'loose'));
    assert.ok(!satisfies('4.7.2-rc1', '^4.7.2', 'loose'));
    assert.ok(!satisfies('3.7b', '>=3.8', 'loose'));
    assert.ok(satisfies('1.2.3.4', '~1.2.3', 'loose'));
  });

  it('has build metadata that is not compared', () => {
    assert.equal(buildOf('v1.2.3+5'), '5');
    assert.equal(buildOf('v1.2.3'), null);
    for (const versioning of ['semver', 'loose'] as const)
      assert.equal(compareVersions('1.2.3+5', '1.2.3+6', versioning), 0);
  });
});

const part = fc.nat(12).map(String);
const separator = fc.constantFrom('.', '_', '-');
const word = fc.constantFrom(
  'rc',
  'beta',
  'alpha',
  'b',
  'a',
  'p',
  'stable',
  'dev',
  'x',
  'w',
  'final',
  'T',
  '',
);
const anyVersion = fc
  .tuple(
    fc.array(part, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('.', '_'),
    fc.array(
      fc.tuple(fc.oneof(separator, fc.constant('')), word, fc.oneof(part, fc.constant(''))),
      { maxLength: 2 },
    ),
  )
  .map(([numbers, between, tail]) => numbers.join(between) + tail.flat().join(''));
const readable = anyVersion.filter((version) => versionFromTag(version, 'loose') !== null);

describe('the order of loose versions', () => {
  it('is total and transitive', () => {
    fc.assert(
      fc.property(readable, readable, readable, (a, b, c) => {
        assert.equal(loosely(a, b) + loosely(b, a), 0, `${a} and ${b}`);
        assert.equal(loosely(a, a), 0);
        const [low = '', middle = '', high = ''] = sorted([a, b, c]);
        assert.ok(
          loosely(low, middle) <= 0 && loosely(middle, high) <= 0 && loosely(low, high) <= 0,
          `${low}, ${middle}, ${high}`,
        );
        // What is equal to the middle one is so on both sides: equality is transitive too.
        if (loosely(low, middle) === 0 && loosely(middle, high) === 0)
          assert.equal(loosely(low, high), 0, `${low}, ${middle}, ${high}`);
      }),
      { numRuns: 2000 },
    );
  });

  it('is what it was for every version that was read before, since journals hold them', () => {
    const dashed = fc
      .tuple(
        fc.array(part, { minLength: 1, maxLength: 4 }),
        fc.option(
          fc.array(
            fc.tuple(word, part).map((two) => two.join('')),
            { minLength: 1, maxLength: 3 },
          ),
        ),
      )
      .map(
        ([numbers, suffix]) => numbers.join('.') + (suffix === null ? '' : `-${suffix.join('.')}`),
      );
    const odd = fc.constantFrom(
      '2024-01-05',
      '2024-1-5',
      '4.7.2-stable',
      '1.2.3-1',
      '1.2-rc10',
      '1.0.0-',
      'nightly',
      '1.2.3+5',
      '',
    );
    const either = fc.oneof(dashed, odd);
    fc.assert(
      fc.property(
        either,
        either,
        fc.constantFrom('semver' as const, 'loose' as const),
        (a, b, versioning) => {
          if (
            [a, b].some(
              (text) => OLD.exec(text) === null && versionFromTag(text, versioning) !== null,
            )
          )
            return;
          assert.equal(
            Math.sign(compareVersions(a, b, versioning)),
            Math.sign(compareAsBefore(a, b, versioning)),
            `${a} and ${b}`,
          );
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** How 0.0.1 compared. */
const OLD = /^(\d{1,15}(?:\.\d{1,15}){0,7})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;
function compareAsBefore(a: string, b: string, versioning: 'semver' | 'loose'): number {
  const [s, t] = [semver.parse(a), semver.parse(b)];
  if (versioning === 'semver' && s && t) return s.compare(t);
  const [x, y] = [OLD.exec(a), OLD.exec(b)];
  if (!x || !y) return Number(x !== null) - Number(y !== null);
  const [left, right] = [x, y].map((match) => (match[1] ?? '').split('.').map(Number)) as [
    number[],
    number[],
  ];
  for (let i = 0; i < Math.max(left.length, right.length); i++)
    if ((left[i] ?? 0) !== (right[i] ?? 0)) return (left[i] ?? 0) - (right[i] ?? 0);
  if (x[2] === undefined || y[2] === undefined)
    return Number(x[2] === undefined) - Number(y[2] === undefined);
  const [one, other] = [x[2].split('.'), y[2].split('.')];
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    if (one[i] === undefined || other[i] === undefined) return one.length - other.length;
    const difference = semver.compareIdentifiers(one[i] ?? '', other[i] ?? '');
    if (difference !== 0) return difference;
  }
  return 0;
}

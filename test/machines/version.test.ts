import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { backoffMs, MAX_BACKOFF_MS, pollPauseMs, remainingMs } from '../../src/machines/pacing.ts';
import {
  compareVersions,
  isPrerelease,
  satisfies,
  versionFromTag,
} from '../../src/machines/version.ts';

describe('versions', () => {
  it('come from tags, with or without v and prefix', () => {
    assert.equal(versionFromTag('v1.2.3', 'semver'), '1.2.3');
    assert.equal(versionFromTag('1.2.3', 'semver'), '1.2.3');
    assert.equal(versionFromTag('app-a/v1.2.3', 'semver', 'app-a/'), '1.2.3');
    assert.equal(versionFromTag('app-b/v1.2.3', 'semver', 'app-a/'), null);
    assert.equal(versionFromTag('v1.2', 'semver'), null);
    assert.equal(versionFromTag('nightly', 'semver'), null);
    assert.equal(versionFromTag('v1.2', 'loose'), '1.2');
    assert.equal(versionFromTag('2024.01.05', 'loose'), '2024.01.05');
    assert.equal(versionFromTag('1.2.3.4', 'loose'), '1.2.3.4');
  });

  it('are ordered, loosely too', () => {
    const order = (versions: string[], versioning: 'semver' | 'loose') =>
      versions.toSorted((a, b) => compareVersions(a, b, versioning));
    assert.deepEqual(
      order(['1.10.0', '1.9.0', '1.9.0-rc.1', '1.9.0-rc.10', '1.9.0-rc.2'], 'semver'),
      ['1.9.0-rc.1', '1.9.0-rc.2', '1.9.0-rc.10', '1.9.0', '1.10.0'],
    );
    assert.deepEqual(order(['2024.10.05', '2024.9.30', '2023.12.31'], 'loose'), [
      '2023.12.31',
      '2024.9.30',
      '2024.10.05',
    ]);
    assert.equal(compareVersions('1.2', '1.2.0', 'loose'), 0);
    assert.ok(compareVersions('nightly', '0.0.1', 'semver') < 0);
  });

  it('know prereleases and ranges', () => {
    assert.ok(isPrerelease('1.0.0-rc.1', 'semver'));
    assert.ok(!isPrerelease('1.0.0', 'semver'));
    assert.ok(satisfies('2.5.0', '^2.1', 'semver'));
    assert.ok(!satisfies('3.0.0', '^2.1', 'semver'));
    assert.ok(satisfies('2024.1', '>=2024', 'loose'));
  });
});

describe('pacing', () => {
  it('doubles up to an hour, and never runs away', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 10_000_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, base, jitter) => {
          const pause = backoffMs(attempt, base, jitter);
          assert.ok(pause >= 0 && pause <= MAX_BACKOFF_MS * 1.25);
        },
      ),
    );
    assert.equal(backoffMs(1, 1000, 0.5), 1000);
    assert.equal(backoffMs(4, 1000, 0.5), 8000);
    assert.equal(pollPauseMs(300_000, 0), 300_000);
  });

  it('clamps deadlines of a clock that jumped', () => {
    assert.equal(remainingMs(1e15, 0, 5000), 5000);
    assert.equal(remainingMs(0, 1e15, 5000), 0);
  });
});

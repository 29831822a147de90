import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rolloutDueAt, rolloutPlace } from '../../src/machines/rollout.ts';

const IDS = Array.from({ length: 10_000 }, (_, i) => `app-${i}`);
const HOUR_MS = 3_600_000;
const publishedAt = '2026-11-01T00:00:00Z';

describe('places in a rollout', () => {
  it('are uniform, for names that differ by a digit only', () => {
    const counts = new Array<number>(20).fill(0);
    for (const id of IDS) {
      const slice = Math.floor(rolloutPlace(id, '1.2.3') * 20);
      counts[slice] = (counts[slice] ?? 0) + 1;
    }
    // 500 are expected in each, with a standard deviation of 22.
    for (const count of counts) assert.ok(Math.abs(count - 500) < 110, counts.join(' '));
  });

  it('come in another order for each release', () => {
    const places = (version: string) => IDS.map((id) => rolloutPlace(id, version));
    const [one, other] = [places('1.2.3'), places('1.2.4')];
    const covariance = one.reduce(
      (sum, place, i) => sum + (place - 0.5) * ((other[i] ?? 0) - 0.5),
      0,
    );
    const correlation = covariance / IDS.length / (1 / 12);
    assert.ok(Math.abs(correlation) < 0.05, String(correlation));
  });

  it('are the same at each look', () => {
    assert.equal(rolloutPlace('app-0', '1.2.3'), rolloutPlace('app-0', '1.2.3'));
    assert.ok(rolloutPlace('', '') >= 0 && rolloutPlace('', '') < 1);
  });

  it('can be set by hand: 0 is first, 1 is last', () => {
    const due = (wariness: number) =>
      rolloutDueAt({ publishedAt, version: '1.2.3' }, { id: 'a', periodMs: HOUR_MS, wariness });
    assert.deepEqual(
      [due(0), due(1)],
      [Date.parse(publishedAt), Date.parse(publishedAt) + HOUR_MS],
    );
  });

  it("are nobody's without a name, or all such containers would have the same", () => {
    const rollout = { id: '', periodMs: HOUR_MS, wariness: null };
    const due = (wariness: number | null) =>
      rolloutDueAt({ publishedAt, version: '1.2.3' }, { ...rollout, wariness });
    assert.deepEqual([due(null), due(0)], [null, Date.parse(publishedAt)]);
  });

  it('are never due for a release of which it is not known when it was published', () => {
    const rollout = { id: 'a', periodMs: HOUR_MS, wariness: null };
    assert.equal(rolloutDueAt({ publishedAt: null, version: '1.0.0' }, rollout), null);
    assert.equal(rolloutDueAt({ publishedAt: 'soon', version: '1.0.0' }, rollout), null);
  });
});

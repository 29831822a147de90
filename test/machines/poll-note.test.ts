/** What polling learnt, and when the next poll is due by it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLimitOf, nextPollAt, pollNoteSchema } from '../../src/machines/poll-note.ts';

const NOW = 1_700_000_000_000;
const EMPTY = pollNoteSchema.parse({});
/** Polled just now, every minute. */
const note = { ...EMPTY, lastCheckAt: NOW, nextCheckAt: NOW + 63_000 };

describe('the next poll', () => {
  it('is due now where nothing was ever noted', () => {
    assert.equal(nextPollAt(EMPTY, 10_000, NOW), null);
  });

  it('is due at once by a shorter interval, and never later by a longer one', () => {
    assert.equal(nextPollAt(note, 60_000, NOW), NOW + 63_000);
    assert.equal(nextPollAt(note, 10_000, NOW), NOW + 11_000);
    assert.equal(nextPollAt(note, 3_600_000, NOW), NOW + 63_000);
  });

  it('is due now where the clock was set back', () => {
    assert.equal(nextPollAt(note, 60_000, NOW - 1_000_000), NOW - 1_000_000);
  });

  it('is never due before a limit has passed, unless that was the limit of another token', () => {
    const limited = { ...note, limitedUntilAt: NOW + 60_000, limitedFor: 'one' };
    assert.equal(nextPollAt(limited, 10_000, NOW, 'one'), NOW + 63_000);
    assert.equal(nextPollAt(limited, 10_000, NOW), NOW + 63_000);
    assert.equal(nextPollAt(limited, 10_000, NOW, 'two'), NOW);
    assert.ok(
      isLimitOf({ ...limited, limitedFor: null }, 'two'),
      'older notes do not say whose limit it was',
    );
  });

  it('leaves others behind the same address their turn', () => {
    assert.equal(nextPollAt({ ...note, sharedUntilAt: NOW + 30_000 }, 10_000, NOW), NOW + 30_000);
  });
});

it('a note of an older version has the quota of those without a token', () => {
  assert.equal(pollNoteSchema.parse({ quota: { remaining: 1, resetAt: NOW } }).quota?.limit, 60);
});

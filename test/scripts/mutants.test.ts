/**
 * The list of what `npm run mutate` removes is held to the source, so that a change is told of at
 * once and not by the daily sample.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unlisted } from '../../scripts/mutants.ts';

test('each place that makes durable, records or verifies is listed with the tests that go red without it', () => {
  assert.deepEqual(unlisted(), []);
});

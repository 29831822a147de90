/** The updates so far, as the journal tells them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JournalRecord } from '../../src/journal/record.ts';
import type { Fact } from '../../src/machines/facts.ts';
import { historyOf } from '../../src/report/history.ts';
import { facts, running, tree } from '../support/machine.ts';

const AT = 1_800_000_000_000;
const journal = (...all: Fact[]): JournalRecord[] =>
  all.map((fact, n) => ({ seq: n + 1, at: AT + n * 1000, fact, effect: null, command: null }));

describe('the history', () => {
  it('has no entry for a way back that fails: it is no update, and began at no time', () => {
    const story = running();
    const before = historyOf(story.records);
    story.when(facts.failed('switchFailed')).when(facts.failed('stopFailed'));
    assert.deepEqual(historyOf(story.records), before);
  });

  it('names version and time of a try that comes after a rollback, without another look for releases', () => {
    const tried = [
      facts.switchStarted('2.0.0'),
      facts.stopped(),
      facts.switched(tree('2.0.0')),
      facts.started('2.0.0'),
    ];
    const failed = [
      facts.found('2.0.0'),
      facts.installed('2.0.0'),
      ...tried,
      facts.failed('probationFailed'),
    ];
    const updates = historyOf(journal(...failed, ...tried, facts.healthy('2.0.0')));
    const [first, second] = updates;
    assert.deepEqual(
      updates.map(({ to, outcome }) => `${to} ${outcome}`),
      ['2.0.0 rolledBack', '2.0.0 updated'],
    );
    assert.deepEqual(
      [first?.startedAt, second?.startedAt],
      [0, failed.length].map((n) => new Date(AT + n * 1000).toISOString()),
    );
    assert.deepEqual([second?.tag, second?.durationMs, second?.downtimeMs], ['v2.0.0', 4000, 3000]);
  });
});

describe('the history of a hand-over', () => {
  const began = [facts.found('2.0.0'), facts.installed('2.0.0'), facts.switchStarted('2.0.0')];

  it('has no downtime, and tells how long two copies ran', () => {
    const [update] = historyOf(
      journal(
        facts.started('1.0.0'),
        ...began,
        facts.startedBeside('2.0.0'),
        facts.ready('2.0.0'),
        facts.switched(tree('2.0.0')),
        facts.otherStopped(),
        facts.healthy('2.0.0'),
        facts.found('3.0.0'),
        facts.installed('3.0.0'),
      ),
    );
    assert.deepEqual(
      [update?.outcome, update?.downtimeMs, update?.overlapMs],
      ['updated', null, 3000],
    );
  });

  it('knows that a version which could not be started beside was no rollback', () => {
    const [update] = historyOf(
      journal(facts.started('1.0.0'), ...began, facts.failed('startFailed'), facts.otherStopped()),
    );
    assert.deepEqual([update?.outcome, update?.overlapMs], ['failed', null]);
  });

  it('begins the next one from the version that took over', () => {
    const updates = historyOf(
      journal(
        facts.started('1.0.0'),
        ...began,
        facts.startedBeside('2.0.0'),
        facts.switched(tree('2.0.0')),
        facts.otherStopped(),
        facts.healthy('2.0.0'),
        facts.found('3.0.0'),
        facts.installed('3.0.0'),
      ),
    );
    assert.equal(updates[1]?.from, '2.0.0');
  });

  it('ends a try that the operator denied, and one whose place another release took', () => {
    const updates = historyOf(
      journal(
        facts.started('1.0.0'),
        ...began,
        facts.startedBeside('2.0.0'),
        { type: 'versionDenied', version: '2.0.0' },
        facts.otherStopped(),
        facts.found('3.0.0'),
        facts.installed('3.0.0'),
        facts.switchStarted('3.0.0'),
        facts.found('4.0.0'),
        facts.installed('4.0.0'),
      ),
    );
    assert.deepEqual(
      updates.map(({ to, outcome }) => `${to} ${outcome}`),
      ['2.0.0 failed', '3.0.0 failed', '4.0.0 inProgress'],
    );
  });
});

/** A release on its way in. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  adoptPolicy,
  adoptRelease,
  candidateFor,
  recordVerified,
} from '../../src/machines/candidate.ts';
import type { Context } from '../../src/machines/context.ts';
import { deny } from '../../src/machines/failure.ts';
import { replacementOf } from '../../src/machines/unwanted.ts';
import { AT, context, found, withCandidate } from '../support/context.ts';
import { policy, release, tree } from '../support/machine.ts';

describe('a found release', () => {
  it('is a fresh candidate, or the one at hand where the bytes are the same', () => {
    const tried = withCandidate('2.0.0');
    const second = { ...tried, candidate: tried.candidate && { ...tried.candidate, attempt: 2 } };
    assert.equal(candidateFor(second, release('2.0.0')).attempt, 2);
    assert.equal(candidateFor(second, release('2.1.0')).attempt, 1);
  });

  it('that calls itself urgent at each poll is not, once what was verified did not say so', () => {
    const doubted = withCandidate('2.0.0');
    const candidate = doubted.candidate && { ...doubted.candidate, vouched: false };
    assert.equal(
      candidateFor({ ...doubted, candidate }, release('2.0.0', { urgent: true })).release.urgent,
      false,
    );
    assert.equal(candidateFor(doubted, release('2.0.0', { urgent: true })).release.urgent, true);
  });

  it('loses its denial on the word of the operator only', () => {
    const denied: Context['denied'] = [
      { version: '2.0.0', fingerprint: null, code: 'UNHEALTHY', reason: 'why', at: 1 },
    ];
    assert.deepEqual(
      adoptRelease(context({ denied, request: { tag: 'v2.0.0', file: null } }), found('2.0.0'))
        .denied,
      [],
    );
    assert.deepEqual(adoptRelease(context({ denied }), found('2.0.0')).denied, denied);
  });

  it('is forced within a minute after `--force`, and uses that up', () => {
    const forced = (forcedAt: number) =>
      adoptRelease(context({ forcedAt }), found('2.0.0')).candidate?.forced;
    assert.equal(adoptRelease(context({ forcedAt: AT }), found('2.0.0')).forcedAt, null);
    assert.deepEqual([forced(AT - 60_000), forced(AT - 60_001)], [true, false]);
  });

  it('is tried at once, but for a minute after a switch that failed, unless the operator asks', () => {
    const { candidate } = withCandidate('2.0.0');
    const found2 = (startedAt: number, others: Partial<Context> = {}) =>
      adoptRelease(
        {
          ...withCandidate('2.0.0'),
          candidate: candidate && { ...candidate, setbacks: 1 },
          app: 'up',
          startedAt,
          failedPaths: ['/releases/2.0.0'],
          retryAt: AT + 3_600_000,
          ...others,
        },
        found('2.1.0'),
      ).retryAt;
    assert.equal(found2(AT - 3000), AT + 57_000);
    assert.equal(found2(AT - 3000, { retryAt: null }), AT + 57_000);
    assert.equal(found2(AT - 3000, { retryAt: AT + 5000 }), AT + 5000, 'the pause is shorter');
    assert.equal(found2(AT - 60_000), null, 'the minute is over');
    assert.equal(found2(AT - 3000, { failedPaths: [] }), null, 'what ran before could be linked');
    assert.equal(found2(AT - 3000, { candidate: null }), null, 'it was given up');
    assert.equal(found2(AT - 3000, { app: 'stopped' }), null, 'nothing runs');
    assert.equal(found2(AT - 3000, { forcedAt: AT }), null, 'forced');
    assert.equal(found2(AT - 3000, { request: { tag: 'v2.1.0', file: null } }), null);
    assert.equal(found2(AT + 3_600_000, { retryAt: null }), null, 'started by a wrong clock');
  });

  it('is urgent after its verification only where that says so', () => {
    const urgent = {
      ...context(),
      candidate: candidateFor(context(), release('2.0.0', { urgent: true })),
    };
    const verified = (proof?: boolean) =>
      recordVerified(urgent, {
        type: 'verified',
        checks: [],
        ...(proof === undefined ? {} : { urgent: proof }),
      });
    assert.deepEqual(
      [verified(true).candidate?.release.urgent, verified(false).candidate?.release.urgent],
      [true, false],
    );
    assert.equal(
      recordVerified(urgent, { type: 'verified', checks: [], repositoryId: 7 }).repositoryId,
      7,
    );
    assert.equal(
      recordVerified(
        { ...urgent, repositoryId: 7 },
        { type: 'verified', checks: [], repositoryId: null },
      ).repositoryId,
      7,
      'what was told stays known',
    );
  });

  it('in place of what runs is told with the command that takes it', () => {
    assert.deepEqual(
      [release('1.1.0'), release('1.1.0', { tag: 'v1.1.0+2', version: '1.1.0+2' })].map(
        (one) => replacementOf(tree('1.1.0'), one).code,
      ),
      ['ASSET_REPLACED', 'VERSION_EQUAL'],
    );
    assert.match(
      replacementOf(tree('1.1.0'), release('1.1.0')).message,
      /`self-update install v1\.1\.0`/,
    );
  });
});

describe('changed settings', () => {
  it('drop a release that would not be chosen under them, and keep one that would', () => {
    const coming = withCandidate('2.0.0');
    assert.equal(adoptPolicy(coming, { ...policy, range: '1.x' }, 0).candidate, null);
    assert.equal(adoptPolicy(coming, { ...policy, denied: ['2.0.0'] }, 0).candidate, null);
    assert.equal('candidate' in adoptPolicy(coming, { ...policy, probationMs: 1 }, 0), false);
    const asked = {
      ...coming,
      candidate: coming.candidate && { ...coming.candidate, byOperator: true },
    };
    assert.equal(
      'candidate' in adoptPolicy(asked, { ...policy, range: '1.x' }, 0),
      false,
      "the operator's choice",
    );
  });

  it('of the repository forget what was learnt of the other one', () => {
    const other = adoptPolicy(
      context({
        denied: deny([], {
          version: '2.0.0',
          fingerprint: null,
          code: 'UNHEALTHY',
          reason: 'why',
          at: 1,
        }),
        repositoryId: 7,
      }),
      {
        ...policy,
        repository: 'acme/other',
      },
      0,
    );
    assert.deepEqual([other.denied, other.repositoryId, other.highestHealthy], [[], null, null]);
  });
});

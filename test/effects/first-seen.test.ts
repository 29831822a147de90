/** The age of releases whose time of publication nobody tells. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { check } from '../../src/effects/check.ts';
import { withFirstSeen } from '../../src/effects/first-seen.ts';
import type { ReleaseSource } from '../../src/effects/sources/source.ts';
import { isOldEnough } from '../../src/machines/age.ts';
import { type PollNote, pollNoteSchema } from '../../src/machines/poll-note.ts';
import type { PublishedRelease } from '../../src/machines/release.ts';
import { Fault } from '../../src/support/fault.ts';
import { policy } from '../support/machine.ts';

const HOUR = 3_600_000;
const START = Date.parse('2026-03-01T00:00:00Z');

function published(tag: string, digest = 'a'.repeat(64)): PublishedRelease {
  const url = `https://files.example.com/${tag}/app_linux_amd64.tar.gz`;
  const asset = { id: 1, name: 'app_linux_amd64.tar.gz', url, browserUrl: url, sizeBytes: 5 };
  return {
    tag,
    draft: false,
    prerelease: false,
    publishedAt: null,
    urgent: false,
    assets: [{ ...asset, digest, uploaded: true }],
  };
}

function sourceOf(...releases: PublishedRelease[]): ReleaseSource {
  return {
    identity: 'test',
    quota: null,
    latest: async () => releases[0] ?? null,
    tagged: async (tag) => releases.find((release) => release.tag === tag) ?? null,
    list: async () => ({ releases, isComplete: true }),
    notFound: () => new Fault('NOT_FOUND', 'none'),
  };
}

describe('a release whose time of publication nobody tells', () => {
  const old = { ...policy, minAgeMs: 24 * HOUR };

  /** A check of its own each time, as after a restart: only the note is kept. */
  async function checkAt(note: PollNote, nowMs: number, ...releases: PublishedRelease[]) {
    let kept = note;
    const fact = await check(
      { policy: old, request: null, running: '0.0.1', fresh: false },
      AbortSignal.timeout(10_000),
      {
        source: sourceOf(...releases),
        places: {
          root: '/nonexistent',
          bakedDir: '/nonexistent',
          repository: 'acme/app',
          versioning: 'semver',
          tagPrefix: '',
        },
        note: {
          read: () => kept,
          write: (written) => {
            kept = pollNoteSchema.parse(JSON.parse(JSON.stringify(written)));
          },
        },
        pollIntervalMs: 60_000,
        now: () => nowMs,
        random: () => 0.5,
        assetPattern: null,
      },
    );
    if (fact.type !== 'releaseFound') assert.fail(JSON.stringify(fact));
    return { note: kept, isOld: isOldEnough(fact.release, old, nowMs), tag: fact.release.tag };
  }

  it('is as old as the time since it was first seen, also after a restart', async () => {
    const first = await checkAt(pollNoteSchema.parse({}), START, published('v1.0.0'));
    assert.equal(first.isOld, false);
    const later = await checkAt(first.note, START + 23 * HOUR, published('v1.0.0'));
    assert.equal(later.isOld, false);
    assert.equal((await checkAt(later.note, START + 24 * HOUR, published('v1.0.0'))).isOld, true);
  });

  it('is followed before a newer one that is too young', async () => {
    const { note } = await checkAt(pollNoteSchema.parse({}), START, published('v1.0.0'));
    const both = [published('v1.1.0'), published('v1.0.0')];
    assert.equal((await checkAt(note, START + 25 * HOUR, ...both)).tag, 'v1.0.0');
  });

  it('is young again where its files were exchanged', async () => {
    const { note } = await checkAt(pollNoteSchema.parse({}), START, published('v1.0.0'));
    const changed = published('v1.0.0', 'b'.repeat(64));
    assert.equal((await checkAt(note, START + 25 * HOUR, changed)).isOld, false);
  });

  it('counts from now where the note says that it was seen in the future', async () => {
    const { note } = await checkAt(
      pollNoteSchema.parse({}),
      START + 1000 * HOUR,
      published('v1.0.0'),
    );
    const back = await checkAt(note, START, published('v1.0.0'));
    assert.equal((await checkAt(back.note, START + 24 * HOUR, published('v1.0.0'))).isOld, true);
  });
});

describe('what is remembered', () => {
  it('is nothing of releases whose time is told', async () => {
    const publishedAt = '2026-01-01T00:00:00Z';
    const told = { ...published('v1.0.0'), publishedAt };
    const { source, firstSeen } = withFirstSeen(sourceOf(told), {}, START);
    const signal = AbortSignal.timeout(1000);
    assert.equal((await source.latest(0, signal))?.publishedAt, publishedAt);
    assert.deepEqual(firstSeen(), {});
  });

  it('is a thousand releases at most, those that are there now before others', async () => {
    const known = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`r${i}`, START]));
    const { source, firstSeen } = withFirstSeen(sourceOf(published('v1.0.0')), known, START + 1);
    await source.list(0, AbortSignal.timeout(1000), 1);
    assert.equal(Object.keys(firstSeen()).length, 1000);
    assert.ok(Object.values(firstSeen()).includes(START + 1));
  });
});

/**
 * When releases were first seen here, for those whose time of publication nobody tells: it then
 * stands for that time, also after a restart, since it is kept in the poll note.
 */
import { createHash } from 'node:crypto';
import type { PublishedRelease } from '../machines/release.ts';
import type { ReleaseSource } from './sources/source.ts';

/** Wall clock in ms, by what identifies a release; the newest first. */
export type FirstSeen = Readonly<Record<string, number>>;

/** Endless data: a list that names ever new releases fills no note. */
const MAX_REMEMBERED = 1000;

/** The source with such releases dated, and what is to be kept of it for the next check. */
export function withFirstSeen(
  source: ReleaseSource,
  known: FirstSeen,
  nowMs: number,
): { source: ReleaseSource; firstSeen: () => FirstSeen } {
  const met: Record<string, number> = {};
  const dated = (release: PublishedRelease): PublishedRelease => {
    if (release.publishedAt !== null) return release;
    const key = keyOf(release);
    // Seen in the future: the clock was set back since.
    const at = Math.min(known[key] ?? nowMs, nowMs);
    met[key] = at;
    return { ...release, publishedAt: new Date(at).toISOString() };
  };
  return {
    source: {
      ...(source.setting === undefined ? {} : { setting: source.setting }),
      get identity() {
        return source.identity;
      },
      get quota() {
        return source.quota;
      },
      latest: async (...asked) => mapped(await source.latest(...asked), dated),
      tagged: async (...asked) => mapped(await source.tagged(...asked), dated),
      list: async (...asked) => {
        const { releases, ...rest } = await source.list(...asked);
        return { ...rest, releases: releases.map(dated) };
      },
      notFound: () => source.notFound(),
    },
    firstSeen: () =>
      Object.fromEntries(
        Object.entries({ ...met, ...without(known, met) }).slice(0, MAX_REMEMBERED),
      ),
  };
}

/**
 * Minimum age evaded: files that are exchanged under a tag that is old enough are seen for the first
 * time.
 */
function keyOf({ tag, assets }: PublishedRelease): string {
  const files = assets.map(({ id, name, sizeBytes, digest }) => [id, name, sizeBytes, digest]);
  // A letter first: a key of digits alone would be sorted before all others.
  return `r${createHash('sha256')
    .update(JSON.stringify([tag, files]))
    .digest('hex')
    .slice(0, 16)}`;
}

function mapped<T>(value: T | null, change: (value: T) => T): T | null {
  return value === null ? null : change(value);
}

function without(all: FirstSeen, some: FirstSeen): FirstSeen {
  return Object.fromEntries(Object.entries(all).filter(([key]) => !Object.hasOwn(some, key)));
}

/**
 * Cases of the chaos suite: numbered, chosen by a seed, run again by number, and written down. The
 * environment steers them (scripts/chaos.ts sets it): CHAOS=full runs all, CHAOS_SEED chooses the
 * others, CHAOS_CASE=<area>/<number> runs one alone, CHAOS_SCALE=<n> runs n times as many as usual.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { describe, it } from 'node:test';

export const isFull = process.env['CHAOS'] === 'full';
const seed = process.env['CHAOS_SEED'] ?? String(Date.now() % 1_000_000);
const only = process.env['CHAOS_CASE'];
/** Multiplies every sample. */
const scale = Number(process.env['CHAOS_SCALE'] ?? 1);
const report = process.env['CHAOS_REPORT'];

/** 0 ≤ n < 1, the same ones for the same seed and words. */
export type Random = () => number;
export type Outcome = {
  area: string;
  number: number;
  title: string;
  group: string;
  outcome: string;
};

export function randomFrom(...words: (string | number)[]): Random {
  const block = (count: number) =>
    createHash('sha256')
      .update([...words, count].join('/'))
      .digest()
      .readUInt32LE(0);
  let count = 0;
  return () => block(count++) / 2 ** 32;
}

const randomOf = (...words: (string | number)[]): Random => randomFrom(seed, ...words);

export function shuffled<T>(all: readonly T[], random: Random): T[] {
  return all
    .map((one) => ({ one, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ one }) => one);
}

type Options<T> = {
  /** So many are run unless all are. */
  sample: number;
  concurrency?: number;
  /** What the report counts together; each case for itself by default. */
  group?: (one: T) => string;
};

/**
 * Declares the tests of an area. `run` says how a case ended, for the report; what must not be, it
 * throws.
 */
export function cases<T extends { title: string }>(
  area: string,
  all: readonly T[],
  { sample, concurrency = 2, group = ({ title }) => title }: Options<T>,
  run: (one: T, random: Random) => Promise<string>,
): void {
  const numbered = all.map((one, index) => ({ one, number: index + 1 }));
  const wanted = only?.split('/') ?? null;
  const sampled = isFull ? numbered : shuffled(numbered, randomOf(area)).slice(0, sample * scale);
  const chosen =
    wanted === null
      ? sampled
      : wanted[0] === area
        ? numbered.filter(({ number }) => number === Number(wanted[1]))
        : [];
  if (chosen.length === 0 && wanted !== null) return;
  describe(`${area}: ${chosen.length} of ${all.length} cases, seed ${seed}`, {
    concurrency,
  }, () => {
    it(`${area}: there is something to try`, () => assert.ok(chosen.length > 0));
    for (const { one, number } of chosen) {
      it(`${area}/${number} ${one.title}`, async () => {
        const outcome = await run(one, randomOf(area, number));
        write({ area, number, title: one.title, group: group(one), outcome });
      });
    }
  });
}

function write(outcome: Outcome): void {
  if (report !== undefined) appendFileSync(report, `${JSON.stringify(outcome)}\n`);
}

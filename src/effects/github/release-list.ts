/**
 * The list of releases, page after page. GitHub lists by the age of the commit, so the newest
 * version may be on any page; all are read, to a bound. A plan of the pages is kept: while the
 * first page stays as it was, those behind it are taken from what was kept, and a walk that a limit
 * cut short goes on where it ended.
 */
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import { publishedRelease } from './schema.ts';

/** `offset` counts releases and is a multiple of `size`. */
export type Page = { offset: number; size: number };
/** `isComplete` is false where the bound was reached before the end. */
export type ReleaseList = { releases: PublishedRelease[]; isComplete: boolean };

type Answer = { value: readonly unknown[]; body: string; bytes: number };
export type ListOptions = {
  maxRequests: number;
  nowMs: number;
  debug: (message: string) => void;
  /** One text that is kept between two lists. */
  plan: { read(): string | null; write(text: string): void };
  /**
   * Asks for a page; throws `Fault`. `body` is its text as it is kept, the same for the same
   * releases.
   */
  ask: (page: Page) => Promise<Answer>;
  /** The text of a page that was asked for earlier; null where it was not kept. */
  recall: (page: Page) => string | null;
};

/**
 * Sizes of a page: each divides the one before it, so that a page of another size can begin where
 * the last one ended.
 */
const SIZES: readonly number[] = [96, 48, 24, 12, 6, 3, 1];
const FIRST_SIZE = 24;
/** An answer below this says that a page of twice the size fits too. */
const SMALL_BYTES = 768 * 1024;
/**
 * A release with an old commit appears behind the first page: what was kept is asked again after
 * this.
 */
const KEPT_FOR_MS = 6 * 60 * 60 * 1000;
/**
 * Lists without end: of what is kept of all pages. Three thousand releases of twenty files are near
 * it.
 */
const MAX_CHARACTERS = 32 * 1024 * 1024;

const planSchema = z.object({
  /** When the first page was last seen to have changed, wall clock in ms. */
  changedAt: z.number(),
  pages: z.array(z.object({ offset: z.number(), size: z.number(), at: z.number() })),
});
type Plan = z.infer<typeof planSchema>;

export async function readList(options: ListOptions): Promise<ReleaseList> {
  const { maxRequests, nowMs, debug } = options;
  const kept = parsePlan(options.plan.read());
  const next: Plan = { changedAt: nowMs, pages: [] };
  const read = new Reading();
  let isComplete = false;
  let requests = 0;
  let size: number = FIRST_SIZE;
  try {
    for (let offset = 0; !isComplete && read.characters < MAX_CHARACTERS; ) {
      const known = kept.pages.find((page) => page.offset === offset);
      const before = known === undefined ? null : options.recall(known);
      size = known?.size ?? size;
      if (
        known !== undefined &&
        before !== null &&
        offset > 0 &&
        isFresh(known.at, next.changedAt, nowMs)
      ) {
        next.pages.push(known);
        isComplete = read.add(JSON.parse(before) as unknown[], before) !== size;
        offset += size;
        continue;
      }
      const fitting =
        requests < maxRequests
          ? await askFitting({ offset, size }, maxRequests - requests, options)
          : null;
      if (fitting === null) break;
      const { answer } = fitting;
      requests += fitting.tries;
      size = fitting.size;
      if (offset === 0 && answer.body === before) next.changedAt = kept.changedAt;
      next.pages.push({ offset, size, at: nowMs });
      // Fewer is the end; more is a server that knows no pages.
      isComplete = read.add(answer.value, answer.body) !== size;
      offset += size;
      if (answer.bytes < SMALL_BYTES) size = grown(size, offset);
    }
  } finally {
    // Also where a limit cut it short: the next walk goes on from here, and what was kept behind it
    // may still hold.
    const end = Math.max(0, ...next.pages.map((page) => page.offset + page.size));
    if (!isComplete) next.pages.push(...kept.pages.filter(({ offset }) => offset >= end));
    options.plan.write(JSON.stringify(next));
  }
  if (!isComplete)
    debug(`only the first ${read.count} releases were read, with ${requests} requests`);
  return { releases: read.releases(debug), isComplete };
}

function isFresh(at: number, changedAt: number, nowMs: number): boolean {
  return at >= changedAt && at <= nowMs && nowMs - at < KEPT_FOR_MS;
}

/**
 * Halves a page that is too large, or that the server fails to make: it gives up on long lists with
 * many assets. Null: beyond `budget`.
 */
async function askFitting(
  page: Page,
  budget: number,
  { ask, debug }: ListOptions,
): Promise<{ answer: Answer; size: number; tries: number } | null> {
  let { size } = page;
  for (let tries = 1; tries <= budget; tries++) {
    try {
      return { answer: await ask({ ...page, size }), size, tries };
    } catch (error) {
      const smaller = SIZES[SIZES.indexOf(size) + 1];
      const isTooMuch =
        error instanceof Fault &&
        (error.code === 'ANSWER_TOO_LARGE' ||
          (error.code === 'SERVER_FAILED' && size > FIRST_SIZE));
      if (!isTooMuch || smaller === undefined) throw error;
      debug(`a page of ${size} releases is too large: asking for ${smaller}`);
      size = smaller;
    }
  }
  return null;
}

/** The next larger size, where a page of it can begin at `offset`. */
function grown(size: number, offset: number): number {
  const larger = SIZES[SIZES.indexOf(size) - 1];
  return larger !== undefined && offset % larger === 0 ? larger : size;
}

function parsePlan(text: string | null): Plan {
  const none = { changedAt: 0, pages: [] };
  if (text === null) return none;
  const parsed = planSchema.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : none;
}

/**
 * Each page is parsed as it comes, so that no more than one is in memory as it was sent: it may be
 * megabytes of nothing that is a release.
 */
class Reading {
  readonly #releases: PublishedRelease[] = [];
  #broken: string | null = null;
  count = 0;
  characters = 0;

  /** Returns how many the page has. */
  add(items: readonly unknown[], text: string): number {
    this.characters += text.length;
    this.count += items.length;
    for (const item of items) {
      const result = publishedRelease.safeParse(item);
      if (result.success) this.#releases.push(result.data);
      else this.#broken ??= reasonOf(result.error);
    }
    return items.length;
  }

  /**
   * One release that does not fit is passed over; where none fits, what answered was not GitHub.
   */
  releases(debug: ListOptions['debug']): PublishedRelease[] {
    if (this.#broken === null) return this.#releases;
    if (this.#releases.length === 0)
      throw new Fault(
        'ANSWER_MALFORMED',
        `the list of releases contains no release (${this.#broken}): check UPDATE_GH_API_URL`,
      );
    debug(
      `${this.count - this.#releases.length} of ${this.count} releases can't be read and are skipped (${this.#broken})`,
    );
    return this.#releases;
  }
}

function reasonOf({ issues: [first] }: z.ZodError): string {
  return `${first?.path.join('.') || 'answer'}: ${first?.message}`;
}

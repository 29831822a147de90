/**
 * GitLab: gitlab.com, and servers of one's own, from 11.7 on. See "Project release API",
 * https://docs.gitlab.com/api/releases/. A release has links, and no files: neither their sizes nor
 * their digests are told.
 */
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import type { ReleaseList } from '../github/release-list.ts';
import { isUrgentNote, printable } from '../github/schema.ts';
import { type Answer, hostOf } from '../http/http.ts';
import { Forge, type ForgeOptions } from './forge.ts';
import { assetsOf, linkSchema } from './gitlab-links.ts';
import type { Source } from './source.ts';

export type GitLabOptions = ForgeOptions & {
  /** Whether a tag names a version under the operator's rules. */
  isVersion: (tag: string) => boolean;
};

/**
 * As its documentation has it for access tokens, and as OAuth has it for its own; of the two GitLab
 * takes what it knows. See https://docs.gitlab.com/api/rest/authentication/
 */
export const gitLabHeaders = (token: string): Record<string, string> => ({
  'private-token': token,
  authorization: `Bearer ${token}`,
});

/** Notes and up to a hundred links each: twenty have a megabyte. */
const PAGE_SIZE = 20;
/** Where those are too large. */
const SMALL_PAGE_SIZE = 4;
const instant = z.iso.datetime({ offset: true }).max(64).nullish();

const releaseSchema = z.object({
  tag_name: printable.min(1),
  created_at: instant,
  released_at: instant,
  upcoming_release: z.boolean().nullish(),
  description: z.string().nullish(),
  assets: z.object({ links: z.array(z.unknown()).max(1000).nullish() }).nullish(),
});
/** What a guest is shown, who may not read the code. */
const taglessSchema = z.object({
  tag_name: z.undefined().optional(),
  released_at: instant,
  assets: z.object({}),
});
const pageSchema = z.array(z.unknown()).max(100);

type Page = { releases: PublishedRelease[]; broken: Fault | null; isLast: boolean };

export class GitLab extends Forge {
  protected readonly kind = 'a GitLab';
  readonly #isVersion: GitLabOptions['isVersion'];

  constructor({ isVersion, ...options }: GitLabOptions) {
    super(options);
    this.#isVersion = isVersion;
  }

  protected get api(): string {
    return `${this.options.url}/api/v4/projects/${encodeURIComponent(this.options.repository)}`;
  }

  /**
   * Nobody marks one here: it is the newest by date that is out and names a version (a project may
   * release `nightly` each day). Not by `permalink/latest`, which came with 15.4 and also answers
   * what is only planned.
   */
  async latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    for (const size of [1, PAGE_SIZE]) {
      const page = await this.#page({ size, number: 1 }, strikes, signal);
      if (page === null) return null;
      const out = page.releases.filter(({ draft }) => !draft);
      const found = out.find(({ tag }) => this.#isVersion(tag));
      if (found !== undefined) return found;
      if (!page.isLast && size === 1) continue;
      this.#passOver(page.releases.length, page.broken);
      return out[0] ?? null;
    }
    return null;
  }

  async tagged(tag: string, strikes: number, signal: AbortSignal) {
    const resource = `/releases/${encodeURIComponent(tag)}`;
    const answer = await this.read(resource, releaseSchema, strikes, signal);
    answer?.keep(JSON.stringify(lean(answer.json)));
    return answer === null ? null : this.#published(answer.value);
  }

  async list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList> {
    try {
      return await this.#list(PAGE_SIZE, strikes, signal, maxRequests);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'ANSWER_TOO_LARGE') throw error;
      return this.#list(SMALL_PAGE_SIZE, strikes, signal, maxRequests);
    }
  }

  async #list(
    size: number,
    strikes: number,
    signal: AbortSignal,
    maxRequests: number,
  ): Promise<ReleaseList> {
    const releases: PublishedRelease[] = [];
    let broken: Fault | null = null;
    let isComplete = false;
    for (let number = 1; number <= maxRequests && !isComplete; number++) {
      const page = await this.#page({ size, number }, strikes, signal);
      if (page === null) throw this.notFound();
      releases.push(...page.releases);
      broken ??= page.broken;
      isComplete = page.isLast;
    }
    this.#passOver(releases.length, broken);
    return { releases, isComplete };
  }

  /** The newest by date first; `broken` of those that can't be read. Null for 404. */
  async #page(
    { size, number }: { size: number; number: number },
    strikes: number,
    signal: AbortSignal,
  ): Promise<Page | null> {
    const resource = `/releases?per_page=${size}&page=${number}`;
    const answer = await this.read(resource, pageSchema, strikes, signal);
    if (answer === null) return null;
    const { value: items, headers } = answer;
    const parsed = items.map((item) => releaseSchema.safeParse(item));
    const releases = parsed.flatMap(({ data }) =>
      data === undefined ? [] : this.#published(data),
    );
    const at = parsed.findIndex(({ success }) => !success);
    if (at < 0 || releases.length > 0) answer.keep(JSON.stringify(lean(answer.json)));
    return {
      releases,
      broken: at < 0 ? null : this.#unreadable(items[at], parsed[at]?.error),
      // Without the header, as behind some proxies, a page of none is the end.
      isLast: items.length === 0 || headers['x-next-page'] === '',
    };
  }

  #unreadable(item: unknown, error: z.ZodError | undefined): Fault {
    const { http, url } = this.options;
    if (taglessSchema.safeParse(item).success)
      return new Fault(
        'ACCESS_REFUSED',
        `${hostOf(url)} shows releases without their tags, as it does to guests of a project: ${http.options.token() === null ? 'set UPDATE_GH_TOKEN' : 'give the token the role Reporter'}`,
      );
    const issue = error?.issues[0];
    return new Fault(
      'ANSWER_MALFORMED',
      `the list of releases contains no release (${issue?.path.join('.')}: ${issue?.message}): check UPDATE_SOURCE_URL`,
    );
  }

  /** One release that does not fit is passed over; where none fits, it was no GitLab. */
  #passOver(readable: number, broken: Fault | null): void {
    if (broken === null) return;
    if (readable === 0) throw broken;
    this.options.debug(`releases that can't be read are skipped: ${broken.message}`);
  }

  #published(release: z.infer<typeof releaseSchema>): PublishedRelease {
    const { tag_name: tag, released_at: releasedAt, upcoming_release: upcoming } = release;
    const links = (release.assets?.links ?? []).flatMap((link) => {
      const { data, error } = linkSchema.safeParse(link);
      if (error !== undefined)
        this.options.debug(`a link of ${tag} is skipped (${error.issues[0]?.message})`);
      return data ?? [];
    });
    return {
      tag,
      draft: upcoming ?? (releasedAt != null && Date.parse(releasedAt) > this.options.now()),
      // GitLab knows none: the tag tells, under the operator's rules.
      prerelease: false,
      publishedAt: later(release.created_at ?? null, releasedAt ?? null),
      urgent: isUrgentNote(release.description),
      assets: assetsOf(links),
    };
  }

  notFound(): Fault {
    const remedy =
      this.options.http.options.token() === null
        ? 'if it is private, set UPDATE_GH_TOKEN'
        : 'check that the token may read it (read_api, Reporter)';
    return new Fault(
      'NOT_FOUND',
      `${this.options.repository} has no release at ${this.options.url}, or does not exist there: check GH_USER (with subgroups), GH_REPO and UPDATE_SOURCE_URL; ${remedy}`,
    );
  }

  override async fetch(...asked: Parameters<Source['fetch']>): Promise<Answer> {
    const { url } = this.options;
    const answer = await super.fetch(...asked);
    const { origin, pathname } = new URL(answer.url);
    // A page of the web site instead of the file: it takes a browser's session, and no token.
    if (origin !== new URL(url).origin || !pathname.endsWith('/users/sign_in')) return answer;
    answer.stream.destroy();
    const [asset] = asked;
    throw new Fault(
      'ACCESS_REFUSED',
      `${hostOf(url)} wants a browser's session for ${asset.name}: link a generic package (${url}/api/v4/projects/…/packages/generic/…) in the release instead, which a token may read`,
    );
  }
}

/**
 * As it is kept: authors, commits and milestones make up most of an answer. What is no release stays
 * as it is.
 */
function lean(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(lean);
  const { success, data } = releaseSchema.safeParse(json);
  return success ? { ...data, description: isUrgentNote(data.description) ? 'urgent' : '' } : json;
}

/**
 * Backdating: `released_at` is its author's word, and would make a release old enough at once.
 * `created_at` is the server's.
 */
function later(created: string | null, released: string | null): string | null {
  if (created === null || released === null) return created ?? released;
  return Date.parse(created) > Date.parse(released) ? created : released;
}

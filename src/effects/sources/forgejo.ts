/**
 * Forgejo, and Gitea, whose API it shares: Codeberg, and many a server of one's own. See
 * https://codeberg.org/api/swagger. It tells no digests: sums or signatures among the assets vouch
 * for the bytes.
 */
import * as z from 'zod';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import type { ReleaseList } from '../github/release-list.ts';
import { address, fileName, isUrgentNote, printable } from '../github/schema.ts';
import { Forge } from './forge.ts';

/** What a server sends at most, unless its owner says otherwise; smaller ones are told by a page. */
const PAGE_SIZE = 50;

const release = z
  .object({
    tag_name: printable.min(1),
    draft: z.boolean(),
    prerelease: z.boolean(),
    published_at: z.iso.datetime({ offset: true }).max(64).nullish(),
    body: z.string().nullish(),
    assets: z
      .array(
        z.object({
          id: z.number().int().nonnegative(),
          name: fileName,
          size: z.number().int().nonnegative(),
          browser_download_url: address,
        }),
      )
      .max(1000)
      .nullish(),
  })
  .transform(
    (parsed): PublishedRelease => ({
      tag: parsed.tag_name,
      draft: parsed.draft,
      prerelease: parsed.prerelease,
      publishedAt: parsed.published_at ?? null,
      urgent: isUrgentNote(parsed.body),
      assets: (parsed.assets ?? []).map(({ id, name, size, browser_download_url: url }) => ({
        id,
        name,
        url,
        browserUrl: url,
        sizeBytes: size,
        digest: null,
        uploaded: true,
      })),
    }),
  );
const page = z.array(z.unknown()).max(1000);

export class Forgejo extends Forge {
  protected readonly kind = 'a Forgejo';

  protected get api(): string {
    return `${this.options.url}/api/v1/repos/${this.options.repository}`;
  }

  latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#read('/releases/latest', release, strikes, signal);
  }

  tagged(tag: string, strikes: number, signal: AbortSignal): Promise<PublishedRelease | null> {
    return this.#read(`/releases/tags/${encodeURIComponent(tag)}`, release, strikes, signal);
  }

  async list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList> {
    const releases: PublishedRelease[] = [];
    let broken: string | null = null;
    for (let number = 1; number <= maxRequests; number++) {
      const resource = `/releases?limit=${PAGE_SIZE}&page=${number}`;
      const items = await this.#read(resource, page, strikes, signal);
      if (items === null) throw this.notFound();
      for (const item of items) {
        const parsed = release.safeParse(item);
        if (parsed.success) releases.push(parsed.data);
        else
          broken = `${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message}`;
      }
      // A page may be smaller than was asked for, by the server's own setting: only none is the end.
      if (items.length === 0) return this.#listed(releases, true, broken);
    }
    return this.#listed(releases, false, broken);
  }

  /** One release that does not fit is passed over; where none fits, it was no Forgejo. */
  #listed(releases: PublishedRelease[], isComplete: boolean, broken: string | null): ReleaseList {
    if (broken !== null && releases.length === 0)
      throw new Fault(
        'ANSWER_MALFORMED',
        `the list of releases contains no release (${broken}): check UPDATE_SOURCE_URL`,
      );
    if (broken !== null) this.options.debug(`releases that can't be read are skipped (${broken})`);
    return { releases, isComplete };
  }

  notFound(): Fault {
    const remedy =
      this.options.http.options.token() === null
        ? 'if it is private, set UPDATE_GH_TOKEN'
        : 'check that the token may read it (read:repository)';
    return new Fault(
      'NOT_FOUND',
      `${this.options.repository} has no release at ${this.options.url}, or does not exist there: check GH_USER, GH_REPO and UPDATE_SOURCE_URL; ${remedy}`,
    );
  }

  async #read<T>(
    resource: string,
    schema: z.ZodType<T>,
    strikes: number,
    signal: AbortSignal,
  ): Promise<T | null> {
    const answer = await this.read(resource, schema, strikes, signal);
    answer?.keep(JSON.stringify(answer.json));
    return answer === null ? null : answer.value;
  }
}

/**
 * A source that is asked each question once, however many platforms are looked at, and the releases
 * that it told.
 */
import type { Source } from '../effects/sources/source.ts';
import type { PublishedRelease } from '../machines/release.ts';
import type { Manifest } from '../trust/judge.ts';

export class SeenSource implements Source {
  readonly setting?: string;

  readonly #source: Source;
  readonly #answers = new Map<string, Promise<unknown>>();
  readonly #seen = new Map<string, PublishedRelease>();

  constructor(source: Source) {
    this.#source = source;
    if (source.setting !== undefined) this.setting = source.setting;
  }

  get identity(): string {
    return this.#source.identity;
  }

  get quota(): Source['quota'] {
    return this.#source.quota;
  }

  get repositoryId(): Source['repositoryId'] {
    return this.#source.repositoryId;
  }

  /** What was told under this tag; null where nothing was. */
  published(tag: string): PublishedRelease | null {
    return this.#seen.get(tag) ?? null;
  }

  latest(...asked: Parameters<Source['latest']>): ReturnType<Source['latest']> {
    return this.#once('latest', async () => this.#noted(await this.#source.latest(...asked)));
  }

  tagged(...asked: Parameters<Source['tagged']>): ReturnType<Source['tagged']> {
    const [tag] = asked;
    return this.#once(`tag ${tag}`, async () => this.#noted(await this.#source.tagged(...asked)));
  }

  list(...asked: Parameters<Source['list']>): ReturnType<Source['list']> {
    return this.#once(`list ${asked[2]}`, async () => {
      const list = await this.#source.list(...asked);
      for (const release of list.releases) this.#noted(release);
      return list;
    });
  }

  notFound(): ReturnType<Source['notFound']> {
    return this.#source.notFound();
  }

  fetch(...asked: Parameters<Source['fetch']>): ReturnType<Source['fetch']> {
    return this.#source.fetch(...asked);
  }

  /** 0, which means unknown, where the source leaves the question out. */
  sizeOf(...asked: Parameters<NonNullable<Source['sizeOf']>>): Promise<number> {
    return this.#once(
      `size ${asked[0].url}`,
      async () => (await this.#source.sizeOf?.(...asked)) ?? 0,
    );
  }

  attestations(...asked: Parameters<Source['attestations']>): ReturnType<Source['attestations']> {
    return this.#once(`attestations ${asked[0]}`, () => this.#source.attestations(...asked));
  }

  manifestsNaming(sha256: string): Manifest[] {
    return this.#source.manifestsNaming?.(sha256) ?? [];
  }

  #once<T>(question: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(question) as Promise<T> | undefined;
    const answer = known ?? ask();
    this.#answers.set(question, answer);
    return answer;
  }

  #noted<T extends PublishedRelease | null>(release: T): T {
    if (release !== null) this.#seen.set(release.tag, release);
    return release;
  }
}

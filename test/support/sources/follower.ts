/** What follows a source in this process: its settings, the answers that are kept, its effects. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { assetPatternOf, type Parts } from '../../../src/cli/parts.ts';
import { trustOf } from '../../../src/cli/rules.ts';
import { createSource } from '../../../src/cli/sources.ts';
import { check } from '../../../src/effects/check.ts';
import { type DownloadDependencies, download } from '../../../src/effects/download.ts';
import type { CachedAnswer } from '../../../src/effects/sources/conditional.ts';
import type { Source } from '../../../src/effects/sources/source.ts';
import { verify } from '../../../src/effects/verify.ts';
import type { Fact, FactOf } from '../../../src/machines/facts.ts';
import type { Release } from '../../../src/machines/model.ts';
import { type PollNote, pollNoteSchema } from '../../../src/machines/poll-note.ts';
import { partsOf } from '../output.ts';

/** Names of files in tests are for it, whatever machine they run on. */
export const PLATFORM = { os: 'linux', arch: 'amd64', libc: 'glibc' } as const;
const PATIENCE_MS = 60_000;

type Downloaded = { fact: FactOf<'downloaded'>; release: Release };

export class Follower {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'follower-'));
  readonly parts: Parts;
  readonly source: Source;
  note: PollNote = pollNoteSchema.parse({});
  /** Kept from check to check; another follower may be given the same. */
  readonly kept: Map<string, CachedAnswer>;
  readonly #deps: DownloadDependencies & { source: Source };

  constructor(env: Record<string, string>, kept = new Map<string, CachedAnswer>()) {
    const parts = partsOf(this.root, env);
    this.parts = { ...parts, policy: { ...parts.policy, platform: PLATFORM } };
    this.kept = kept;
    this.source = createSource(this.parts, {
      read: (key) => kept.get(key) ?? null,
      write: (key, entry) => void kept.set(key, entry),
    });
    this.#deps = {
      source: this.source,
      places: this.parts.places,
      maxAssetBytes: 1e9,
      stallWindowMs: PATIENCE_MS,
      sealed: new Map(),
      onProgress: () => {},
      warn: (message) => {
        throw new Error(message);
      },
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  /** `running`: the version that a release has to be newer than. */
  check(
    {
      tag = null,
      running = null,
      signal = AbortSignal.timeout(PATIENCE_MS),
    }: { tag?: string | null; running?: string | null; signal?: AbortSignal } = {},
    random: () => number = () => 0,
  ): Promise<Fact> {
    const request = tag === null ? null : { tag, file: null };
    return check({ policy: this.parts.policy, request, running, fresh: false }, signal, {
      source: this.source,
      places: this.parts.places,
      note: {
        read: () => this.note,
        write: (note) => {
          this.note = note;
        },
      },
      pollIntervalMs: this.parts.config.pollIntervalMs,
      now: Date.now,
      random,
      assetPattern: assetPatternOf(this.parts.config),
    });
  }

  /** Throws where none is found. */
  async find(tag: string | null = null): Promise<Release> {
    const fact = await this.check({ tag });
    if (fact.type !== 'releaseFound') throw new Error(JSON.stringify(fact));
    return fact.release;
  }

  /** Rejects with the fault. */
  async download(release: Release): Promise<Downloaded> {
    const fact = await download({ release }, AbortSignal.timeout(PATIENCE_MS), this.#deps);
    if (fact.type !== 'downloaded') throw new Error(JSON.stringify(fact));
    return { fact, release };
  }

  /** Rejects with the fault. */
  verify({ fact, release }: Downloaded, repositoryId: number | null = null): Promise<Fact> {
    const { path: file, sha256 } = fact;
    return verify({ release, path: file, sha256, repositoryId }, AbortSignal.timeout(PATIENCE_MS), {
      ...this.#deps,
      trust: trustOf(this.parts.config),
    });
  }
}

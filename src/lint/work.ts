/**
 * What is done to look at a release: each question, download and unpacking by the updater's own
 * functions, and once, however many platforms it is for.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { check } from '../effects/check.ts';
import { download, STALL_WINDOW_MS } from '../effects/download.ts';
import { removeTree } from '../effects/durable.ts';
import type { AppOptions } from '../effects/entry-point.ts';
import { unpackTree } from '../effects/extract.ts';
import type { Places } from '../effects/trees.ts';
import { gather, type TrustOptions } from '../effects/verify.ts';
import type { AssetPattern } from '../machines/asset.ts';
import { fingerprint, type Policy, type Release } from '../machines/model.ts';
import { pollNoteSchema } from '../machines/poll-note.ts';
import { chooseRelease } from '../machines/release.ts';
import { Fault } from '../support/fault.ts';
import { type LintPlatform, policyFor } from './platforms.ts';
import type { Settings } from './remedy.ts';
import type { SeenSource } from './seen-source.ts';

/** What an updater goes by, from its settings. */
export type LintRules = {
  policy: Policy;
  pattern: AssetPattern | null;
  trust: TrustOptions;
  app: AppOptions;
  maxAssetBytes: number;
  maxUnpackedBytes: number;
  maxEntries: number;
  pollIntervalMs: number;
  /** UPDATE_SOURCE. */
  source: string;
};

export type Workshop = {
  /** A directory of our own, which is removed afterwards. */
  root: string;
  places: Places;
  source: SeenSource;
  /** The exact tag to look at; null for the one that an updater would choose. */
  tag: string | null;
  /** Null where these settings contradict the given ones. */
  rulesUnder: (settings: Settings) => LintRules | null;
  onProgress: (received: number, total: number) => void;
  warn: (message: string) => void;
};

export type Downloaded = { path: string; sha256: string };
type Unpacked = Awaited<ReturnType<typeof unpackTree>>;
type Gathered = ReturnType<typeof gather>;

/** A refusal that names its release. */
export class OfRelease extends Fault {
  readonly tag: string | null;

  constructor(code: string, message: string, tag: string | null) {
    super(code, message);
    this.tag = tag;
  }
}

/** All of it throws `Fault`. */
export class Work {
  readonly #workshop: Workshop;
  readonly #downloads = new Map<string, Promise<Downloaded>>();
  readonly #sealed = new Map<string, string>();
  readonly #gathered = new Map<string, Gathered>();
  #trees = 0;
  #tree: { key: string; work: string; unpacked: Promise<Unpacked> } | null = null;

  constructor(workshop: Workshop) {
    this.#workshop = workshop;
  }

  /** What an updater on this platform would choose. */
  async choose(
    platform: LintPlatform,
    { pattern, pollIntervalMs, ...rules }: LintRules,
    signal: AbortSignal,
  ): Promise<Release> {
    const { source, tag, places } = this.#workshop;
    const policy = policyFor(rules.policy, platform);
    // An operator may install whatever he names; followed is only what the rules allow.
    const named = tag === null || policy.tag !== null ? null : await source.tagged(tag, 0, signal);
    if (named !== null) {
      const choice = chooseRelease([named], { policy, pattern, nowMs: Date.now(), running: null });
      if (choice.kind === 'none') throw new OfRelease(choice.code, choice.message, named.tag);
    }
    const fact = await check(
      {
        policy,
        request: tag === null ? null : { tag, file: null },
        running: null,
        fresh: true,
      },
      signal,
      {
        source,
        places,
        note: { read: () => pollNoteSchema.parse({}), write: () => {} },
        pollIntervalMs,
        now: Date.now,
        random: Math.random,
        assetPattern: pattern,
      },
    );
    if (fact.type === 'releaseFound') return fact.release;
    if (!('code' in fact)) throw source.notFound();
    throw new OfRelease(fact.code, fact.message, 'tag' in fact ? fact.tag : null);
  }

  /** Each file once, however many platforms take it, also where that failed. */
  download(release: Release, rules: LintRules, signal: AbortSignal): Promise<Downloaded> {
    const key = `${release.tag} ${fingerprint(release)} ${rules.maxAssetBytes}`;
    const known = this.#downloads.get(key);
    const downloading = known ?? this.#fetch(release, rules, signal);
    this.#downloads.set(key, downloading);
    return downloading;
  }

  async #fetch(
    release: Release,
    { maxAssetBytes }: LintRules,
    signal: AbortSignal,
  ): Promise<Downloaded> {
    const { places, source, onProgress, warn } = this.#workshop;
    const fact = await download({ release }, signal, {
      source,
      places: { ...places, root: path.join(this.#workshop.root, `file-${this.#downloads.size}`) },
      maxAssetBytes,
      stallWindowMs: STALL_WINDOW_MS,
      sealed: this.#sealed,
      onProgress,
      warn,
    });
    if (fact.type !== 'downloaded') throw new Error('invariant: nothing is kept in a new place');
    return fact;
  }

  /** Sums and signatures, and the rules for them. */
  evidenceOn(
    release: Release,
    got: Downloaded,
    trust: TrustOptions,
    signal: AbortSignal,
  ): Gathered {
    const { source } = this.#workshop;
    const key = JSON.stringify([got.path, release, trust.conditions]);
    const known = this.#gathered.get(key);
    const gathering = known ?? gather(release, got, null, signal, { source, trust });
    this.#gathered.set(key, gathering);
    return gathering;
  }

  /**
   * The tree of a file, or its refusal, which does not depend on the platform. The last one stays:
   * platforms that take one file follow one another as a rule, and one tree at a time is on the
   * disk.
   */
  async treeOf(
    { asset }: Release,
    got: Downloaded,
    { app, maxEntries, maxUnpackedBytes }: LintRules,
    signal: AbortSignal,
  ): Promise<Unpacked> {
    const key = JSON.stringify([got.path, got.sha256, app.command]);
    if (this.#tree?.key === key) return this.#tree.unpacked;
    if (this.#tree !== null) await removeTree(this.#tree.work);
    const work = path.join(this.#workshop.root, `tree-${this.#trees++}`);
    await mkdir(work, { mode: 0o700 });
    const linked = { names: [], directory: '', owner: null };
    const options = { app, linked, maxEntries, maxUnpackedBytes };
    const unpacked = unpackTree(got.path, work, asset.name, signal, options);
    this.#tree = { key, work, unpacked };
    return unpacked;
  }
}

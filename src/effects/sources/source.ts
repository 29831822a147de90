/**
 * Where releases come from. One implementation a file, chosen in cli/sources.ts; the machine and the
 * journal know only what comes out of them, as data.
 */
import type { Asset } from '../../machines/model.ts';
import type { Quota } from '../../machines/pacing.ts';
import type { PublishedRelease } from '../../machines/release.ts';
import { Fault } from '../../support/fault.ts';
import type { Manifest } from '../../trust/judge.ts';
import type { ReleaseList } from '../github/release-list.ts';
import type { Answer } from '../http/http.ts';

/** All of them throw `Fault`, and `RateLimited` where the source asks for a pause. */
export type Source = ReleaseSource & AssetSource & EvidenceSource;

/** Which releases there are. `strikes` counts the limits that were met in a row. */
export type ReleaseSource = {
  /**
   * Stands for the source and the token in use, and shows neither: what was said under another
   * identity is not ours any more.
   */
  readonly identity: string;
  /** The setting that its address came from, for errors; GitHub's where it is left out. */
  readonly setting?: string;
  /** As the newest answer said; null where requests are not counted. */
  readonly quota: Quota | null;
  /** Where web pages stand in for an API at its limit: until then. Left out where none do. */
  readonly webUntilMs?: number | null;
  /** What its maintainers mark as the newest. Null if there is none. */
  latest(strikes: number, signal: AbortSignal): Promise<PublishedRelease | null>;
  /** Null if there is none of this tag. */
  tagged(tag: string, strikes: number, signal: AbortSignal): Promise<PublishedRelease | null>;
  /** In any order, as far as `maxRequests` reach. */
  list(strikes: number, signal: AbortSignal, maxRequests: number): Promise<ReleaseList>;
  /** Nothing was published here, or nothing for us. */
  notFound(): Fault;
};

/** The bytes of an asset. */
export type AssetSource = {
  /** Other answers than a limit are the caller's to judge. */
  fetch(
    asset: Pick<Asset, 'name' | 'url' | 'browserUrl'>,
    headers: Record<string, string>,
    signal: AbortSignal,
    options: { decompress: boolean },
  ): Promise<Answer>;
  /**
   * In bytes, of an asset whose size the list did not tell (0 stands there). Left out by sources
   * that always tell it.
   */
  sizeOf?(
    asset: Pick<Asset, 'name' | 'url' | 'browserUrl' | 'digest'>,
    signal: AbortSignal,
  ): Promise<number>;
};

/** What it can say for the bytes beside the assets themselves. */
export type EvidenceSource = {
  /**
   * A number that a repository keeps when it is renamed, and that no other ever gets. Null if it is
   * not told; null in place of the question where this source has no such numbers.
   */
  readonly repositoryId: ((signal: AbortSignal) => Promise<number | null>) | null;
  /** Sigstore bundles for the bytes with this SHA-256 (hex). */
  attestations(sha256: string, signal: AbortSignal): Promise<unknown[]>;
  /**
   * What names the bytes with this SHA-256 (hex), and may be attested in their place; each is held
   * to its own. Left out by sources that have no such thing.
   */
  manifestsNaming?(sha256: string): Manifest[];
};

/** A limit is in force until `untilMs`; nothing is asked before. */
export class RateLimited extends Fault {
  readonly untilMs: number;

  constructor(message: string, untilMs: number) {
    super('RATE_LIMITED', message);
    this.untilMs = untilMs;
  }
}

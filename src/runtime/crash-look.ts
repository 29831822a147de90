/**
 * A crash loop, and where sockets are held for the app, why: that takes another start of it. Looked
 * for once a version, since that start's output is missing in the log.
 */
import type { Fact } from '../machines/facts.ts';
import type { State } from './fold.ts';
import { crashLoop } from './observed.ts';
import type { RuntimeOptions } from './options.ts';

type Reason = { code: string; message: string } | null;
type Options = Pick<RuntimeOptions, 'explainCrash' | 'exitAgesMs' | 'isTreeThere' | 'random'>;

export class CrashLook {
  readonly #options: Options;
  readonly #done: () => void;
  readonly #abort = new AbortController();
  #known: { version: string | null; reason: Reason } | null = null;
  #isLooking = false;

  /** `done`: something can be said by now. */
  constructor(options: Options, done: () => void) {
    this.#options = options;
    this.#done = done;
  }

  get isBusy(): boolean {
    return this.#isLooking;
  }

  stop(): void {
    this.#abort.abort();
  }

  /** What is to be said of the app; null for nothing, or not yet. */
  fact(state: State): Fact | null {
    const { explainCrash } = this.#options;
    const seen = crashLoop(state, this.#options);
    if (seen?.type !== 'appCrashLooped' || seen.code !== 'CRASH_LOOP' || explainCrash === null)
      return seen;
    const { version } = seen;
    const { lastError } = state.snapshot.context;
    // An earlier updater looked.
    if (lastError?.code === 'ADDRESS_HELD' && lastError.message.startsWith(`version ${version} `))
      this.#known = { version, reason: lastError };
    if (this.#known?.version === version) {
      const { code, message } = this.#known.reason ?? seen;
      return { ...seen, code, message };
    }
    if (!this.#isLooking) void this.#look(version, explainCrash);
    return null;
  }

  async #look(
    version: string | null,
    explain: (version: string, signal: AbortSignal) => Promise<Reason>,
  ): Promise<void> {
    this.#isLooking = true;
    const reason = await explain(version ?? 'unknown', this.#abort.signal).catch(() => null);
    this.#isLooking = false;
    this.#known = { version, reason };
    this.#done();
  }
}

/**
 * At boot an old version does not run when a newer one can be had in time; but in time, something
 * runs.
 */
import { isPreStartDue } from '../machines/change.ts';
import type { Context } from '../machines/context.ts';
import type { World } from '../machines/model.ts';
import { fallback } from '../machines/rules.ts';
import type { RuntimeOptions } from './options.ts';

/** Linking and starting take no longer, or something is wrong. */
const STEP_TIMEOUT_MS = 10_000;

/** docker/service/app/run has the same. */
const LATER_CHECK_TIMEOUT_MS = 5_000;

type Options = Pick<RuntimeOptions, 'effects' | 'log' | 'firstCheckTimeoutMs' | 'observeWorld'>;

export class BootGate {
  readonly #options: Options;
  readonly #context: () => Context | null;
  readonly #appCameUp: (world: World) => void;

  /** `context`: what is remembered now; null once the runtime ends. */
  constructor(options: Options, context: () => Context | null, appCameUp: (world: World) => void) {
    this.#options = options;
    this.#context = context;
    this.#appCameUp = appCameUp;
  }

  /**
   * Before anything slow: `current` names what is to run if the first check takes too long, or if
   * we die in it. A newer image over an older volume wins here. The link alone starts nothing, so
   * it is no fact; recovery sees it on the disk.
   */
  async linkFallback(): Promise<void> {
    const context = this.#context();
    const target = context?.app === 'booting' ? fallback(context) : null;
    if (context === null || target === null || target.path === context.current?.path) return;
    // What is linked may be started without us, and this has data to be prepared first.
    if (isPreStartDue({ ...context, target })) return;
    try {
      await this.#options.effects.switchCurrent(
        { to: target, bestEffort: true },
        AbortSignal.timeout(STEP_TIMEOUT_MS),
      );
    } catch (error) {
      this.#options.log.warn(
        `the link to ${target.version} could not be made: ${(error as Error).message}`,
      );
    }
  }

  /**
   * From now on the first check has its time: little where what would run meanwhile was healthy
   * here.
   */
  arm(): void {
    setTimeout(() => void this.#open(), this.#timeoutMs()).unref();
  }

  #timeoutMs(): number {
    const { firstCheckTimeoutMs } = this.#options;
    const context = this.#context();
    const isProven = context?.lastGood != null && fallback(context)?.path === context.lastGood.path;
    return isProven ? Math.min(firstCheckTimeoutMs, LATER_CHECK_TIMEOUT_MS) : firstCheckTimeoutMs;
  }

  async #open(): Promise<void> {
    const context = this.#context();
    const target = context === null ? null : fallback(context);
    if (context === null || target === null || context.app !== 'booting') return;
    // A hook prepares the data for another version right now: it has a time limit of its own.
    if (
      context.policy.hooks.preStart &&
      context.prepared !== null &&
      context.prepared.path !== target.path
    )
      return this.arm();
    const { effects, log, observeWorld } = this.#options;
    log.info(
      `the first check takes longer than ${this.#timeoutMs() / 1000} s: version ${target.version} is started meanwhile`,
    );
    try {
      const signal = AbortSignal.timeout(STEP_TIMEOUT_MS);
      await effects.switchCurrent({ to: target, bestEffort: true }, signal);
      await effects.start({ target }, signal);
      this.#appCameUp(await observeWorld());
    } catch (error) {
      log.warn(`it could not be started: ${(error as Error).message}`);
    }
  }
}

/**
 * Starts and aborts effects until those that run are those that are outstanding. What becomes of
 * one is a fact, also where it fails.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type EffectName, type EffectRequest, failureFacts } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { toFault } from '../support/fault.ts';
import type { OutstandingEffect } from './fold.ts';
import type { RuntimeOptions } from './options.ts';

/** Effects end soon after an abort; one that hangs in the kernel is not waited for for ever. */
const ABORT_PATIENCE_MS = 10_000;

/** `done` resolves when it has really ended, also after an abort. */
type Running = { effect: OutstandingEffect; abort: AbortController; done: Promise<void> };

type Options = Pick<RuntimeOptions, 'effects' | 'log' | 'random'>;

export type Listener = {
  begun(effect: OutstandingEffect): void;
  /** Null: it was aborted, and what it may still find belongs to no one. */
  ended(effect: OutstandingEffect, outcome: Fact | null): void;
};

export class Performer {
  readonly #options: Options;
  readonly #listener: Listener;
  readonly #running = new Map<string, Running>();
  /** Aborted, and not ended yet. */
  readonly #ending = new Set<Promise<void>>();

  constructor(options: Options, listener: Listener) {
    this.#options = options;
    this.#listener = listener;
  }

  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  isPerforming(id: string): boolean {
    return this.#running.has(id);
  }

  /** Brings what runs in line with what is outstanding. */
  follow(outstanding: ReadonlyMap<string, OutstandingEffect>): void {
    for (const running of this.#running.values())
      if (outstanding.get(running.effect.id)?.sinceSeq !== running.effect.sinceSeq)
        this.#abort(running);
    for (const effect of outstanding.values())
      if (!this.#running.has(effect.id)) void this.#perform(effect);
  }

  abortAll(): void {
    for (const running of this.#running.values()) this.#abort(running);
  }

  /**
   * What was aborted may still be at work on the same files: a removal, say, of what a download has
   * just begun.
   */
  async abortedHaveEnded(): Promise<void> {
    if (this.#ending.size > 0)
      await Promise.race([
        Promise.all(this.#ending),
        sleep(ABORT_PATIENCE_MS, undefined, { ref: false }),
      ]);
  }

  #abort({ effect, abort, done }: Running): void {
    this.#running.delete(effect.id);
    this.#ending.add(done);
    void done.then(() => this.#ending.delete(done));
    abort.abort();
    this.#listener.ended(effect, null);
  }

  async #perform(effect: OutstandingEffect): Promise<void> {
    const abort = new AbortController();
    const ended = Promise.withResolvers<void>();
    this.#running.set(effect.id, { effect, abort, done: ended.promise });
    this.#listener.begun(effect);
    await this.abortedHaveEnded();
    if (abort.signal.aborted) return ended.resolve();
    const fact = await this.#outcome(effect.request, abort.signal);
    ended.resolve();
    if (abort.signal.aborted) return;
    this.#running.delete(effect.id);
    this.#listener.ended(effect, fact);
  }

  /** An effect's failure is a fact like any other. */
  async #outcome({ name, input }: EffectRequest, signal: AbortSignal): Promise<Fact> {
    try {
      const perform = this.#options.effects[name] as (
        input: unknown,
        signal: AbortSignal,
      ) => Promise<Fact>;
      return await perform(input, signal);
    } catch (error) {
      return this.#failure(name, error, signal);
    }
  }

  #failure(name: EffectName, error: unknown, { aborted }: AbortSignal): Fact {
    const { code, message } = toFault(error, 'UNEXPECTED');
    const type = failureFacts[name];
    if (type === 'oldVersionsRemoved') {
      // Where something better came up it is done later.
      if (!aborted) this.#options.log.warn(`old versions could not be removed: ${message}`);
      return { type, names: [] };
    }
    if (type === 'checkFailed') return { type, code, message };
    return { type, code, message, jitter: this.#options.random() };
  }
}

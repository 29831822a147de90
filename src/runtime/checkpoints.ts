/** Saves the state now and then, so that the next start need not fold all facts. */

import { type State, serializeState } from './fold.ts';
import type { RuntimeOptions } from './options.ts';

/**
 * Reading and folding so many facts takes about 20 ms of a start; more than that starts from a
 * checkpoint.
 */
const CHECKPOINT_EVERY = 200;

type Options = Pick<RuntimeOptions, 'journal' | 'log'>;

export class Checkpoints {
  readonly #options: Options;
  #savedSeq: number;

  /** `savedSeq`: of the checkpoint that is there. */
  constructor(options: Options, savedSeq: number) {
    this.#options = options;
    this.#savedSeq = savedSeq;
  }

  /** Throws where it can't be written. */
  afterFact(seq: number, state: State): void {
    if (seq - this.#savedSeq >= CHECKPOINT_EVERY) this.#save(seq, state);
  }

  /** To read it costs less than the shortest replay: 15 ms of each command and each check. */
  atRest(state: State): void {
    const { journal, log } = this.#options;
    try {
      const seq = journal.lastSeq();
      if (seq > this.#savedSeq) this.#save(seq, state);
    } catch (error) {
      log.debug(`no checkpoint: ${(error as Error).message}`);
    }
  }

  #save(seq: number, state: State): void {
    this.#options.journal.saveCheckpoint({ seq, state: serializeState(state) });
    this.#savedSeq = seq;
  }
}

/**
 * Load on a server of this machine, from a process of its own: what the test does meanwhile delays
 * no request. What a stream is: stream.ts.
 */
import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import type { StreamOptions, StreamReport } from './stream.ts';

type Word = { index: number; body: string } | { reports: StreamReport[] };

export class Load {
  readonly #child: ChildProcess;
  /** By stream: what was answered already. */
  readonly #bodies: Set<string>[];
  readonly #waiters = new Set<() => void>();
  #reports: StreamReport[] | null = null;
  #isOver = false;

  constructor(streams: readonly StreamOptions[]) {
    this.#bodies = streams.map(() => new Set());
    this.#child = fork(path.join(import.meta.dirname, 'child.ts'), [JSON.stringify(streams)]);
    this.#child.on('message', (word: Word) => {
      if ('reports' in word) this.#reports = word.reports;
      else this.#bodies[word.index]?.add(word.body);
      this.#wake();
    });
    this.#child.on('exit', () => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** Resolves once each stream was answered with this body. */
  async answers(body: string): Promise<void> {
    await this.#until(() => this.#bodies.every((bodies) => bodies.has(body)));
  }

  /** So far, or of the whole once it is stopped; by stream. */
  async report(word: 'report' | 'stop' = 'report'): Promise<StreamReport[]> {
    this.#reports = null;
    this.#child.send(word);
    await this.#until(() => this.#reports !== null);
    return this.#reports ?? [];
  }

  /** Sends no more, waits for what is open, and tells what became of all. */
  stop(): Promise<StreamReport[]> {
    return this.report('stop');
  }

  #wake(): void {
    for (const look of this.#waiters) look();
  }

  async #until(isSo: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (isSo()) resolve();
        else if (this.#isOver) reject(new Error('the load has ended'));
        else return;
        this.#waiters.delete(look);
      };
      this.#waiters.add(look);
      look();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) this.#child.kill('SIGKILL');
    await this.#until(() => this.#isOver);
  }
}

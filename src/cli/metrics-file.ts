/**
 * The metrics as a file, for the textfile collector of Prometheus' node_exporter: in the container
 * no updater stays to be scraped. See https://github.com/prometheus/node_exporter, "Textfile
 * Collector".
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileDurably } from '../effects/durable.ts';
import type { UpdaterView } from '../web/updater-view.ts';
import { programVersion } from './image.ts';
import type { Parts } from './parts.ts';

const END_WITHIN_MS = 2000;

export class MetricsFile {
  readonly #file: string;
  readonly #warn: (message: string) => void;
  #view: UpdaterView | null = null;
  #isStale = false;
  #writing: Promise<void> | null = null;
  #told = '';

  constructor(file: string, warn: (message: string) => void) {
    this.#file = file;
    this.#warn = warn;
  }

  attach(view: UpdaterView): void {
    this.#view = view;
  }

  /** It is written soon: once for all that changes while it is written. */
  changed(): void {
    this.#isStale = true;
    this.#writing ??= this.#writeAll();
  }

  /**
   * Resolves once what is true now is in the file, or was warned about. A network mount may answer
   * no more, and hold up neither the end nor the container's loop.
   */
  async end(): Promise<void> {
    if (this.#view === null) return;
    this.changed();
    const isOver = Promise.resolve(this.#writing).then(() => true);
    if (await Promise.race([isOver, sleep(END_WITHIN_MS, false, { ref: false })])) return;
    this.#complain(`no answer within ${END_WITHIN_MS / 1000} s`);
    endWithoutThreads();
  }

  async #writeAll(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      await this.#write().catch((error: NodeJS.ErrnoException) =>
        this.#complain(error.code ?? error.message),
      );
    }
    this.#writing = null;
  }

  async #write(): Promise<void> {
    if (this.#view === null) return;
    const { measure } = await import('../web/metrics.ts');
    // The collector reads `*.prom` at any time, so a half of one is never there.
    await writeFileDurably(this.#file, await measure(this.#view, programVersion()));
  }

  /** Each trouble once: updates go on without the file. */
  #complain(reason: string): void {
    if (reason === this.#told) return;
    this.#told = reason;
    this.#warn(
      `UPDATE_METRICS_FILE: ${this.#file} can't be written (${reason}): look at its directory`,
    );
  }
}

/**
 * Node ends once all of its threads have (libuv joins them), and one of them hangs in the kernel.
 * execve(2) leaves them behind: same pid, same streams.
 */
function endWithoutThreads(): void {
  process.once('exit', (status) =>
    process.execve?.('/bin/sh', ['/bin/sh', '-c', `exit ${status}`], {}),
  );
}

export function metricsFileIfAsked({ config, log }: Parts): MetricsFile | null {
  return config.metricsFile === null ? null : new MetricsFile(config.metricsFile, log.warn);
}

/**
 * The metrics as a file, for the textfile collector of Prometheus' node_exporter: in the container
 * no updater stays to be scraped. See https://github.com/prometheus/node_exporter, "Textfile
 * Collector".
 */
import { writeFileDurably } from '../effects/durable.ts';
import type { UpdaterView } from '../web/updater-view.ts';
import { programVersion } from './image.ts';
import type { Parts } from './parts.ts';

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

  /** Resolves once what is true now is in the file, or was warned about. */
  async end(): Promise<void> {
    if (this.#view === null) return;
    this.changed();
    await this.#writing;
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

export function metricsFileIfAsked({ config, log }: Parts): MetricsFile | null {
  return config.metricsFile === null ? null : new MetricsFile(config.metricsFile, log.warn);
}

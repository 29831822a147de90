/**
 * The signs by which the embedded supervisor finds a copy of the app again: a marker in its
 * environment, the record that it has open, and the pid in that record. Those of one slot say
 * nothing of a copy in the other one.
 */
import { MARKER, markedProcesses, markOf, type ProcessInfo } from './process-table.ts';
import { RunRecordFile } from './run-record.ts';
import type { SlotName } from './supervisor.ts';

export class AppSigns {
  readonly #directory: string;
  readonly #slot: SlotName;
  readonly record: RunRecordFile;

  /** `directory`: UPDATE_DIR, which the marker names. */
  constructor(directory: string, slot: SlotName, log: (message: string) => void) {
    this.#directory = directory;
    this.#slot = slot;
    this.record = new RunRecordFile(directory, slot, log);
  }

  /** The variable that a copy is started with. */
  environment(tree: string): Record<string, string> {
    const named = this.#slot === 'app' ? tree : `${this.#slot}:${tree}`;
    return { [MARKER]: markOf(this.#directory, named) };
  }

  /** Every live process of this slot's copy that any sign tells of, each once. */
  processes(): (ProcessInfo & { tree: string })[] {
    const marked = markedProcesses(this.#directory).flatMap((found) => {
      const { slot, tree } = readMarker(found.marker);
      return slot === this.#slot ? [{ ...found, tree }] : [];
    });
    return [
      ...new Map(
        [...this.record.processes(), ...marked].map((found) => [found.pid, found]),
      ).values(),
    ];
  }
}

function readMarker(marker: string): { slot: string; tree: string } {
  const [, slot = 'app', tree = ''] = /^(?:(app2):)?(.*)$/s.exec(marker) ?? [];
  return { slot, tree };
}

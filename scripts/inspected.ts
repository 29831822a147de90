/**
 * The command line with the XState inspector attached: for development only, never part of the
 * product.
 */
import { createWebSocketInspector } from '@statelyai/inspect';
import { createInspectorServer } from '@statelyai/inspect/server';
import { placesOf } from '../src/cli/policy.ts';
import { parseConfig } from '../src/config/config.ts';
import { stateDir } from '../src/effects/trees.ts';
import { Journal } from '../src/journal/journal.ts';
import type { JournalRecord } from '../src/journal/record.ts';
import { updaterMachine } from '../src/machines/updater.ts';
import { main } from '../src/main.ts';
import { replay, type State } from '../src/runtime/fold.ts';

/** Shows each fact with the snapshot that it led to, as the runtime processes them. */
class Inspected {
  readonly #inspector;
  #introduced = false;

  constructor(url: string) {
    this.#inspector = createWebSocketInspector({ url });
  }

  readonly observe = ({ fact, at }: JournalRecord, { snapshot }: State): void => {
    const { value, context, status } = snapshot;
    if (!this.#introduced)
      this.#inspector.actor(
        'updater',
        { value, context, status },
        { definition: JSON.stringify(updaterMachine.definition) },
      );
    this.#introduced = true;
    this.#inspector.event('updater', { ...fact, at });
    this.#inspector.snapshot('updater', { value, context, status }, { event: { ...fact, at } });
  };

  /** What an earlier updater journaled, so that the machine is seen to come to where it is. */
  replayJournal(directory: string): void {
    const journal = Journal.openForReading(directory);
    let state: State | null = null;
    for (const record of journal?.read() ?? []) {
      state = replay([record], state);
      if (state !== null) this.observe(record, state);
    }
    journal?.close();
  }
}

const argv = process.argv.slice(2);
if (argv[0] !== 'run') process.exit(await main(argv, process.env));
const port = Number(process.env['INSPECT_PORT'] ?? 8080);
createInspectorServer({ port, autoOpen: process.stdout.isTTY });
process.stderr.write(`the XState inspector is at http://localhost:${port}\n`);
const inspected = new Inspected(`ws://localhost:${port}`);
const result = parseConfig(process.env);
if (result.ok) inspected.replayJournal(stateDir(placesOf(result.config)));
process.exit(await main(argv, process.env, inspected.observe));

/** The command line with the XState inspector attached: for development only, never part of the product. */
import { createWebSocketInspector } from '@statelyai/inspect';
import { createInspectorServer } from '@statelyai/inspect/server';
import type { JournalRecord } from '../src/journal/record.ts';
import { updaterMachine } from '../src/machines/updater.ts';
import { main } from '../src/main.ts';
import type { State } from '../src/runtime/fold.ts';

const argv = process.argv.slice(2);
if (argv[0] === 'run') {
  const port = Number(process.env['INSPECT_PORT'] ?? 8080);
  createInspectorServer({ port, autoOpen: process.stdout.isTTY });
  process.stderr.write(`the XState inspector is at http://localhost:${port}\n`);
  const inspector = createWebSocketInspector({ url: `ws://localhost:${port}` });
  let introduced = false;
  const observe = ({ fact, at }: JournalRecord, { snapshot }: State): void => {
    const { value, context, status } = snapshot;
    if (!introduced) inspector.actor('updater', { value, context, status }, { definition: JSON.stringify(updaterMachine.definition) });
    introduced = true;
    inspector.event('updater', { ...fact, at });
    inspector.snapshot('updater', { value, context, status }, { event: { ...fact, at } });
  };
  process.exit(await main(argv, process.env, observe));
}
process.exit(await main(argv, process.env));

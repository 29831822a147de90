/**
 * Runs in a container, by its Node: one method of a slot of the app, for tests that drive the slots
 * without an updater. Prints what the method returned, as JSON. Bundled by slots.ts.
 *
 *     node driver.js app2 startOnce /trees/0.0.2
 */
import { readlinkSync } from 'node:fs';
import { RunitSupervisor } from '../../../src/effects/supervisor/runit.ts';

const [slot, method = '', tree = ''] = process.argv.slice(2);
const stop = { signalName: 'TERM', waitMs: Number(process.env['SVWAIT']) * 1000 };
const [app, app2] = (['app', 'app2'] as const).map(
  (name) =>
    new RunitSupervisor({
      slot: name,
      currentTree: async () => readlinkSync('/data/self-update/current'),
      stop,
    }),
) as [RunitSupervisor, RunitSupervisor];
const supervisor = slot === 'app2' ? app2 : app;
const methods: Record<string, () => unknown> = {
  running: () => supervisor.running(),
  startOnce: () => supervisor.startOnce(tree),
  endOfOnce: () => supervisor.endOfOnce(),
  keep: () => supervisor.keep(),
  isReady: () => supervisor.isReady(),
  observe: () => supervisor.observe(),
  stop: () => supervisor.stop(stop),
  stopBoth: () => Promise.all([app.stop(stop), app2.stop(stop)]),
};
process.stdout.write(JSON.stringify((await methods[method]?.()) ?? null));

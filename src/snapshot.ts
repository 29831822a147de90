/**
 * Entry of the start-up snapshot: the program as it is once it was loaded, from which it wakes up
 * instead of being loaded again (Node.js, "Startup Snapshot"). The image's builder makes it, with
 * the very Node that wakes it.
 */
import { startupSnapshot } from 'node:v8';
import { policyOf } from './cli/policy.ts';
import { parseConfig } from './config/config.ts';
import { start } from './main.ts';
import { begin, deserializeState, serializeState } from './runtime/fold.ts';

warmUp();

/** What V8 compiled for these is kept: 8 ms of each start. */
function warmUp(): void {
  const result = parseConfig({ GH_USER: 'any', GH_REPO: 'any' });
  if (!result.ok) return;
  const world = { baked: null, current: null, lastGood: null };
  const fact = { type: 'initialized', policy: policyOf(result.config), world } as const;
  deserializeState(serializeState(begin({ seq: 1, at: 0, fact, effect: null, command: null })));
}

startupSnapshot.setDeserializeMainFunction(async () => {
  process.exitCode = await start(process.argv.slice(2));
  // As in bin/self-update.js: what is left has nothing to say any more.
  process.exit();
});

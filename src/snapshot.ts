/**
 * Entry of the start-up snapshot: the program as it is once it was loaded, from which it wakes up instead of being loaded again (Node.js,
 * "Startup Snapshot"). The image's builder makes it, with the very Node that wakes it.
 */
import { startupSnapshot } from 'node:v8';
import { parseConfig } from './config/config.ts';
import { main } from './main.ts';

// What was compiled for it is kept: 4 ms of each start.
parseConfig({ GH_USER: 'any', GH_REPO: 'any' });

startupSnapshot.setDeserializeMainFunction(async () => {
  process.exitCode = await main(process.argv.slice(2), process.env);
  // As in bin/self-update.js: what is left has nothing to say any more.
  process.exit();
});

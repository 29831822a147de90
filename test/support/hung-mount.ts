/**
 * The command line where UPDATE_METRICS_FILE lies on a mount that answers no more. The test has put
 * a FIFO that nobody writes in the place of its directory: whatever is first asked of the mount
 * waits in open(2) instead, so that a thread hangs in the kernel.
 */
import fs from 'node:fs';
import module, { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';

module.enableCompileCache(
  path.join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'self-update'),
);

const fifo = path.dirname(process.env['UPDATE_METRICS_FILE'] ?? '');
const remove = fs.promises.rm;
fs.promises.rm = async (file, options) => {
  if (path.dirname(String(file)) === fifo) await fs.promises.open(fifo, 'r');
  return remove(file, options);
};
syncBuiltinESMExports();

const { start } = await import('../../src/main.ts');
process.exitCode = await start(process.argv.slice(2));
// As in bin/self-update.js.
process.exit();

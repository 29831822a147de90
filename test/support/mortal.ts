/**
 * The command line, killed at a chosen durable step: SIGKILL to itself right before or right after
 * the step, as a power switch would. MORTAL_STEPS chooses which steps count (`facts`: journal
 * appends; `disk`: also renames, links, syncs and removals), MORTAL_AT=<n>:<before|after> where it
 * dies. Without MORTAL_AT the steps are only counted, into MORTAL_COUNT. MORTAL_FROM=<fact>: they
 * count from the first fact of that type on.
 */
import fs from 'node:fs';
import module, { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';

// A process that is killed keeps nothing of what it compiled: it takes what bin/self-update.js
// keeps, and so do its like.
module.enableCompileCache(
  path.join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'self-update'),
);

const [at = '0', moment = 'before'] = (process.env['MORTAL_AT'] ?? '0').split(':');
const countFile = process.env['MORTAL_COUNT'];
let steps = 0;
let countsFrom = process.env['MORTAL_FROM'] ?? null;

function step<T>(name: string, perform: () => T, detail = name): T {
  if (countsFrom !== null) {
    if (detail === countsFrom) countsFrom = null;
    return perform();
  }
  steps += 1;
  if (countFile) fs.appendFileSync(countFile, `${detail}\n`);
  const dies = steps === Number(at);
  if (dies && moment === 'before') process.kill(process.pid, 'SIGKILL');
  const result = perform();
  if (!dies) return result;
  if (result instanceof Promise)
    return result.finally(() => process.kill(process.pid, 'SIGKILL')) as T;
  process.kill(process.pid, 'SIGKILL');
  return result;
}

type Methods = Record<string, (...args: never[]) => unknown>;

function watch(target: object, names: readonly string[]): void {
  const methods = target as Methods;
  for (const name of names) {
    const original = methods[name];
    if (!original) throw new Error(`there is no ${name}`);
    methods[name] = function (this: unknown, ...args: never[]) {
      const fact = args[0] as { type?: string } | undefined;
      return step(name, () => original.apply(this, args), fact?.type);
    };
  }
}

if (process.env['MORTAL_STEPS'] === 'disk') {
  watch(fs.promises, ['rename', 'symlink', 'rm', 'mkdir', 'chmod', 'copyFile']);
  const handle = await fs.promises.open(import.meta.filename, 'r');
  watch(Object.getPrototypeOf(handle), ['sync', 'writeFile']);
  await handle.close();
  syncBuiltinESMExports();
}
// Imported after the patches, so that it binds to them.
const { Journal } = await import('../../src/journal/journal.ts');
watch(Journal.prototype, ['append']);
const { main } = await import('../../src/main.ts');
process.exit(await main(process.argv.slice(2), process.env));

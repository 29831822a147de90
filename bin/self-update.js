#!/usr/bin/env node
// Works with any Node, so that an old one gets help instead of a stack trace: the pinned Node is
// looked for first.
import { existsSync } from 'node:fs';
import module from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const NEEDED = [24, 15];
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) {
  const source = path.join(root, 'src', 'main.ts');
  const isCheckout = existsSync(source);
  // Half of a start is compiling. Beside the packages, and not in /tmp, where others could leave
  // code for us.
  if (isCheckout)
    module.enableCompileCache(path.join(root, 'node_modules', '.cache', 'self-update'));
  const entry = isCheckout ? source : path.join(root, 'dist', 'self-update.js');
  const { start } = await import(pathToFileURL(entry).href);
  process.exitCode = await start(process.argv.slice(2));
  // What is left (a watcher, a keep-alive socket) has nothing to say any more; output is flushed by
  // then.
  process.exit();
} else {
  // Not beside the program in the image, where Node is always new enough.
  const { runNode } = await import('./pinned-node.js');
  runNode([fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
}

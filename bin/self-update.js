#!/usr/bin/env node
// Works with any Node, so that an old one gets help instead of a stack trace: the pinned Node is looked for first.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const NEEDED = [24, 15];
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) {
  const source = path.join(root, 'src', 'main.ts');
  const isCheckout = existsSync(source);
  // Half of a start is compiling. Beside the packages, and not in /tmp, where others could leave code for us.
  if (isCheckout) module.enableCompileCache(path.join(root, 'node_modules', '.cache', 'self-update'));
  const entry = isCheckout ? source : path.join(root, 'dist', 'self-update.js');
  const { start } = await import(pathToFileURL(entry).href);
  process.exitCode = await start(process.argv.slice(2));
  // What is left (a watcher, a keep-alive socket) has nothing to say any more; output is flushed by then.
  process.exit();
} else {
  const pinned = path.join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(pinned)) {
    const child = spawn(pinned, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? 128 + (os.constants.signals[signal] ?? 0);
    });
  } else {
    console.error(
      `self-update: needs Node ${NEEDED.join('.')} or newer, this is ${process.versions.node}, and npm has none for ${process.platform}-${process.arch}: install it from https://nodejs.org`,
    );
    process.exitCode = 1;
  }
}

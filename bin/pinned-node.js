/**
 * Finds the Node that this project is written for, and runs it: the one that runs this, or the one
 * of npm's packages where this one is older. npm links the latter into node_modules/.bin, but npm
 * 10, which comes with Node 20 and 22, does not. Works with any Node.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const NEEDED = [24, 15];
const MODULES = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'node_modules');

/** Whether this process is a Node that is new enough. */
export function isNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1]);
}

/** Runs Node with these arguments, and ends as it ends. Signals are passed on. */
export function runNode(args) {
  const pinned = path.join(MODULES, `node-${process.platform}-${process.arch}`, 'bin', 'node');
  const node = isNewEnough() ? process.execPath : pinned;
  if (!existsSync(node)) {
    const help = existsSync(MODULES)
      ? `npm has none for ${process.platform}-${process.arch}: install it from https://nodejs.org`
      : 'run `npm ci` first';
    console.error(
      `self-update: needs Node ${NEEDED.join('.')} or newer, this is ${process.versions.node}, and ${help}`,
    );
    process.exitCode = 1;
    return;
  }
  // What the child starts as `node` is the same.
  const env = {
    ...process.env,
    PATH: `${path.dirname(node)}${path.delimiter}${process.env.PATH ?? ''}`,
  };
  const child = spawn(node, args, { stdio: 'inherit', env });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'])
    process.on(signal, () => child.kill(signal));
  // A terminal's Ctrl-C reaches both by itself; a second one would end the child in the middle of
  // its clearing up.
  process.on('SIGINT', () => process.stderr.isTTY || child.kill('SIGINT'));
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (os.constants.signals[signal] ?? 0);
  });
}

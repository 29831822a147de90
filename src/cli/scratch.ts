/**
 * A directory for the work of one command, in the system's temporary one. Its name tells whose it
 * is, so that the next command removes what a killed one left.
 */
import { readlinkSync } from 'node:fs';
import { lstat, mkdtemp, readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { removeTree } from '../effects/durable.ts';
import { isAlive, processInfo } from '../effects/supervisor/process-table.ts';
import { userId } from '../support/own.ts';

/** Process, when it was started, and where a pid means that. */
const NAME = /^self-update-(?:lint|verify)-(?<pid>\d+)-(?<startTime>\d*)-(?<namespace>\d*)-\w{6}$/;

export async function inScratch<T>(
  command: 'lint' | 'verify',
  work: (root: string) => Promise<T>,
): Promise<T> {
  await removeLeftovers();
  const { pid, startTime } = processInfo(process.pid) ?? { pid: process.pid, startTime: '' };
  const owner = [command, pid, startTime, pidNamespace()].join('-');
  const root = await mkdtemp(path.join(os.tmpdir(), `self-update-${owner}-`));
  try {
    return await work(root);
  } finally {
    await removeTree(root);
  }
}

/** What can't be removed keeps nobody from the work. */
async function removeLeftovers(): Promise<void> {
  // Without a process table everybody would look dead.
  if (processInfo(process.pid) === null) return;
  for (const name of await readdir(os.tmpdir()).catch(() => [])) {
    const { pid, startTime = '', namespace } = NAME.exec(name)?.groups ?? {};
    // Of another container with the same temporary directory: that process can't be seen here.
    if (pid === undefined || namespace !== pidNamespace() || isAlive(Number(pid), startTime))
      continue;
    const directory = path.join(os.tmpdir(), name);
    const stats = await lstat(directory).catch(() => null);
    if (stats?.isDirectory() && stats.uid === userId()) await removeTree(directory).catch(() => {});
  }
}

/** See pid_namespaces(7). Empty where there are none. */
function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
  } catch {
    return '';
  }
}

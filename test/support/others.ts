/** Another user of this machine: what he starts, and what he leaves lying about. Needs root. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** nobody, on most systems. */
export const OTHER = { uid: 65534, gid: 65534 };

/** Why a test with another user can't be made here; false where it can. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root, to be another user';

/** Starts a program as that user; it is there when this resolves. */
export async function startedByOther(
  file: string,
  args: string[],
  env: Record<string, string>,
): Promise<ChildProcess> {
  const child = spawn(file, args, {
    ...OTHER,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.stdout === null) throw new Error('invariant: it is a pipe');
  await once(child.stdout, 'data');
  return child;
}

export function mkfifo(file: string): void {
  const { status, stderr } = spawnSync('mkfifo', [file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

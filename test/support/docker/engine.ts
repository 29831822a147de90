/**
 * A Docker engine for the suite. One that answers already is taken (DOCKER_HOST, or the machine's);
 * else, as root, a dockerd of our own is started with its own data directory and socket, and ends
 * with the process that started it.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

/** Kept between runs: base images take minutes. */
const DATA_ROOT =
  process.env['SELF_UPDATE_TEST_DOCKER_ROOT'] ?? path.join(os.tmpdir(), 'self-update-docker');
const SOCKET = path.join(DATA_ROOT, 'docker.sock');
const PID_FILE = path.join(DATA_ROOT, 'pid');
const START_PATIENCE_MS = 60_000;

export type Output = { exitCode: number | undefined; stdout: string; stderr: string };

/** One docker command to its end. Rejects when it fails, unless `reject` is false. */
export async function docker(
  args: readonly string[],
  { reject = true, env = {} }: { reject?: boolean; env?: Record<string, string> } = {},
): Promise<Output> {
  const { exitCode, stdout, stderr } = await execa('docker', [...args], {
    stdin: 'ignore',
    reject,
    env,
  });
  return { exitCode, stdout, stderr };
}

async function answers(): Promise<boolean> {
  return (await docker(['version'], { reject: false })).exitCode === 0;
}

function earlierEngineLives(): boolean {
  try {
    return process.kill(Number(readFileSync(PID_FILE, 'utf8')), 0);
  } catch {
    return false;
  }
}

/** Sets DOCKER_HOST for this process and its children. Returns what ends the engine again. */
export async function startEngine(): Promise<() => Promise<void>> {
  if (await answers()) return async () => {};
  process.env['DOCKER_HOST'] = `unix://${SOCKET}`;
  if (existsSync(SOCKET) && (await answers())) return async () => {};
  mkdirSync(DATA_ROOT, { recursive: true });
  const deadline = performance.now() + START_PATIENCE_MS;
  // An engine that the run before ended may still be at it.
  while (earlierEngineLives() && performance.now() < deadline) await sleep(200);
  rmSync(PID_FILE, { force: true });
  const log = path.join(DATA_ROOT, 'dockerd.log');
  const args = [
    '--data-root',
    path.join(DATA_ROOT, 'data'),
    '--exec-root',
    path.join(DATA_ROOT, 'exec'),
    '--pidfile',
    PID_FILE,
  ];
  const engine = execa('dockerd', [...args, '--host', `unix://${SOCKET}`], {
    stdin: 'ignore',
    stdout: { file: log },
    stderr: { file: log },
    reject: false,
  });
  while (!(await answers())) {
    if (performance.now() > deadline || engine.nodeChildProcess.exitCode !== null)
      throw new Error(
        `dockerd does not start: is Debian's docker.io installed, and is this root? See ${log}`,
      );
    await sleep(200);
  }
  return async () => {
    // --test-force-exit does not wait for what follows the first await: without its socket nobody
    // takes an ending engine for a living one.
    rmSync(SOCKET, { force: true });
    engine.kill('SIGTERM');
    await engine;
  };
}

/**
 * Command lines of the operator's (hooks, health checks, notifications): bounded in time, and
 * nothing of them stays.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadExeca } from './packages.ts';
import {
  groupMembers,
  HOOK_MARKER,
  markedProcesses,
  markOf,
  sendSignal,
} from './supervisor/process-table.ts';

/**
 * Every user may read the arguments of any process (/proc/PID/cmdline), so the text is not among
 * them: it may hold a secret. A process's environment is its own user's to read; what the command
 * starts, perhaps as the app's user, does not inherit it.
 */
const TEXT_VARIABLE = 'SELF_UPDATE_COMMAND';
const RUN_TEXT = `set -- "$${TEXT_VARIABLE}"; unset ${TEXT_VARIABLE}; eval 'shift;' "$1"`;

/**
 * After TERM a command may clean up for so long, then all of it is killed; and the kernel has as
 * long for that.
 */
const GRACE_MS = 2000;
const LOOK_EVERY_MS = 20;
/** What was left in the background may hold the streams open. */
const LAST_LINES_WITHIN_MS = 250;

export type CommandLine = {
  /** For `/bin/sh -c`. */
  command: string;
  /** Its processes are known by this name and by UPDATE_DIR: two at once have two names. */
  name: string;
  directory: string;
  environment: Readonly<Record<string, string>>;
  timeoutMs: number;
  /** What it writes to both streams; null: to nowhere. */
  onOutput: ((chunk: Buffer) => void) | null;
  /** Its standard input; null for none. */
  input: string | null;
};

/**
 * Runs it in a process group of its own, and resolves to its exit status, null when a signal ended
 * it, or `late` when its time was up. Whatever it started is ended by then, also what an earlier
 * updater left of it. Rejects when `signal` aborts.
 */
export async function runCommandLine(
  { command, name, directory, environment, timeoutMs, onOutput, input }: CommandLine,
  signal: AbortSignal,
): Promise<number | null | 'late'> {
  await endCommand(directory, name, null);
  const { execa } = await loadExeca();
  const output = onOutput === null ? 'ignore' : 'pipe';
  const child = execa('/bin/sh', ['-c', RUN_TEXT], {
    env: { ...environment, [TEXT_VARIABLE]: command, [HOOK_MARKER]: markOf(directory, name) },
    extendEnv: false,
    detached: true,
    cleanup: false,
    reject: false,
    buffer: false,
    ...(input === null ? { stdin: 'ignore' } : { input }),
    stdout: output,
    stderr: output,
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => onOutput?.(chunk));
  const exited = new Promise<number | null>((resolve) => {
    child.nodeChildProcess.once('exit', (code: number | null) => resolve(code));
    child.nodeChildProcess.once('error', () => resolve(127));
  });
  const closed = once(child.nodeChildProcess, 'close');
  closed.catch(() => {});
  const late = AbortSignal.timeout(timeoutMs);
  const bounded = AbortSignal.any([signal, late]);
  const aborted = new Promise<'late'>((resolve) =>
    bounded.addEventListener('abort', () => resolve('late'), { once: true }),
  );
  const outcome = await Promise.race([exited, aborted]);
  // Its last lines may still be on their way when it has ended.
  if (outcome !== 'late') await Promise.race([closed, sleep(LAST_LINES_WITHIN_MS)]);
  await endCommand(directory, name, child.pid ?? null);
  signal.throwIfAborted();
  return outcome;
}

/**
 * Asks all processes of a command to end, then kills them. `group`: its process group, null where
 * only the mark is known.
 */
async function endCommand(directory: string, name: string, group: number | null): Promise<void> {
  const remaining = (): number[] => {
    const marked = markedProcesses(directory, HOOK_MARKER).filter(({ marker }) => marker === name);
    return [
      ...new Set([...marked.map(({ pid }) => pid), ...(group === null ? [] : groupMembers(group))]),
    ];
  };
  const signalAll = (signalName: NodeJS.Signals): void => {
    for (const pid of remaining()) sendSignal(pid, signalName);
  };
  if (remaining().length === 0) return;
  for (const signalName of ['SIGTERM', 'SIGKILL'] as const) {
    signalAll(signalName);
    const deadline = performance.now() + GRACE_MS;
    // What hangs in the kernel even after KILL is left to it.
    while (remaining().length > 0 && performance.now() < deadline) await sleep(LOOK_EVERY_MS);
  }
}

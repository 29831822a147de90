/** Starts a program as the embedded supervisor's app: detached, in a session of its own. */
import type { ReadStream } from 'node:fs';
import { Fault, toFault } from '../../support/fault.ts';
import { underGivenUmask } from '../../support/umask.ts';
import type { AppCommand } from '../entry-point.ts';
import type { loadExeca } from '../packages.ts';
import { underOwnPid } from './held-sockets.ts';
import { RECORD_FD } from './run-record.ts';
import type { Exit } from './supervisor.ts';

/** The errors of execve(2) for a missing file, or one that is not a program of this platform. */
const NOT_AN_EXECUTABLE = new Set([
  'ENOENT',
  'EACCES',
  'ENOEXEC',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'EPERM',
  'EINVAL',
  'E2BIG',
]);

export type AppDescriptors = {
  input: ReadStream;
  /** Of standard output and standard error. */
  stream: number | 'inherit' | 'ignore';
  /** Held sockets, from 3 on. */
  listeners: readonly number[];
  /** Its record, which it is to have open; null for none. */
  record: number | null;
};

/**
 * Starts it at once: nothing comes between a look before the call and the start. `ended` resolves
 * when it has ended. Where there is no pid nothing was started, and `ended` rejects with `Fault`
 * `START_FAILED`, or with what the machine lacks.
 */
export function spawnApp(
  { execa }: Awaited<ReturnType<typeof loadExeca>>,
  { file, args, cwd }: AppCommand,
  env: Record<string, string>,
  { input, stream, listeners, record }: AppDescriptors,
): { pid: number | null; ended: Promise<Exit> } {
  // execa takes numbers here; its types leave them out.
  const ignored = Array(RECORD_FD - 3 - listeners.length).fill('ignore');
  const inherited = [...listeners, ...(record === null ? [] : [...ignored, record])] as 'ignore'[];
  const [program, ...programArgs] =
    listeners.length === 0 ? [file, ...args] : underOwnPid(file, args);
  const child = underGivenUmask(() =>
    execa(program, programArgs, {
      cwd,
      env,
      extendEnv: false,
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
      stdio: [input, stream as 'inherit', stream as 'inherit', ...inherited],
    }),
  );
  child.nodeChildProcess?.unref();
  const { pid = null } = child;
  const ended = child.then(({ exitCode, signal, shortMessage, code, cause }) => {
    if (pid !== null) return { exitCode: exitCode ?? null, signal: signal ?? null };
    // No memory and no process left say nothing about the app.
    if (!NOT_AN_EXECUTABLE.has(code ?? '')) throw toFault(cause, 'START_FAILED');
    throw new Fault(
      'START_FAILED',
      `${file} can't be started (${shortMessage}): a file of another platform, or a missing interpreter`,
    );
  });
  return { pid, ended };
}

/**
 * Processes of the updater that run as the app's user. The app can stop, end and steer them
 * (signals, ptrace, a debugger), so they get nothing of our environment, and a session and group of
 * their own: whatever the app has one of them start is known as the app's once that one has ended
 * (docker/app-processes). None is waited for while it is stopped, or does nothing; when it ends,
 * all of its group does.
 *
 * Freeze: an app that sends SIGSTOP to all of its user, again and again, stops our fork between the
 * change of user and exec, and Node (spawn with `uid`) waits for that exec for ever, before any
 * timer. So Node never changes the user: it starts a program that is still root's, and that becomes
 * the app's user. test/effects/as-app.test.ts holds all of src to that.
 *
 * Kept corpse: an app that traces it (ptrace) and never looks at its end keeps even what KILL ended
 * from its parent, who waits for ever. So that parent is a shell of root's, which nobody but root
 * can trace: we wait for the shell, and the shell can be ended.
 */
import { spawn } from 'node:child_process';
import { activityOf, groupMembers, sendSignal } from './supervisor/process-table.ts';

export type User = {
  uid: number;
  gid: number;
  /** The program, and its arguments, by which root becomes that user; the command follows. */
  become: readonly string[];
  /** A directory that nobody but root may enter. */
  privateDir: string;
};

export type AppCommand = {
  file: string;
  args: readonly string[];
  /** Null where that is our own user. */
  user: User | null;
  /** Open files that become its descriptors from 3 on. */
  descriptors?: readonly number[];
  /** Its standard input. */
  input?: string;
  timeoutMs: number;
  /** How long it may do nothing. */
  silentMs?: number;
};

const MAX_ANSWER_BYTES = 4096;
const LOOK_EVERY_MS = 250;
/** The total time for which it may be stopped: the updater never stops it. */
const STOPPED_MS = 5000;
/**
 * With neither processor time nor a wait for a disk. The sync of a network volume may look like
 * that.
 */
const SILENT_MS = 300_000;
/** For the kernel, after KILL: what hangs in it is left to it. */
const KILL_WAIT_MS = 2000;

/** For a shell that stays, whatever it is: the last command of a script may take its place. */
const RUN_AND_STAY = '"$@"; exit "$?"';

/**
 * The command line that runs a command as the app's user, whose parent is root's. Its group holds
 * both.
 */
export function asUser(
  user: User | null,
  file: string,
  args: readonly string[],
): [string, ...string[]] {
  return user === null
    ? [file, ...args]
    : ['/bin/sh', '-c', RUN_AND_STAY, 'sh', ...user.become, file, ...args];
}

/**
 * Its exit status, null when it was ended, and the beginning of what it said. That may be the app's
 * words. Rejects if nothing can be started.
 */
export function runAsApp({
  file,
  args,
  user,
  descriptors = [],
  input = '',
  timeoutMs,
  silentMs = SILENT_MS,
}: AppCommand): Promise<{ status: number | null; said: string }> {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = asUser(user, file, args);
    const child = spawn(program, rest, {
      env: { PATH: process.env['PATH'] ?? '' },
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore', ...descriptors],
    });
    let said = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      said = (said + chunk).slice(0, MAX_ANSWER_BYTES);
    });
    const endGroup = (): void => {
      if (child.pid !== undefined) sendSignal(-child.pid, 'SIGKILL');
    };
    const settle = (status: number | null): void => {
      clearInterval(watch);
      // Not "close": what the app made of it may hold the pipe for ever.
      setImmediate(() => {
        resolve({ status, said });
        child.stdout?.destroy();
        child.unref();
      });
    };
    const progress = new Progress(timeoutMs, silentMs, user !== null);
    const watch = setInterval(() => {
      if (child.pid === undefined || progress.goesOn(child.pid)) return;
      clearInterval(watch);
      endGroup();
      setTimeout(() => settle(null), KILL_WAIT_MS).unref();
    }, LOOK_EVERY_MS);
    child.once('error', (error) => {
      clearInterval(watch);
      reject(error);
    });
    child.once('exit', (status) => {
      endGroup();
      settle(status);
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** The app may pretend progress, so there is a last limit as well. */
class Progress {
  readonly #deadline: number;
  readonly #silentMs: number;
  /** Its group holds the shell that waits for it, too. */
  readonly #isBelowShell: boolean;
  #lookedAt = performance.now();
  #activeAt = performance.now();
  #stoppedMs = 0;
  #ticks = '';

  constructor(timeoutMs: number, silentMs: number, isBelowShell: boolean) {
    this.#isBelowShell = isBelowShell;
    this.#deadline = performance.now() + timeoutMs;
    this.#silentMs = silentMs;
  }

  goesOn(group: number): boolean {
    const now = performance.now();
    const { isStopped, isBusy, ticks } = activityOf(group);
    // Dead, and kept from the shell that waits for it: as good as stopped.
    const isKept = this.#isBelowShell && groupMembers(group).length < 2;
    // At most twice the usual pause: we may have been stopped ourselves.
    if (isStopped || isKept) this.#stoppedMs += Math.min(now - this.#lookedAt, 2 * LOOK_EVERY_MS);
    if (isBusy || ticks !== this.#ticks) this.#activeAt = now;
    this.#lookedAt = now;
    this.#ticks = ticks;
    return (
      now < this.#deadline && this.#stoppedMs < STOPPED_MS && now - this.#activeAt < this.#silentMs
    );
  }
}

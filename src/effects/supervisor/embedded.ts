/**
 * The embedded supervisor: the app is a detached child in a session of its own. It outlives the
 * updater, which finds it again by three signs: a marker in its environment, which a program that
 * sets its title overwrites; the record that it has open as a descriptor, which a daemon may close;
 * and the pid and start time in that record. Never two copies: nothing is started while any sign is
 * found.
 */
import { once } from 'node:events';
import { closeSync, createReadStream, existsSync, fstatSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault, isErrno } from '../../support/fault.ts';
import { openOwnForWriting } from '../../support/own.ts';
import type { AppCommand } from '../entry-point.ts';
import { loadExeca } from '../packages.ts';
import { AppExits } from './app-exits.ts';
import { AppSigns } from './app-signs.ts';
import type { HeldSockets } from './held-sockets.ts';
import { wordsOf } from './last-words.ts';
import {
  activityOf,
  groupMembers,
  isAlive,
  type ProcessInfo,
  processInfo,
  processSpace,
  sendSignal,
  withDescendants,
} from './process-table.ts';
import { type Quarry, waitOrKillQuietly } from './quiet-moment.ts';
import { spawnApp } from './spawn-app.ts';
import type { Exit, Slot, SlotName, StopRequest } from './supervisor.ts';
import { Telling } from './telling.ts';

/** How often an adopted process, whose exit we are not told of, is looked at. */
const WATCH_INTERVAL_MS = 250;
/** While stopping, downtime passes: look often. */
const STOP_POLL_MS = 2;
/** After KILL the kernel needs a moment; a process in uninterruptible sleep may need for ever. */
const KILL_WAIT_MS = 5000;

type Running = { pid: number; startTime: string; tree: string };
export type EmbeddedOptions = {
  /** UPDATE_DIR, which the marker names. */
  directory: string;
  environment: Readonly<Record<string, string>>;
  /**
   * `inherit`: the updater's own streams. `file`: app.log, for commands that end while the app goes
   * on.
   */
  output: 'inherit' | 'file';
  stop: StopRequest;
  /** UPDATE_LISTEN; none where it is off. */
  held?: HeldSockets;
  /** The place of this copy: see pair.ts. Left out where there is only one. */
  slot?: SlotName;
  /** Whether a copy in the other place takes what comes. Left out where there is none. */
  isServedBeside?: () => boolean;
  log: (message: string) => void;
};

export class EmbeddedSupervisor implements Slot {
  readonly endsWithUpdater = true;
  readonly #options: EmbeddedOptions;
  readonly #signs: AppSigns;
  readonly #exits = new AppExits();
  #running: Running | null = null;
  #command: AppCommand | null = null;
  #watch: AbortController | null = null;
  /** Started once: what ends is not started again. */
  #isOnce = false;
  #endOfOnce: Exit | null = null;
  /** Nobody reads our streams any more. */
  #isUnread = false;
  /** Where the next start's output goes, and which start took that. See `lastWords`. */
  #wordsInto: string | null = null;
  #speaking: Running | null = null;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
    this.#signs = new AppSigns(options.directory, options.slot ?? 'app', options.log);
  }

  async observe(): Promise<string | null> {
    // An app of an unknown tree can't be adopted: the start ends it first.
    return this.#find()?.tree || null;
  }

  async isAlive(): Promise<boolean> {
    return this.#find() !== null;
  }

  async assertReachable(): Promise<void> {}

  /** One that outlived its updater has them, and lets go of them when it ends. */
  holdSockets(): void {
    if (this.#find() === null) this.#options.held?.descriptors();
  }

  async start(tree: string, command: AppCommand): Promise<{ adopted: boolean }> {
    this.#isOnce = false;
    return this.#start(tree, command);
  }

  async startOnce(tree: string, command: AppCommand): Promise<{ adopted: boolean }> {
    this.#isOnce = true;
    this.#endOfOnce = null;
    return this.#start(tree, command);
  }

  running(): { tree: string; pid: number } | null {
    const found = this.#find();
    return found && { tree: found.tree, pid: found.pid };
  }

  endOfOnce(): Exit | null {
    return this.#endOfOnce;
  }

  async keep(): Promise<void> {
    const [tree, exit] = [this.#running?.tree, this.#endOfOnce];
    this.#isOnce = false;
    this.#endOfOnce = null;
    // It ended a moment before: as an app that ends.
    if (tree !== undefined && exit !== null) void this.#ended(tree, exit, this.#beginWatch());
  }

  /** Node can't receive datagrams of Unix sockets. */
  isReady(): boolean {
    return false;
  }

  async #start(tree: string, command: AppCommand): Promise<{ adopted: boolean }> {
    this.#command = command;
    const found = this.#find();
    if (found?.tree === tree && !this.#isOutputLost()) {
      this.#adopt(found);
      return { adopted: true };
    }
    this.#exits.forget();
    // Never two copies: an updater that died between stop and start may have left the old one
    // started.
    if (found) await this.stop(this.#options.stop);
    await this.#spawn(tree, command);
    return { adopted: false };
  }

  async stop({ signalName, waitMs }: StopRequest): Promise<{ killed: boolean }> {
    this.#watch?.abort();
    this.#watch = null;
    const found = this.#find();
    // An updater that was killed may have left it stopped.
    if (found && this.#options.isServedBeside && activityOf(found.pid).isStopped)
      sendSignal(-found.pid, 'SIGCONT');
    // What bears no sign is known by its parents as long as they live.
    const first = withDescendants(this.#remaining(found));
    const telling = new Telling(
      { signalName, waitMs },
      found?.pid ?? null,
      first.map(({ pid }) => pid),
    );
    // The leader only: see telling.ts.
    if (found) telling.tell(found.pid);
    const { isGone, killed } = await waitOrKillQuietly(this.#quarry(found, waitMs), () =>
      this.#gone(found, first, waitMs, telling),
    );
    if (isGone) return this.#forget(killed);
    // All of the group at once, so that none forks meanwhile.
    if (found && !isOurGroup(found.pid)) sendSignal(-found.pid, 'SIGKILL');
    if (!(await this.#gone(found, first, KILL_WAIT_MS, 'kill'))) {
      throw new Fault(
        'APP_NOT_STOPPED',
        `the app (pid ${this.#remaining(found, first).join(', ')}) is still there after SIGKILL: it probably hangs in the kernel, on a disk or network mount`,
      );
    }
    return this.#forget(true);
  }

  #quarry(found: Running | null, waitMs: number): Quarry | null {
    const { isServedBeside: isServed, held } = this.#options;
    if (found === null || isServed === undefined || isOurGroup(found.pid) || !held) return null;
    return { group: found.pid, ports: held.ports, user: null, waitMs, isServed };
  }

  nextExit(signal: AbortSignal, known: number): Promise<Exit> {
    return this.#exits.next(signal, known);
  }

  exitAgesMs(): number[] {
    return this.#exits.agesMs();
  }

  async lastWords(signal: AbortSignal): Promise<string> {
    const file = this.#wordsFile;
    this.#wordsInto = file;
    this.#speaking = null;
    const speaking = (): Running | null => this.#speaking;
    const living = (): Running | null => {
      const found = speaking();
      return found !== null && isAlive(found.pid, found.startTime) ? found : null;
    };
    const take = { file, isTaken: () => speaking() !== null, isOver: () => living() === null };
    try {
      return await wordsOf(take, signal);
    } finally {
      this.#wordsInto = null;
      rmSync(file, { force: true });
      const spoilt = living();
      if (spoilt !== null) sendSignal(spoilt.pid, 'SIGTERM');
    }
  }

  detach(): void {
    this.#watch?.abort();
  }

  #forget(killed: boolean): { killed: boolean } {
    this.#running = null;
    return { killed };
  }

  /**
   * The running app: the one we started, else the leader among the processes that bear a sign of
   * it.
   */
  #find(): Running | null {
    if (this.#running && isAlive(this.#running.pid, this.#running.startTime)) return this.#running;
    const found = this.#signs.processes();
    const leader = found.find(({ pid, groupId }) => pid === groupId) ?? found[0];
    return leader ? { pid: leader.pid, startTime: leader.startTime, tree: leader.tree } : null;
  }

  /** `before`: watches the copy whose place it takes; aborted by a stop. */
  async #spawn(
    tree: string,
    command: AppCommand,
    before: AbortSignal | null = null,
  ): Promise<void> {
    const execa = await loadExeca();
    const { environment, output, held } = this.#options;
    const { record: file } = this.#signs;
    const listeners = held?.descriptors() ?? [];
    // For writing too: so it is told from the one that a shell gives to what it starts in the
    // background. See telling.ts.
    const input = createReadStream('/dev/null', { flags: 'r+' });
    await once(input, 'open');
    // From here on nothing is waited for: a stop that came meanwhile was told that all is gone.
    if (before?.aborted) return void input.destroy();
    const inherits = output === 'inherit' && !this.#isUnread;
    const words = this.#wordsInto;
    const log = inherits && words === null ? null : this.#openLog(words ?? this.#logFile);
    const stream = log ?? (inherits ? 'inherit' : 'ignore');
    const env = {
      ...environment,
      ...held?.environment(environment),
      ...this.#signs.environment(tree),
    };
    file.write({ tree });
    const record = file.open();
    const { pid, ended } = spawnApp(execa, command, env, { input, stream, listeners, record });
    if (log !== null) closeSync(log);
    if (record !== null) closeSync(record);
    input.destroy();
    if (pid === null) return void (await ended);
    const running = { pid, startTime: processInfo(pid)?.startTime ?? '', tree };
    this.#running = running;
    if (words !== null) this.#speaking = running;
    this.#wordsInto = null;
    file.write({ ...running, space: processSpace() });
    const watch = this.#beginWatch();
    void ended.then((exit) => {
      // Another copy may go on with them.
      held?.listenAgain();
      return this.#ended(tree, exit, watch);
    });
  }

  /** A disk that takes no log must not keep the app down. */
  #openLog(file: string): number | null {
    try {
      // A plain file for the child: no pipe of the updater lies between the app and its log.
      return openOwnForWriting(file, this.#options.log);
    } catch (error) {
      this.#options.log(
        `the app's output is lost until its next start: ${(error as Error).message}`,
      );
      return null;
    }
  }

  #adopt(found: Running): void {
    if (this.#running?.pid === found.pid && this.#watch) return;
    this.#running = found;
    void this.#watchAdopted(found, this.#beginWatch());
  }

  async #watchAdopted({ pid, startTime, tree }: Running, watch: AbortSignal): Promise<void> {
    while (isAlive(pid, startTime)) {
      await sleep(WATCH_INTERVAL_MS, undefined, { signal: watch, ref: false }).catch(() => {});
      if (watch.aborted) return;
    }
    await this.#ended(tree, { exitCode: null, signal: null }, watch);
  }

  #beginWatch(): AbortSignal {
    this.#watch?.abort();
    this.#watch = new AbortController();
    return this.#watch.signal;
  }

  /** The app ended and nobody asked for it: said, and after a pause it is started again. */
  async #ended(tree: string, exit: Exit, watch: AbortSignal): Promise<void> {
    if (watch.aborted) return;
    if (this.#isOnce) {
      this.#endOfOnce = exit;
      return;
    }
    const how =
      exit.signal ?? (exit.exitCode === null ? 'unknown status' : `status ${exit.exitCode}`);
    if (this.#losesOutput(exit)) {
      this.#options.log(
        `the app ended (${how}) because its output has no reader any more; it is restarted, and writes to ${this.#logFile}`,
      );
      return this.#restart(tree, exit, watch);
    }
    this.#options.log(`the app exited (${how}); restarting it`);
    this.#exits.add(exit);
    const pauseMs = this.#exits.restartPauseMs();
    await sleep(pauseMs, undefined, { signal: watch, ref: false }).catch(() => {});
    if (!watch.aborted) await this.#restart(tree, exit, watch);
  }

  async #restart(tree: string, exit: Exit, watch: AbortSignal): Promise<void> {
    if (this.#command === null) return;
    try {
      // What the leader left behind would be a second copy.
      for (const { pid } of this.#signs.processes()) sendSignal(pid, 'SIGKILL');
      await this.#spawn(tree, this.#command, watch);
    } catch (error) {
      this.#options.log(`the app could not be started again: ${(error as Error).message}`);
      void this.#ended(tree, exit, watch);
    }
  }

  /**
   * The app shares our streams, and a broken pipe ends most programs: that says nothing about the
   * version. Told once.
   */
  #losesOutput({ exitCode }: Exit): boolean {
    if (exitCode === 0 || this.#isUnread || this.#options.output === 'file') return false;
    this.#isUnread = [1, 2].some(isBrokenPipe);
    return this.#isUnread;
  }

  /** An updater that was killed while it read last words leaves the app writing into its file. */
  #isOutputLost(): boolean {
    const isLost = this.#speaking === null && existsSync(this.#wordsFile);
    if (isLost) rmSync(this.#wordsFile, { force: true });
    return isLost;
  }

  get #wordsFile(): string {
    const { directory, slot = 'app' } = this.#options;
    return path.join(directory, 'state', `${slot}.output`);
  }

  get #logFile(): string {
    return path.join(this.#options.directory, 'app.log');
  }

  /** `first`: what was there when the stop began. */
  #remaining(found: Running | null, first: readonly ProcessInfo[] = []): number[] {
    const left = first.filter(({ pid, startTime }) => isAlive(pid, startTime));
    return [
      ...new Set([
        ...[...this.#signs.processes(), ...left].map(({ pid }) => pid),
        ...(found ? groupMembers(found.pid) : []),
      ]),
    ];
  }

  /**
   * True once nothing of the group, of `first`, or that bears a sign is left. `telling`: which
   * processes get the stop signal meanwhile; or all are killed.
   */
  async #gone(
    found: Running | null,
    first: readonly ProcessInfo[],
    waitMs: number,
    telling: Telling | 'kill',
  ): Promise<boolean> {
    const deadline = performance.now() + waitMs;
    for (;;) {
      const leaderLives = found !== null && isAlive(found.pid, found.startTime);
      if (telling === 'kill' || telling.mustLook(leaderLives)) {
        const remaining = this.#remaining(found, first);
        if (remaining.length === 0) return true;
        if (telling !== 'kill') await telling.tellRest(remaining);
        else for (const pid of remaining) sendSignal(pid, 'SIGKILL');
      }
      if (performance.now() >= deadline) return false;
      await sleep(STOP_POLL_MS);
    }
  }
}

/** Where the app started us. */
function isOurGroup(group: number): boolean {
  return processInfo(process.pid)?.groupId === group;
}

/** Only a write tells: an empty line, since one of no bytes always succeeds. */
function isBrokenPipe(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    if (stats.isFIFO() || stats.isSocket()) writeSync(fd, '\n');
    return false;
  } catch (error) {
    return isErrno(error, 'EPIPE');
  }
}

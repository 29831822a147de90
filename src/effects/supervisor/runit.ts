/**
 * The supervisor in the container: runsv(8) keeps the app, `docker/service/app/run` starts it, and
 * this steers both by the control FIFO and the status file. The app outlives the updater, which is
 * seldom there.
 */
import { chmodSync, existsSync, realpathSync, rmSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault } from '../../support/fault.ts';
import { writeOwn } from '../../support/own.ts';
import {
  appProcesses,
  appsShareInput,
  appUser,
  CONTAINER_DIR,
  hasSlots,
  heldPorts,
  mayHaveProcesses,
} from './container.ts';
import { wordsOf } from './last-words.ts';
import {
  activityOf,
  groupMembers,
  isAlive,
  type ProcessInfo,
  processInfo,
  sendSignal,
  withDescendants,
} from './process-table.ts';
import { type Quarry, waitOrKillQuietly } from './quiet-moment.ts';
import { RunitService, type ServiceStatus, writeToFifo } from './runit-service.ts';
import { SlotFiles } from './slot-files.ts';
import type { Exit, Slot, SlotName, StopRequest } from './supervisor.ts';
import { Telling } from './telling.ts';

/** While stopping and starting, downtime passes: look often. */
const POLL_MS = 2;
/** After KILL the kernel needs a moment; a process in uninterruptible sleep may need for ever. */
const KILL_WAIT_MS = 5000;
/**
 * runsvdir looks for a dead runsv every five seconds, and runsv pauses for one after a service that
 * ended early.
 */
const RUNSV_WAIT_MS = 7000;
/**
 * A runsv that dies takes words with it that it has not read. More of them would queue up in its
 * pause, and a stop's word behind them.
 */
const WORD_AGAIN_MS = 500;
/**
 * The control characters that send a signal; `o` before it keeps runsv from starting the app again.
 * `d` is both, for TERM.
 */
const CONTROL: Record<string, string> = {
  TERM: 'd',
  INT: 'oi',
  HUP: 'oh',
  QUIT: 'oq',
  USR1: 'o1',
  USR2: 'o2',
  KILL: 'ok',
};

export type RunitOptions = {
  /** What `current` names now, absolute; null for nothing. */
  currentTree: () => Promise<string | null>;
  stop: StopRequest;
  /** Where its copy runs; `app` is the only one without the strategy hand-over. */
  slot?: SlotName;
};

export class RunitSupervisor implements Slot {
  readonly endsWithUpdater = false;
  readonly #options: RunitOptions;
  readonly #files: SlotFiles;
  readonly #others: SlotFiles;
  readonly #service: RunitService;

  constructor(options: RunitOptions) {
    this.#options = options;
    this.#files = new SlotFiles(options.slot ?? 'app');
    this.#others = new SlotFiles(this.#files.name === 'app' ? 'app2' : 'app');
    this.#service = serviceOf(this.#files.name);
  }

  /**
   * Behind the gate, and while the app is wanted down, none runs. In the second before runsv
   * restarts one that ended, one does.
   */
  async observe(): Promise<string | null> {
    const status = this.#service.status();
    if (status === null || status.wanted === 'down' || !existsSync(file('gate'))) return null;
    return this.running()?.tree ?? (await this.#options.currentTree());
  }

  running(): { tree: string; pid: number } | null {
    return this.#files.started();
  }

  isReady(): boolean {
    return this.running() !== null && this.#files.has('ready');
  }

  async isAlive(): Promise<boolean> {
    return this.running() !== null;
  }

  /** Waits until a runsv is there: its predecessor may just have died. */
  async assertReachable(): Promise<void> {
    const deadline = performance.now() + RUNSV_WAIT_MS;
    while (this.#service.status() === null) {
      if (performance.now() > deadline)
        throw new Fault(
          'SUPERVISOR_MISSING',
          'runsv does not supervise the app: the container is stopping, or broken; restart it',
        );
      await sleep(POLL_MS);
    }
  }

  /** init holds them (docker/listen.sh). */
  holdSockets(): void {}

  async start(tree: string): Promise<{ adopted: boolean }> {
    if (isSame(await this.observe(), tree)) {
      if (!this.#takeBackOutput()) return { adopted: true };
      await this.stop(this.#options.stop);
    }
    await this.assertReachable();
    // Exits that are counted from here on are those of this version.
    this.#files.remove('exits', 'tree', 'end');
    this.#becomeTheApp();
    const deadline = performance.now() + this.#options.stop.waitMs + RUNSV_WAIT_MS;
    let wordDueAt = 0;
    for (;;) {
      const started = this.running();
      // One that ended at once was started all the same: its probation tells the rest.
      if (
        isSame(started?.tree, tree) ||
        this.#files.exits().some((exit) => isSame(exit.tree, tree))
      )
        return { adopted: false };
      // The gate's time was up in the same moment, and app/run took what was current then.
      if (started !== null) {
        await this.stop(this.#options.stop);
        wordDueAt = 0;
      }
      this.#openGate();
      if (performance.now() >= wordDueAt && this.#service.control('u'))
        wordDueAt = performance.now() + WORD_AGAIN_MS;
      if (performance.now() > deadline) {
        await this.#assertNoEarlierCopy();
        throw new Fault(
          'START_FAILED',
          `the app did not start from ${tree} within ${Math.round(this.#options.stop.waitMs / 1000)} s: see its own output`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  async startOnce(tree: string): Promise<{ adopted: boolean }> {
    const before = this.running();
    if (isSame(before?.tree, tree)) return { adopted: true };
    await this.assertReachable();
    if (before !== null) await this.stop(this.#options.stop);
    this.#files.remove('exits', 'end', 'ready');
    // A new runsv is not to start it: the app is the other one.
    this.#files.markDown(true);
    this.#files.write('tree', `${tree}\n`);
    const deadline = performance.now() + this.#options.stop.waitMs + RUNSV_WAIT_MS;
    let wordDueAt = 0;
    for (;;) {
      if (isSame(this.running()?.tree, tree) || this.#files.end() !== null)
        return { adopted: false };
      // app/run sees to it that a word too many starts nothing: an end that is noted is the end.
      if (performance.now() >= wordDueAt && this.#service.control('o'))
        wordDueAt = performance.now() + WORD_AGAIN_MS;
      if (performance.now() > deadline) {
        await this.#assertNoEarlierCopy();
        await this.stop(this.#options.stop);
        throw new Fault(
          'START_FAILED',
          `the app did not start from ${tree} beside the running one within ${Math.round(this.#options.stop.waitMs / 1000)} s: see its own output`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  endOfOnce(): Exit | null {
    // In this order: the end is noted before runsv says down.
    const status = this.#service.status();
    const isGone = this.running() === null && (status === null || status.state === 'down');
    const end = this.#files.end();
    if (end !== null) return { exitCode: end.exitCode, signal: end.signal };
    return isGone && this.#files.has('tree') ? { exitCode: null, signal: null } : null;
  }

  async keep(): Promise<void> {
    this.#becomeTheApp();
    const deadline = performance.now() + RUNSV_WAIT_MS;
    let wordDueAt = 0;
    while (this.#service.status()?.wanted !== 'up') {
      if (performance.now() >= wordDueAt && this.#service.control('u'))
        wordDueAt = performance.now() + WORD_AGAIN_MS;
      // No runsv: the new one starts it, unless it says what is wrong.
      if (performance.now() > deadline) return await this.assertReachable();
      await sleep(POLL_MS);
    }
    this.#files.remove('tree');
  }

  /**
   * A runsv that was killed is followed by one that starts what is not marked. The other one is
   * marked first: two of these would be two copies for good.
   */
  #becomeTheApp(): void {
    if (!hasSlots()) return;
    this.#others.markDown(true);
    this.#files.markDown(false);
  }

  /**
   * Whose processes are ended: null for all of the app's. While a copy runs in the other slot, or
   * may begin to, only what can be told to be of this one, or of none of both: its group, its
   * session, their descendants, who has its lock, where all is one user, and whose environment says
   * so. A daemon without any of these may be either copy's; it stays until the app is stopped
   * altogether.
   */
  #sparing(): SlotName | null {
    if (!hasSlots()) return null;
    const status = serviceOf(this.#others.name).status();
    const isOtherThere =
      this.#others.group() !== null ||
      (status === null ? !this.#others.isMarkedDown : !isAtRest(status));
    return isOtherThere ? this.#files.name : null;
  }

  /** app/run waits for one, and starts nothing meanwhile: that says nothing about the version. */
  async #assertNoEarlierCopy(): Promise<void> {
    const found = await appProcesses(null, this.#sparing());
    if (this.running() !== null || found?.length === 0) return;
    const who =
      found === null
        ? 'its processes could not be listed'
        : `processes ${found.slice(0, 5).join(', ')}`;
    throw new Fault(
      'APP_NOT_STOPPED',
      `the app can't be started while an earlier copy runs (${who}): it probably hangs in the kernel; restart the container`,
    );
  }

  async stop({ signalName, waitMs }: StopRequest): Promise<{ killed: boolean }> {
    const group = this.#files.group();
    const isSparing = this.#sparing() !== null;
    if (isSparing) {
      // Whatever becomes of runsv.
      this.#files.markDown(true);
      const status = this.#service.status();
      // Nothing was here since it was last proven to be gone.
      if (status !== null && isAtRest(status) && !this.#files.has('group')) {
        this.#files.remove('tree');
        return { killed: false };
      }
    }
    // A run script that still waits at the gate has nothing to stop; ended this early, it would
    // cost a second of runsv's.
    if (this.running() === null && !existsSync(file('gate')) && group === null)
      return { killed: false };
    // Any other word than `d` would start an app that is down.
    const word = this.running() === null ? 'd' : (CONTROL[signalName] ?? 'o');
    const members = group === null ? [] : groupMembers(group);
    // Children under another user, in sessions of their own, are known by their parents as long as
    // these live.
    const first = withDescendants(members);
    // An updater that was killed may have left it stopped.
    if (isSparing && group !== null && activityOf(group).isStopped) sendSignal(-group, 'SIGCONT');
    const telling = new Telling({ signalName, waitMs }, group, members, appsShareInput);
    const supervised = this.#service.control(word);
    // The leader only: see telling.ts.
    if (group !== null && supervised && word !== 'o') telling.toldByOthers(group);
    else if (group !== null) telling.tell(group);
    const { isGone, killed } = await waitOrKillQuietly(
      group === null || !isSparing ? null : this.#quarry(group, waitMs),
      () => this.#gone(group, first, waitMs, telling),
    );
    if (isGone) return { killed };
    // Not by runsv's own `k`: read after the app's death, it makes runsv forget the finish script,
    // and say "finish" for ever.
    if (group !== null) sendSignal(-group, 'SIGKILL');
    for (const { pid } of stillAlive(first)) sendSignal(pid, 'SIGKILL');
    await appProcesses('KILL', this.#sparing());
    if (await this.#gone(group, first, KILL_WAIT_MS)) return { killed: true };
    throw new Fault(
      'APP_NOT_STOPPED',
      'the app is still there after SIGKILL: it probably hangs in the kernel, on a disk or network mount',
    );
  }

  #quarry(group: number, waitMs: number): Quarry {
    const isServed = () => this.#others.started() !== null;
    return { group, ports: heldPorts(), user: appUser(), waitMs, isServed };
  }

  async nextExit(signal: AbortSignal, known: number): Promise<Exit> {
    const watcher = watch(CONTAINER_DIR, { signal });
    const next = watcher[Symbol.asyncIterator]();
    for (;;) {
      const changed = next.next();
      changed.catch(() => {});
      const exit = this.#files.exits()[known];
      if (exit !== undefined) {
        await next.return?.();
        return exit;
      }
      await changed;
    }
  }

  exitAgesMs(): number[] {
    return this.#files
      .exits()
      .map(({ uptimeSeconds }) => Math.max(0, os.uptime() - uptimeSeconds) * 1000);
  }

  /** Where the output of one start goes: asked for by the first name, taken by the second one. */
  get #wordsFiles(): { asked: string; taken: string } {
    const asked = file(`${this.#files.name}.output`);
    return { asked, taken: `${asked}.taken` };
  }

  /**
   * An updater that was killed while it read last words leaves the app writing into its file, unseen
   * and in memory, for as long as it lives. Whether the app is one that does, and has to be started
   * anew.
   */
  #takeBackOutput(): boolean {
    const { asked, taken } = this.#wordsFiles;
    const isTaken = existsSync(taken) && this.running() !== null;
    for (const name of [asked, taken]) rmSync(name, { force: true });
    return isTaken;
  }

  /** app/run takes the file for one start. */
  async lastWords(signal: AbortSignal): Promise<string> {
    const { asked, taken } = this.#wordsFiles;
    rmSync(taken, { force: true });
    writeOwn(asked, '', () => {});
    // The app may open its standard output anew; nobody else comes by here.
    chmodSync(asked, 0o666);
    const isOver = () => this.running() === null && !existsSync(asked);
    try {
      return await wordsOf({ file: taken, isTaken: () => existsSync(taken), isOver }, signal);
    } finally {
      const isSpoilt = existsSync(taken) && !isOver();
      for (const name of [asked, taken]) rmSync(name, { force: true });
      const group = this.#files.group();
      if (isSpoilt && group !== null) sendSignal(-group, 'SIGTERM');
    }
  }

  detach(): void {}

  #openGate(): void {
    if (!existsSync(file('gate'))) writeOwn(file('gate'), '', () => {});
    writeToFifo(file('gate.fifo'), 'open\n');
  }

  /**
   * True once runsv says down, and neither the group nor anybody who left it lives. `first`: what
   * was there when the stop began. `telling`: which processes get the stop signal meanwhile.
   */
  async #gone(
    group: number | null,
    first: readonly ProcessInfo[],
    waitMs: number,
    telling: Telling | null = null,
  ): Promise<boolean> {
    const deadline = performance.now() + waitMs;
    const leader = group === null ? null : processInfo(group);
    let straysTold = telling === null;
    for (;;) {
      const status = this.#service.status();
      const leaderLives = leader !== null && isAlive(leader.pid, leader.startTime);
      // In its pause after an early end runsv has not read our word yet, and would start the app
      // again.
      const isDown = !leaderLives && (status === null || isAtRest(status));
      const members =
        group !== null && (isDown || telling?.mustLook(leaderLives)) ? groupMembers(group) : [];
      if (members.length > 0) await telling?.tellRest(members);
      else if (isDown && stillAlive(first).length === 0 && (await this.#isRestGone())) {
        // The number may be somebody else's from now on.
        this.#files.remove('group', 'tree');
        return true;
      } else if (isDown && !straysTold && telling !== null) {
        const told = await appProcesses(telling.signalName, this.#sparing());
        for (const { pid } of stillAlive(first)) if (!told?.includes(pid)) telling.tell(pid);
        straysTold = true;
      }
      if (performance.now() >= deadline) return false;
      await sleep(POLL_MS);
    }
  }

  /**
   * Whether nobody is left who left the group. Most apps have a user of their own, and then one
   * glance tells. Where nobody can look, it is not known.
   */
  async #isRestGone(): Promise<boolean> {
    const slot = this.#sparing();
    const user = slot === null ? appUser() : null;
    if (user !== null && !mayHaveProcesses(user.uid, this.#files.recordedGroup())) return true;
    return (await appProcesses(null, slot))?.length === 0;
  }
}

function serviceOf(slot: SlotName): RunitService {
  return new RunitService(path.join(CONTAINER_DIR, 'service', slot));
}

function isAtRest({ state, wanted }: ServiceStatus): boolean {
  return state === 'down' && wanted === 'down';
}

function stillAlive(processes: readonly ProcessInfo[]): ProcessInfo[] {
  return processes.filter(({ pid, startTime }) => isAlive(pid, startTime));
}

/** app/run notes where it really is; UPDATE_DIR may lead there through a link. */
function isSame(one: string | null | undefined, other: string): boolean {
  return (
    one === other ||
    (one != null &&
      existsSync(one) &&
      existsSync(other) &&
      realpathSync(one) === realpathSync(other))
  );
}

function file(name: string): string {
  return path.join(CONTAINER_DIR, name);
}

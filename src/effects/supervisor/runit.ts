/**
 * The supervisor in the container: runsv(8) keeps the app, `docker/service/app/run` starts it, and
 * this steers both by the control FIFO and the status file. The app outlives the updater, which is
 * seldom there.
 */
import { existsSync, realpathSync, rmSync } from 'node:fs';
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
  mayHaveProcesses,
  readOr,
} from './container.ts';
import {
  groupMembers,
  isAlive,
  type ProcessInfo,
  processInfo,
  sendSignal,
  withDescendants,
} from './process-table.ts';
import { RunitService, writeToFifo } from './runit-service.ts';
import type { Exit, StopRequest, Supervisor } from './supervisor.ts';
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

type RecordedExit = Exit & { tree: string; uptimeSeconds: number };

export type RunitOptions = {
  /** What `current` names now, absolute; null for nothing. */
  currentTree: () => Promise<string | null>;
  stop: StopRequest;
};

export class RunitSupervisor implements Supervisor {
  readonly endsWithUpdater = false;
  readonly #options: RunitOptions;
  readonly #service = new RunitService(path.join(CONTAINER_DIR, 'service', 'app'));

  constructor(options: RunitOptions) {
    this.#options = options;
  }

  /**
   * Behind the gate, and while the app is wanted down, none runs. In the second before runsv
   * restarts one that ended, one does.
   */
  async observe(): Promise<string | null> {
    const status = this.#service.status();
    if (status === null || status.wanted === 'down' || !existsSync(file('gate'))) return null;
    return this.#started()?.tree ?? (await this.#options.currentTree());
  }

  async isAlive(): Promise<boolean> {
    return this.#started() !== null;
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

  async start(tree: string): Promise<{ adopted: boolean }> {
    if (isSame(await this.observe(), tree)) return { adopted: true };
    await this.assertReachable();
    // Exits that are counted from here on are those of this version.
    rmSync(file('app.exits'), { force: true });
    const deadline = performance.now() + this.#options.stop.waitMs + RUNSV_WAIT_MS;
    let wordDueAt = 0;
    for (;;) {
      const started = this.#started();
      // One that ended at once was started all the same: its probation tells the rest.
      if (isSame(started?.tree, tree) || this.#exits().some((exit) => isSame(exit.tree, tree)))
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

  /** app/run waits for one, and starts nothing meanwhile: that says nothing about the version. */
  async #assertNoEarlierCopy(): Promise<void> {
    const found = await appProcesses();
    if (this.#started() !== null || found?.length === 0) return;
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
    const group = this.#group();
    // A run script that still waits at the gate has nothing to stop; ended this early, it would
    // cost a second of runsv's.
    if (this.#started() === null && !existsSync(file('gate')) && group === null)
      return { killed: false };
    // Any other word than `d` would start an app that is down.
    const word = this.#started() === null ? 'd' : (CONTROL[signalName] ?? 'o');
    const members = group === null ? [] : groupMembers(group);
    // Children under another user, in sessions of their own, are known by their parents as long as
    // these live.
    const first = withDescendants(members);
    const telling = new Telling({ signalName, waitMs }, group, members, appsShareInput);
    const supervised = this.#service.control(word);
    // The leader only: see telling.ts.
    if (group !== null && supervised && word !== 'o') telling.toldByOthers(group);
    else if (group !== null) telling.tell(group);
    if (await this.#gone(group, first, waitMs, telling)) return { killed: false };
    // Not by runsv's own `k`: read after the app's death, it makes runsv forget the finish script,
    // and say "finish" for ever.
    if (group !== null) sendSignal(-group, 'SIGKILL');
    for (const { pid } of stillAlive(first)) sendSignal(pid, 'SIGKILL');
    await appProcesses('KILL');
    if (await this.#gone(group, first, KILL_WAIT_MS)) return { killed: true };
    throw new Fault(
      'APP_NOT_STOPPED',
      'the app is still there after SIGKILL: it probably hangs in the kernel, on a disk or network mount',
    );
  }

  async nextExit(signal: AbortSignal, known: number): Promise<Exit> {
    const watcher = watch(CONTAINER_DIR, { signal });
    const next = watcher[Symbol.asyncIterator]();
    for (;;) {
      const changed = next.next();
      changed.catch(() => {});
      const exit = this.#exits()[known];
      if (exit !== undefined) {
        await next.return?.();
        return exit;
      }
      await changed;
    }
  }

  exitAgesMs(): number[] {
    return this.#exits().map(
      ({ uptimeSeconds }) => Math.max(0, os.uptime() - uptimeSeconds) * 1000,
    );
  }

  detach(): void {}

  /** The running app, as app/run noted right before it became it. */
  #started(): { pid: number; tree: string } | null {
    const match = /^(\d+) (.+)$/m.exec(readOr(file('app.started'), ''));
    const pid = Number(match?.[1]);
    if (!match?.[2] || processInfo(pid)?.isZombie !== false) return null;
    return { pid, tree: match[2] };
  }

  /** Exits that nobody asked for, since the last start that the updater made. */
  #exits(): RecordedExit[] {
    return readOr(file('app.exits'), '')
      .split('\n')
      .flatMap((line) => parseExit(line) ?? []);
  }

  /** The app's process group while anything of it lives; its number is the leader's pid. */
  #group(): number | null {
    const group = recordedGroup();
    return group > 0 && groupMembers(group).length > 0 ? group : null;
  }

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
      const isDown =
        !leaderLives && (status === null || (status.state === 'down' && status.wanted === 'down'));
      const members =
        group !== null && (isDown || telling?.mustLook(leaderLives)) ? groupMembers(group) : [];
      if (members.length > 0) await telling?.tellRest(members);
      else if (isDown && stillAlive(first).length === 0 && (await this.#isRestGone())) {
        // The number may be somebody else's from now on.
        rmSync(file('app.group'), { force: true });
        return true;
      } else if (isDown && !straysTold && telling !== null) {
        const told = await appProcesses(telling.signalName);
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
    const user = appUser();
    if (user !== null && !mayHaveProcesses(user.uid, recordedGroup())) return true;
    return (await appProcesses())?.length === 0;
  }
}

function stillAlive(processes: readonly ProcessInfo[]): ProcessInfo[] {
  return processes.filter(({ pid, startTime }) => isAlive(pid, startTime));
}

/** As app/run noted it: also the number of the app's session. 0 for none. */
function recordedGroup(): number {
  return Number(readOr(file('app.group'), '').trim()) || 0;
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

/** A line of `app/finish`: uptime, exit code or -1, signal, tree. */
export function parseExit(line: string): RecordedExit | null {
  const match = /^(\d+) (-?\d+) (\d+) (.+)$/.exec(line);
  if (!match?.[4]) return null;
  const [uptimeSeconds = 0, code = 0, number = 0] = match.slice(1, 4).map(Number);
  // Those of real time have no name here.
  const signal =
    Object.entries(os.constants.signals).find(([, value]) => value === number)?.[0] ??
    `signal ${number}`;
  return {
    exitCode: code >= 0 ? code : null,
    signal: code >= 0 ? null : signal,
    tree: match[4],
    uptimeSeconds,
  };
}

/**
 * Who is told to stop, and when. Each process gets the stop signal once: some servers take a second one for "abort now". The
 * leader is told first, and what it does about its children is its own affair. Who has nobody above in the app that could
 * pass it on is told by us: a child whose parent ended, as under a start.sh without exec. A shell that lives on runs its trap
 * only after the command in its foreground has ended, so that command is told too. docker/lib.sh does the same.
 */
import { isShell, type ProcessInfo, processInfo, sendSignal, signalsOf } from './process-table.ts';

/** Bits of SIGINT and SIGQUIT in a signal mask. */
const INT_AND_QUIT = 0b110n;
/** While a shell lives, its children are looked at so often. */
const LOOK_INTERVAL_MS = 50;

export class Telling {
  readonly signalName: string;
  /** Processes of the app when the stop began: what a trap starts later is not to be ended. */
  readonly #first: ReadonlySet<number>;
  readonly #told = new Set<string>();
  readonly #unclearFrom: number;
  readonly #isLedByShell: boolean;
  #nextLookAt = 0;

  /** `members`: pids of the app's processes before anybody is told. */
  constructor({ signalName, waitMs }: { signalName: string; waitMs: number }, leader: number | null, members: readonly number[]) {
    this.#isLedByShell = leader !== null && isShell(leader);
    this.signalName = signalName;
    this.#first = new Set(members);
    this.#unclearFrom = performance.now() + waitMs / 2;
  }

  /** Sends the signal to a process that has not had it. */
  tell(pid: number): void {
    // Off Linux who belongs to a group can't be seen, so all of it is told at once.
    const target = process.platform === 'linux' ? pid : -pid;
    if (this.#note(pid)) sendSignal(target, `SIG${this.signalName}` as NodeJS.Signals);
  }

  /** Somebody else sent it the signal: runsv, to the leader. */
  toldByOthers(pid: number): void {
    this.#note(pid);
  }

  /** Whether to look at the members now: the leader is cheap to look at, and the process table is not. */
  mustLook(leaderLives: boolean): boolean {
    if (!leaderLives) return true;
    if (!this.#isLedByShell || performance.now() < this.#nextLookAt) return false;
    this.#nextLookAt = performance.now() + LOOK_INTERVAL_MS;
    return true;
  }

  /** To be called again and again while the app is waited for. */
  tellRest(members: readonly number[]): void {
    const alive = members.flatMap((pid) => processInfo(pid) ?? []).filter(({ isZombie }) => !isZombie);
    const pids = new Set(alive.map(({ pid }) => pid));
    for (const member of alive) {
      if (this.#told.has(key(member))) continue;
      if (!pids.has(member.parentId) || this.#isLeftByShell(member)) this.tell(member.pid);
    }
  }

  #note(pid: number): boolean {
    const info = processInfo(pid);
    if (info === null || this.#told.has(key(info))) return false;
    this.#told.add(key(info));
    return true;
  }

  /** Whether its parent is a shell that was told and lives, and will not pass the signal on. */
  #isLeftByShell({ pid, parentId }: ProcessInfo): boolean {
    if (!this.#first.has(pid) || !isShell(parentId)) return false;
    const parent = processInfo(parentId);
    const signals = signalsOf(pid);
    if (parent === null || !this.#told.has(key(parent)) || signals === null) return false;
    // POSIX: what a script starts in the background ignores INT and QUIT. The shell waits by `wait`, and its trap has run.
    if ((signals.ignored & INT_AND_QUIT) !== 0n) return false;
    // Who handles both may have ignored them before: it is told as late as leaves it some time.
    return (signals.caught & INT_AND_QUIT) !== INT_AND_QUIT || performance.now() >= this.#unclearFrom;
  }
}

/** A pid alone may be another process by now. */
function key({ pid, startTime }: ProcessInfo): string {
  return `${pid} ${startTime}`;
}

/**
 * Which processes get the stop signal, and when. Each process gets the stop signal once: some
 * servers take a second one for "abort now". The leader gets it first, and may stop its children
 * itself. Who has nobody above in the app that could pass it on is told by us: a child whose parent
 * ended, as under a start.sh without exec. A shell that lives on runs its trap only after the
 * command in its foreground has ended, so that command is told too. docker/telling.sh does the
 * same.
 */
import {
  ignoresInterrupts,
  isShell,
  type ProcessInfo,
  processInfo,
  sendSignal,
  shareInput,
} from './process-table.ts';

/** While a shell lives, its children are looked at so often. */
const LOOK_INTERVAL_MS = 50;

/**
 * All looks of one stop: the app can make each of them slow, and can have hundreds of processes.
 * The rest of them is unclear then.
 */
const PLACING_MS = 2000;

/** Whether two processes have one standard input; null if that can't be seen. */
export type ShareInput = (one: number, other: number) => Promise<boolean | null>;

export class Telling {
  readonly signalName: string;
  /** Processes of the app when the stop began: what a trap starts later is not to be ended. */
  readonly #first: ReadonlySet<number>;
  readonly #told = new Set<string>();
  readonly #unclearFrom: number;
  readonly #deadline: number;
  #placingMs = 0;
  readonly #isLedByShell: boolean;
  readonly #shareInput: ShareInput;
  readonly #placed = new Map<string, 'foreground' | 'background' | 'unclear'>();
  #nextLookAt = 0;

  /** `members`: pids of the app's processes before anybody is told. */
  constructor(
    { signalName, waitMs }: { signalName: string; waitMs: number },
    leader: number | null,
    members: readonly number[],
    shareInputOf: ShareInput = async (one, other) => shareInput(one, other),
  ) {
    this.#isLedByShell = leader !== null && isShell(leader);
    this.signalName = signalName;
    this.#first = new Set(members);
    this.#shareInput = shareInputOf;
    this.#unclearFrom = performance.now() + waitMs / 2;
    this.#deadline = performance.now() + waitMs;
  }

  /** Sends the signal to a process that has not had it. */
  tell(pid: number): void {
    // Outside of Linux the members of a group can't be listed, so the whole group is signalled at
    // once.
    const target = process.platform === 'linux' ? pid : -pid;
    if (this.#note(pid)) sendSignal(target, `SIG${this.signalName}` as NodeJS.Signals);
  }

  /** Somebody else sent it the signal: runsv, to the leader. */
  toldByOthers(pid: number): void {
    this.#note(pid);
  }

  /**
   * Whether to look at the members now: the leader is cheap to look at, and the process table is
   * not.
   */
  mustLook(leaderLives: boolean): boolean {
    if (!leaderLives) return true;
    if (!this.#isLedByShell || performance.now() < this.#nextLookAt) return false;
    this.#nextLookAt = performance.now() + LOOK_INTERVAL_MS;
    return true;
  }

  /** To be called again and again while the app is waited for. */
  async tellRest(members: readonly number[]): Promise<void> {
    const alive = members
      .flatMap((pid) => processInfo(pid) ?? [])
      .filter(({ isZombie }) => !isZombie);
    const pids = new Set(alive.map(({ pid }) => pid));
    for (const member of alive) {
      if (performance.now() >= this.#deadline) return;
      if (this.#told.has(key(member))) continue;
      if (!pids.has(member.parentId) || (await this.#isLeftByShell(member))) this.tell(member.pid);
    }
  }

  #note(pid: number): boolean {
    const info = processInfo(pid);
    if (info === null || this.#told.has(key(info))) return false;
    this.#told.add(key(info));
    return true;
  }

  /** Whether its parent is a shell that was told and lives, and will not pass the signal on. */
  async #isLeftByShell(member: ProcessInfo): Promise<boolean> {
    const parent = processInfo(member.parentId);
    if (
      !this.#first.has(member.pid) ||
      parent === null ||
      !this.#told.has(key(parent)) ||
      !isShell(parent.pid)
    )
      return false;
    const place = this.#placed.get(key(member)) ?? (await this.#place(member));
    this.#placed.set(key(member), place);
    // Where it can't be known, as late as leaves it some time.
    return (
      place === 'foreground' || (place === 'unclear' && performance.now() >= this.#unclearFrom)
    );
  }

  /**
   * POSIX: what a script starts in the background ignores INT and QUIT, and reads from /dev/null;
   * but some programs undo the first.
   */
  async #place({ pid, parentId }: ProcessInfo): Promise<'foreground' | 'background' | 'unclear'> {
    if (ignoresInterrupts(pid)) return 'background';
    if (this.#placingMs >= PLACING_MS) return 'unclear';
    const began = performance.now();
    const shares = await this.#shareInput(pid, parentId);
    this.#placingMs += performance.now() - began;
    if (shares === null) return 'unclear';
    return shares ? 'foreground' : 'background';
  }
}

/** A pid alone may be another process by now. */
function key({ pid, startTime }: ProcessInfo): string {
  return `${pid} ${startTime}`;
}

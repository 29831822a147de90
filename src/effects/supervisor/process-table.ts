/**
 * The process table, as far as it tells whether an app runs. A pid alone may belong to another
 * process by now: pid and start time together are unique on one boot. See proc_pid_stat(5),
 * proc_pid_environ(5).
 */
import { type BigIntStats, lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { MAX_PROC_BYTES, readBounded } from '../../support/bounded.ts';
import { userId } from '../../support/own.ts';

/**
 * Set in the app's environment, inherited by everything it starts; names the updater's directory
 * and the tree.
 */
export const MARKER = 'SELF_UPDATE_APP';
/** Likewise of hooks; names the hook instead of a tree. */
export const HOOK_MARKER = 'SELF_UPDATE_HOOK';

/** `startTime` is in clock ticks since the machine's boot. */
export type ProcessInfo = {
  pid: number;
  parentId: number;
  groupId: number;
  startTime: string;
  isZombie: boolean;
};

/**
 * Field positions of /proc/PID/stat, counted after the command's closing parenthesis: it may
 * contain blanks.
 */
const STATE = 0;
const PARENT = 1;
const GROUP = 2;
const USER_TIME = 11;
const SYSTEM_TIME = 12;
const THREADS = 17;
const START_TIME = 19;

function statFields(file: string): string[] | null {
  const stat = readOrNull(file);
  return stat === null ? null : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Null if there is no such process. Off Linux only its existence is known. */
export function processInfo(pid: number): ProcessInfo | null {
  if (process.platform !== 'linux')
    return signalReaches(pid)
      ? { pid, parentId: 0, groupId: pid, startTime: '', isZombie: false }
      : null;
  const fields = statFields(`/proc/${pid}/stat`);
  if (fields === null) return null;
  // A process whose first thread has ended looks like a zombie while the others live.
  const isZombie = (fields[STATE] === 'Z' || fields[STATE] === 'X') && Number(fields[THREADS]) < 2;
  return {
    pid,
    parentId: Number(fields[PARENT]),
    groupId: Number(fields[GROUP]),
    startTime: fields[START_TIME] ?? '',
    isZombie,
  };
}

/** Whether this very process is alive; `kill(pid, 0)` alone would also succeed on a zombie. */
export function isAlive(pid: number, startTime: string): boolean {
  const info = processInfo(pid);
  return info !== null && !info.isZombie && info.startTime === startTime;
}

/**
 * The mark that names a directory and something of it. It has one reading only, so that `/x` and
 * `/x:y` are never taken for each other: a colon within either is replaced, and a percent sign at
 * its beginning says so.
 */
export function markOf(directory: string, rest: string): string {
  return /[%:]/.test(directory + rest)
    ? `%${withoutColons(directory)}:${withoutColons(rest)}`
    : `${directory}:${rest}`;
}

function withoutColons(text: string): string {
  return text.replace(/[%:]/g, (sign) => (sign === ':' ? '%3A' : '%25'));
}

/**
 * What a mark names beside `directory`; null if it is another directory's. Earlier versions
 * replaced nothing: what they gave is known by its only reading as two absolute paths, or else by a
 * tree in that very directory.
 */
export function readMark(mark: string, directory: string): string | null {
  if (mark.startsWith('%')) {
    const [named, rest = ''] = mark.slice(1).split(':');
    return named === withoutColons(directory)
      ? rest.replace(/%3A|%25/g, (sign) => (sign === '%3A' ? ':' : '%'))
      : null;
  }
  if (!mark.startsWith(`${directory}:`)) return null;
  const rest = mark.slice(directory.length + 1);
  const hasOneReading =
    mark.split(':').length === 2 || (rest.startsWith('/') && mark.split(':/').length === 2);
  return hasOneReading || rest.startsWith(`${directory}/releases/`) ? rest : null;
}

export type MarkedProcess = ProcessInfo & { marker: string };

/**
 * Every live process of our own user that carries the marker of `directory`: also daemons that left
 * the group. What another user's process says of itself is not believed, and not even read: for
 * root that read can be made to wait. Linux only; elsewhere empty.
 */
export function markedProcesses(directory: string, name = MARKER): MarkedProcess[] {
  const prefix = `${name}=`;
  return liveProcesses()
    .filter(isOurs)
    .flatMap((pid) => {
      const entry = readOrNull(`/proc/${pid}/environ`)
        ?.split('\0')
        .find((line) => line.startsWith(prefix));
      // An environment is bytes: names of files need not be text of any encoding.
      const marker =
        entry === undefined
          ? null
          : readMark(Buffer.from(entry.slice(prefix.length), 'latin1').toString(), directory);
      const info = marker === null ? null : processInfo(pid);
      return marker === null || info === null || info.isZombie ? [] : [{ ...info, marker }];
    });
}

/**
 * Whether our user alone runs it: real, effective and saved, since a set-user-id program keeps what
 * its caller gave it. Told by `status`: the owner of /proc/PID is the effective user alone. See
 * proc_pid_status(5).
 */
export function isOurs(pid: number): boolean {
  const ids = /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)/m
    .exec(readOrNull(`/proc/${pid}/status`) ?? '')
    ?.slice(1);
  return ids?.every((id) => Number(id) === userId()) === true;
}

/**
 * The mount that an open descriptor's file is on: while it lasts no other has that number. See
 * proc_pid_fdinfo(5).
 */
function mountOf(pid: number | 'self', fd: number): string | null {
  return /^mnt_id:\s+(\d+)$/m.exec(readOrNull(`/proc/${pid}/fdinfo/${fd}`) ?? '')?.[1] ?? null;
}

/**
 * Live processes that hold this very file open as that descriptor: a program that overwrites its
 * environment keeps what it inherited. Nobody else could open the file, so those count too that
 * took another user's rights. `opened`: a descriptor of ours to it. Who is another user may hold a
 * file of a file system of his own there, which never answers: it is only looked at if it is on our
 * file's mount.
 */
export function holdersOf(opened: number, fd: number): ProcessInfo[] {
  const held = statOrNull(`/proc/self/fd/${opened}`);
  if (held === null) return [];
  const mount = mountOf('self', opened);
  return liveProcesses().flatMap((pid) => {
    if (!isOurs(pid) && (mount === null || mountOf(pid, fd) !== mount)) return [];
    const stats = statOrNull(`/proc/${pid}/fd/${fd}`);
    const info =
      stats !== null && stats.dev === held.dev && stats.ino === held.ino ? processInfo(pid) : null;
    return info === null || info.isZombie ? [] : [info];
  });
}

/**
 * Names this boot of the machine and this set of pids; what was noted under another name says
 * nothing about any process of today.
 */
export function processSpace(): string {
  try {
    return `${readBounded('/proc/sys/kernel/random/boot_id', MAX_PROC_BYTES).toString('latin1').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}

/**
 * All but our own: an updater that the app started has every sign of the app's (mark, descriptor,
 * group, parents), and must not end itself.
 */
function liveProcesses(): number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').flatMap((name) =>
    /^\d+$/.test(name) && Number(name) !== process.pid ? [Number(name)] : [],
  );
}

/** Empty for a directory that is gone. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Live members of a process group, zombies left out. */
export function groupMembers(groupId: number): number[] {
  if (process.platform !== 'linux') return signalReaches(-groupId) ? [groupId] : [];
  return liveProcesses().filter((pid) => {
    const info = processInfo(pid);
    return info !== null && !info.isZombie && info.groupId === groupId;
  });
}

/**
 * What the live members of a process group do. `isStopped`: one of them was stopped (SIGSTOP), or
 * is held by a debugger. `isBusy`: a thread runs, or waits for a disk. `ticks`: changes with the
 * processor time of any of them. Linux only; elsewhere they are busy.
 */
export function activityOf(groupId: number): {
  isStopped: boolean;
  isBusy: boolean;
  ticks: string;
} {
  if (process.platform !== 'linux') return { isStopped: false, isBusy: true, ticks: '' };
  const members = groupMembers(groupId);
  const states = threadStates(members);
  const timesOf = (pid: number) =>
    statFields(`/proc/${pid}/stat`)?.slice(USER_TIME, SYSTEM_TIME + 1) ?? [];
  const ticks = members.map((pid) => [pid, ...timesOf(pid)].join(' ')).join(';');
  return {
    isStopped: states.some((state) => /[Tt]/.test(state)),
    isBusy: states.some((state) => /[RD]/.test(state)),
    ticks,
  };
}

/** Whether no thread of these processes runs any more until SIGCONT: each is stopped, or has ended. */
export function areStopped(pids: readonly number[]): boolean {
  return threadStates(pids).every((state) => /^[TtZX]?$/.test(state));
}

/** Whether a thread of theirs runs, or waits for a disk or a processor. */
export function areBusy(pids: readonly number[]): boolean {
  return threadStates(pids).some((state) => /[RD]/.test(state));
}

/** One letter for each thread; empty for one that ended meanwhile. */
function threadStates(pids: readonly number[]): string[] {
  return pids.flatMap((pid) =>
    namesIn(`/proc/${pid}/task`).map(
      (thread) => statFields(`/proc/${pid}/task/${thread}/stat`)?.[STATE] ?? '',
    ),
  );
}

/**
 * These processes and all that descend from them now: once a parent has ended, nobody knows whose
 * child it was.
 */
export function withDescendants(pids: readonly number[]): ProcessInfo[] {
  const children = Map.groupBy(
    liveProcesses().flatMap((pid) => processInfo(pid) ?? []),
    ({ parentId }) => parentId,
  );
  const found = pids.flatMap((pid) => processInfo(pid) ?? []);
  // Grows while it is walked. A table that is read piece by piece may show a circle.
  const known = new Set(found.map(({ pid }) => pid));
  for (const { pid } of found) {
    for (const child of children.get(pid) ?? []) {
      if (!known.has(child.pid)) found.push(child);
      known.add(child.pid);
    }
  }
  return found.filter(({ isZombie }) => !isZombie);
}

const SHELLS = new Set(['sh', 'ash', 'bash', 'dash', 'ksh', 'mksh', 'zsh', 'busybox']);

/** Whether a process is a shell, by what it was started as: for a script, its interpreter. */
export function isShell(pid: number): boolean {
  const name = readOrNull(`/proc/${pid}/cmdline`)?.split('\0')[0] ?? '';
  return SHELLS.has(name.slice(name.lastIndexOf('/') + 1).replace(/^-/, ''));
}

/** Whether a process ignores INT or QUIT (bits 1 and 2 of the mask), see proc_pid_status(5). */
export function ignoresInterrupts(pid: number): boolean {
  const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readOrNull(`/proc/${pid}/status`) ?? '')?.[1] ?? '0';
  return (BigInt(`0x${mask}`) & 0b110n) !== 0n;
}

/**
 * Whether two processes have one standard input: the same file, opened for the same. Null where
 * that is not ours to see.
 */
export function shareInput(one: number, other: number): boolean | null {
  const [first, second] = [one, other].map((pid) => {
    const link = `/proc/${pid}/fd/0`;
    try {
      const { dev, ino } = statSync(link);
      return `${dev} ${ino} ${lstatSync(link).mode}`;
    } catch {
      return null;
    }
  });
  return first == null || second == null ? null : first === second;
}

/** Sends a signal; false if there was nobody to get it. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Processes end while they are being looked at, and others' environments are not ours to read. */
function readOrNull(file: string): string | null {
  try {
    return readBounded(file, MAX_PROC_BYTES).toString('latin1');
  } catch {
    return null;
  }
}

/** The file behind a path or a descriptor; null where it can't be looked at. */
function statOrNull(file: string): BigIntStats | null {
  try {
    return statSync(file, { bigint: true });
  } catch {
    return null;
  }
}

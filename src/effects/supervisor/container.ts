/**
 * The container around us, as `docker/init` lays it out: where its files are, and the shell loop
 * that sleeps between two runs of the updater. Names here are those of docker/lib.sh.
 */
import { existsSync, readdirSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { MAX_OUTPUT_BYTES, readBounded } from '../../support/bounded.ts';
import { writeOwn } from '../../support/own.ts';
import { runAsApp, type User } from '../as-app.ts';
import { loadExeca } from '../packages.ts';
import { writeToFifo } from './runit-service.ts';
import type { SlotName } from './supervisor.ts';

/** Whether init of this very container, and not only the image's files, is there. */
export const CONTAINER_DIR = '/run/self-update/private';
const CHPST = '/usr/lib/self-update/bin/chpst';
const LOOK_TIMEOUT_MS = 2000;
const APP_PROCESSES = '/usr/lib/self-update/app-processes';
const SHARE_INPUT = '/usr/lib/self-update/share-input';

/** Whether init laid out the second slot. */
export function hasSlots(): boolean {
  return existsSync(path.join(CONTAINER_DIR, 'service', 'app2'));
}

/** Of the sockets that init holds for the app. */
export function heldPorts(): number[] {
  const [, ports = ''] = readOr(path.join(CONTAINER_DIR, 'sockets'), '').split('\n');
  return ports.split(':').filter(Boolean).map(Number);
}

export function isInContainer(): boolean {
  return existsSync(path.join(CONTAINER_DIR, 'service', 'app'));
}

/** The user that the app runs as; null where it shares ours. */
export function appUser(): User | null {
  const text = readOr(path.join(CONTAINER_DIR, 'app.user'), '');
  const match = /^(\d+):(\d+)/.exec(text);
  if (match === null) return null;
  return {
    uid: Number(match[1]),
    gid: Number(match[2]),
    become: [CHPST, '-u', `:${match[1]}:${match[2]}`],
    privateDir: CONTAINER_DIR,
  };
}

/**
 * Why root must not work in UPDATE_DIR, and the remedy, as docker/lib.sh found it; null where it
 * may.
 */
export function placeProblem(): string | null {
  return readOr(path.join(CONTAINER_DIR, 'unsafe'), '').trim() || null;
}

/**
 * runit's own `./check` of the app's service, as sv(8) runs it: a command of the shell, or null if
 * there is none.
 */
export function serviceCheck(): string | null {
  const service = path.join(CONTAINER_DIR, 'service', 'app');
  return existsSync(path.join(service, 'check')) ? `cd ${service} && exec ./check` : null;
}

/**
 * The gate is not opened by its timeout while a hook prepares the data: app/run looks for this
 * file. It survives the container, so that the next boot waits for the hook to be run again. A loop
 * whose updater fails opens the gate all the same.
 */
export function keepGateShut(updateDir: string, shut: boolean): void {
  const file = path.join(updateDir, 'migrating');
  if (shut) writeOwn(file, '', () => {});
  else rmSync(file, { force: true });
}

/**
 * Has the loop that sleeps between two runs look for the end of the app's busy file, or no longer.
 */
export function awaitFree(file: string | null): void {
  const note = path.join(CONTAINER_DIR, 'busy');
  if (file === null) rmSync(note, { force: true });
  else writeOwn(note, `${file}\n`, () => {});
}

/** The FIFO that this container's loop reads, and the program that tests the lock of any. */
export const LOOP = { fifo: path.join(CONTAINER_DIR, 'wake'), chpst: CHPST };
export type Loop = typeof LOOP;

/**
 * Whether this container has a loop that sleeps between two runs. It is not woken by being looked
 * for.
 */
export function isLoopHere({ fifo }: Loop = LOOP): boolean {
  return writeToFifo(fifo, '');
}

/** Wakes the loop that sleeps between two runs. False when none is there. */
export function wakeLoop({ fifo }: Loop = LOOP): boolean {
  return writeToFifo(fifo, 'command\n');
}

/**
 * Whether another container's loop uses the same directory, running or asleep. The lock is
 * flock(2)'s, which Node has no call for; a process that the holder started has it among its own
 * descriptors.
 */
export async function isLoopElsewhere(stateDir: string, { chpst }: Loop = LOOP): Promise<boolean> {
  const file = path.join(stateDir, 'loop.lock');
  if (!existsSync(file) || !existsSync(chpst)) return false;
  const lock = realpathSync(file);
  const isOurs = readdirSync('/proc/self/fd').some(
    (fd) => linkOr(`/proc/self/fd/${fd}`, '') === lock,
  );
  if (isOurs) return false;
  const { execa } = await loadExeca();
  const { stderr } = await execa(chpst, ['-L', lock, 'true'], {
    reject: false,
    stdin: 'ignore',
    env: { PATH: process.env['PATH'] ?? '' },
    extendEnv: false,
    cleanup: false,
    timeout: LOOK_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  // Its status is 111 whatever is wrong; these are its words for EAGAIN. A volume that can't lock
  // at all is told by the journal's lock.
  return /unable to lock.*temporary failure/.test(stderr);
}

/**
 * Processes of the app, wherever they went; each gets `signal`, if one is named. KILL is sent until
 * none is left. With `slot` only those that can be told to be of that copy. Null where nobody could
 * look.
 */
export async function appProcesses(
  signal: string | null = null,
  slot: SlotName | null = null,
): Promise<number[] | null> {
  const args = [CONTAINER_DIR, signal ?? '', slot ?? ''];
  // Where all is one user, the app may read the environment of what we start, and may stop it: so
  // that is empty, and has its time.
  const env = { PATH: process.env['PATH'] ?? '' };
  const { execa } = await loadExeca();
  const { stdout, exitCode } = await execa(APP_PROCESSES, args, {
    reject: false,
    stdin: 'ignore',
    stderr: 'ignore',
    env,
    extendEnv: false,
    cleanup: false,
    timeout: LOOK_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  return exitCode === 0 ? [...new Set(stdout.split('\n').filter(Boolean).map(Number))] : null;
}

/**
 * Whether two processes of the app have one standard input; null if that can't be seen. Only their
 * own user may look.
 */
export async function appsShareInput(one: number, other: number): Promise<boolean | null> {
  const { status } = await runAsApp({
    file: SHARE_INPUT,
    args: [`${one}`, `${other}`],
    user: appUser(),
    timeoutMs: LOOK_TIMEOUT_MS,
  });
  return status === 0 || status === 1 ? status === 0 : null;
}

/**
 * Whether a live process, ourselves left out, may run as the user or be in the session. Needs no
 * rights, and saves the closer look. A row of processes that fork and end at once slips through any
 * look: the next one is born when its parent, or its number, has been passed. So also true where
 * one was gone before it could be looked at, and where a number was given away meanwhile.
 */
export function mayHaveProcesses(uid: number, session: number): boolean {
  const before = lastPid();
  const isThere = readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return false;
    const status = readOr(`/proc/${name}/status`, null);
    if (status === null) return true;
    const numbers = (field: string) =>
      new RegExp(`^${field}:\\s+(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/).map(Number) ?? [];
    if (/^State:\s+[ZX]/m.test(status) && (numbers('Threads')[0] ?? 1) < 2) return false;
    return numbers('Uid').includes(uid) || numbers('NSsid')[0] === session;
  });
  return isThere || lastPid() !== before;
}

/** The number that was given away last to a process or thread: proc(5), /proc/loadavg. */
function lastPid(): string | undefined {
  return readOr('/proc/loadavg', '').split(' ').at(-1)?.trim();
}

export function readOr<T>(file: string, otherwise: T): string | T {
  try {
    return readBounded(file, MAX_OUTPUT_BYTES).toString('utf8');
  } catch {
    return otherwise;
  }
}

function linkOr(file: string, otherwise: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return otherwise;
  }
}

/**
 * Which sockets processes of the app have open, and which of these listen. Only their own user may
 * look into another's descriptors (root without CAP_SYS_PTRACE may not), so a shell of that user
 * does, which stays for many looks. What it says may be the app's words. See proc_pid_fd(5) and
 * proc_net_tcp(5).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { MAX_NOTE_BYTES, readBeginning } from '../../support/bounded.ts';
import { TCP_TABLES } from '../../support/proc-net.ts';
import { asUser, type User } from '../as-app.ts';
import { sendSignal } from './process-table.ts';

/** Some three thousand descriptors. Who has more is not looked at. */
const MAX_LOOK_BYTES = 256 * 1024;
/** The app can make a look slow, and stop who looks. */
const LOOK_TIMEOUT_MS = 1000;
/**
 * $1: a process group. Directories come in by the line, and their listings go out, a dot behind
 * each. The updater may be killed while it has the group stopped: then this reads the end of its
 * input, and has it go on.
 */
const LOOK = 'while read -r list; do ls -ln $list; echo .; done 2> /dev/null; kill -CONT "-$1"';

/** The row of a listener: its port, and its inode. The table lists listeners first. */
const LISTENER = /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A (?:\S+ +){5}(\d+) /;

/** By inode. */
export type Sockets = ReadonlySet<string>;

/** The listeners on these ports, of whomever. */
export function listenersOn(ports: readonly number[]): Sockets {
  return new Set(
    TCP_TABLES.flatMap((table) => {
      try {
        return parseListenersOn(readBeginning(table, MAX_NOTE_BYTES).toString('latin1'), ports);
      } catch {
        // Without IPv6 there is one table.
        return [];
      }
    }),
  );
}

export function parseListenersOn(table: string, ports: readonly number[]): string[] {
  return table.split('\n').flatMap((row) => {
    const [, port = '', inode = ''] = LISTENER.exec(row) ?? [];
    return inode !== '' && ports.includes(Number.parseInt(port, 16)) ? [inode] : [];
  });
}

export class OpenSockets {
  readonly #child: ChildProcess;
  #said = '';
  #answer: (listing: string | null) => void = () => {};
  #isOver = false;

  /** `group`: it goes on (SIGCONT) when the updater ends before `close`. */
  constructor(group: number, user: User | null) {
    const [program, ...args] = asUser(user, '/bin/sh', ['-c', LOOK, 'sh', `${group}`]);
    this.#child = spawn(program, args, {
      env: { PATH: process.env['PATH'] ?? '' },
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#child.once('error', () => this.close());
    this.#child.once('exit', () => this.close());
    this.#child.stdin?.on('error', () => {});
    this.#child.stdout?.setEncoding('latin1').on('data', (chunk: string) => this.#hear(chunk));
  }

  /** All sockets of these processes; null if that can't be known in time. Then, no more looks. */
  async of(pids: readonly number[]): Promise<Sockets | null> {
    if (this.#isOver) return null;
    this.#said = '';
    const timer = setTimeout(() => this.close(), LOOK_TIMEOUT_MS);
    const listing = await new Promise<string | null>((resolve) => {
      this.#answer = resolve;
      this.#child.stdin?.write(`${pids.map((pid) => `/proc/${pid}/fd`).join(' ')}\n`);
    });
    clearTimeout(timer);
    if (listing === null) return null;
    return new Set([...listing.matchAll(/ -> socket:\[(\d+)\]$/gm)].map(([, inode = '']) => inode));
  }

  /** Ends a look that is under way. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#child.pid !== undefined) sendSignal(-this.#child.pid, 'SIGKILL');
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
    this.#child.unref();
    this.#answer(null);
  }

  #hear(chunk: string): void {
    this.#said += chunk;
    if (this.#said.length > MAX_LOOK_BYTES) this.close();
    else if (/(?:^|\n)\.\n$/.test(this.#said)) this.#answer(this.#said);
  }
}

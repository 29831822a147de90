/**
 * The sockets that the resident updater holds for the app (UPDATE_LISTEN): bound and listening here,
 * and accepted from by whoever has the app's place. Node accepts from whatever it listens on itself;
 * so here it only binds, and a child that ends at once listens: that a socket listens belongs to the
 * socket, and not to who asked for it.
 */
import { spawnSync } from 'node:child_process';
import { constants, existsSync, fstatSync, readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { getSystemErrorName } from 'node:util';
import { MAX_NOTE_BYTES, readBounded } from '../../support/bounded.ts';
import { Fault } from '../../support/fault.ts';
import { listenersOn } from './open-sockets.ts';
import { groupMembers } from './process-table.ts';

/** `address`: of IPv4 or IPv6, without brackets. */
export type HeldSocket = { name: string; address: string; port: number };
/** `isPreloaded`: a Node app's own `listen(port)` takes them (UPDATE_LISTEN_NODE). */
export type HeldOptions = { sockets: readonly HeldSocket[]; isPreloaded: boolean };

/** Of libuv: what a net.Server has inside. Bound, and not listening. */
type BoundHandle = { fd: number; close(): void; getsockname(into: { port?: number }): number };
type CreateHandle = (address: string, port: number, family: 4 | 6) => BoundHandle | number;

/** Longer than any stop and start should take; what comes then waits in it. */
const BACKLOG = 4096;
/** libuv has accept(2) never wait, for all who have the socket: an app finds it as it was. */
const LISTEN = `const server = require('node:net').createServer().listen({ fd: 3 }, ${BACKLOG});
server._handle?.setBlocking(process.argv[1] === 'waits');
process.nextTick(process.exit)`;
/** In a checkout, in a bundle beside it, in the image. */
const PRELOADS = ['../../../bin/held-sockets.cjs', '../bin/held-sockets.cjs'];
const PRELOAD_IN_IMAGE = '/usr/lib/self-update/held-sockets.cjs';

/** Of this process, whichever supervisor opened them. */
const opened = new Map<string, BoundHandle>();

export class HeldSockets {
  readonly #options: HeldOptions;
  readonly #log: (message: string) => void;

  constructor(options: HeldOptions, log: (message: string) => void = () => {}) {
    this.#options = options;
    this.#log = log;
  }

  get isOff(): boolean {
    return this.#options.sockets.length === 0;
  }

  get ports(): number[] {
    return this.#options.sockets.map(({ port }) => port);
  }

  /** As sd_listen_fds(3) has it, but for LISTEN_PID. `given`: the app's environment. */
  environment(given: Readonly<Record<string, string>>): Record<string, string> {
    const { sockets, isPreloaded } = this.#options;
    if (this.isOff) return {};
    const preload = {
      SELF_UPDATE_LISTEN_PORTS: sockets.map(({ port }) => port).join(':'),
      NODE_OPTIONS:
        `--require ${JSON.stringify(preloadFile())} ${given['NODE_OPTIONS'] ?? ''}`.trim(),
    };
    return {
      LISTEN_FDS: String(sockets.length),
      LISTEN_FDNAMES: sockets.map(({ name }) => name).join(':'),
      ...(isPreloaded ? preload : {}),
    };
  }

  /**
   * The listeners, to be the app's descriptors from 3 on. They stay open while this process lives.
   * Throws `Fault` LISTEN_FAILED.
   */
  descriptors(): number[] {
    this.listenAgain();
    return this.#options.sockets.map((socket) => {
      const key = `${socket.address} ${socket.port}`;
      const handle = opened.get(key) ?? open(socket);
      opened.set(key, handle);
      return handle.fd;
    });
  }

  /**
   * A socket is one for all copies of the app: whoever calls shutdown(2) on it, as some servers do
   * to stop, ends its listening for all of them, and for the next ones. It is still bound, and
   * listen(2) makes it what it was. The same in docker/listen-again.sh.
   */
  listenAgain(): void {
    for (const { address, port } of this.#options.sockets) {
      const fd = opened.get(`${address} ${port}`)?.fd;
      if (fd === undefined || isListening(fd, port)) continue;
      this.#log(
        `UPDATE_LISTEN: the held socket of port ${port} was shut down by the app (shutdown(2)); listening again`,
      );
      listen(fd);
      if (!isListening(fd, port))
        this.#log(`UPDATE_LISTEN: port ${port} can't be listened on again: restart the updater`);
    }
  }
}

function open({ address, port }: HeldSocket): BoundHandle {
  const create = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;
  const handle = create(address, port, net.isIPv6(address) ? 6 : 4);
  if (typeof handle === 'number') throw notListening(address, port, getSystemErrorName(handle));
  const { status, stderr } = listen(handle.fd);
  const bound: { port?: number } = {};
  handle.getsockname(bound);
  // libuv tells of a port that is taken when it listens; the kernel would give another one then.
  if (status === 0 && bound.port === port) return handle;
  handle.close();
  throw notListening(address, port, /\b(E[A-Z]{3,})\b/.exec(stderr)?.[1] ?? 'EADDRINUSE');
}

function listen(fd: number): { status: number | null; stderr: string } {
  return spawnSync(process.execPath, ['-e', LISTEN, acceptWaits(fd) ? 'waits' : 'never'], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    env: {},
    encoding: 'utf8',
  });
}

function acceptWaits(fd: number): boolean {
  try {
    const info = readBounded(`/proc/self/fdinfo/${fd}`, MAX_NOTE_BYTES).toString('latin1');
    const [, flags = ''] = /^flags:\s*([0-7]+)$/m.exec(info) ?? [];
    return (Number.parseInt(flags, 8) & constants.O_NONBLOCK) === 0;
  } catch {
    return false;
  }
}

function isListening(fd: number, port: number): boolean {
  return listenersOn([port]).has(String(fstatSync(fd).ino));
}

/**
 * Whether the app that this process leads lives on with a listener of these ports, by whatever
 * number: many take a duplicate, and close the one that they were given.
 */
export function hasHeldSocket(leader: number, ports: readonly number[]): boolean {
  const inodes = listenersOn(ports);
  return groupMembers(leader).some((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => {
        const [, inode = ''] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? [];
        return inodes.has(inode);
      });
    } catch {
      return false;
    }
  });
}

/** Empty for a descriptor that was closed meanwhile. */
function linkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}

/** The same in docker/listen.sh. */
function notListening(address: string, port: number, errno: string): Fault {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'another program has it: end that, or take another port',
    EACCES:
      'ports below 1024 are not allowed to this user: take another one, or CAP_NET_BIND_SERVICE',
    EADDRNOTAVAIL: "the address is none of this machine's: 0.0.0.0 stands for all of them",
  };
  const place = net.isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  return new Fault(
    'LISTEN_FAILED',
    `UPDATE_LISTEN: ${place} can't be listened on: ${reasons[errno] ?? errno}`,
  );
}

function preloadFile(): string {
  // Not known in the image's snapshot.
  const here: string | undefined = import.meta.dirname;
  const files = here === undefined ? [] : PRELOADS.map((file) => path.join(here, file));
  return files.find((file) => existsSync(file)) ?? PRELOAD_IN_IMAGE;
}

/**
 * A command line that starts the program with its own pid as LISTEN_PID: exec keeps it, and nobody
 * else knows it before.
 */
export function underOwnPid(file: string, args: readonly string[]): [string, ...string[]] {
  return ['/bin/sh', '-c', 'export LISTEN_PID=$$; exec "$@"', 'sh', file, ...args];
}

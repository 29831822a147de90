/**
 * What the kernel tells of connections that wait for the app on held sockets: how many wait now,
 * and how many it turned away since it runs. How long each waited it does not tell.
 */
import { MAX_NOTE_BYTES, readBeginning, readBounded } from '../support/bounded.ts';
import { addressOf, canonical, TCP_TABLES } from '../support/proc-net.ts';

const COUNTERS = '/proc/net/netstat';

export type Listener = { address: string; port: number; queued: number };
/**
 * Of the network namespace, since it exists: the container's own, or the machine's with
 * `--network host`. `overflows`: connections that found an accept queue full. `drops`: all that a
 * listening socket refused, those among them. Their clients try again, a second later at first.
 */
export type ListenCounters = { overflows: number; drops: number };

/**
 * Number, local address, remote address, state (0A: it listens), bytes to send, length of the
 * accept queue (for other states: bytes to read). proc_net_tcp(5)
 */
const LISTENER =
  /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A [0-9A-F]+:([0-9A-F]+) /;

/** The listeners of a table, which lists them before all connections. */
export function parseListeners(table: string): Listener[] {
  const listeners: Listener[] = [];
  for (const row of table.split('\n').slice(1)) {
    const [, address = '', port = '', queued = ''] = LISTENER.exec(row) ?? [];
    if (queued === '') break;
    listeners.push({
      address: addressOf(address),
      port: Number.parseInt(port, 16),
      queued: Number.parseInt(queued, 16),
    });
  }
  return listeners;
}

/** Two lines for each group: names, then values in the same order. Null if they are not there. */
export function parseListenCounters(netstat: string): ListenCounters | null {
  const [names = [], values = []] = netstat
    .split('\n')
    .filter((line) => line.startsWith('TcpExt: '))
    .map((line) => line.split(' '));
  const counter = (name: string) => {
    const value = values[names.indexOf(name)];
    return value !== undefined && /^\d+$/.test(value) ? Number(value) : null;
  };
  const overflows = counter('ListenOverflows');
  const drops = counter('ListenDrops');
  return overflows === null || drops === null ? null : { overflows, drops };
}

/** In the order of `sockets`: how many wait on each; null if the kernel does not tell. */
export function readQueues(
  sockets: readonly { address: string; port: number }[],
): (number | null)[] {
  if (sockets.length === 0) return [];
  // Some four hundred rows. A table can have a million, of connections.
  const listeners = TCP_TABLES.flatMap((table) =>
    parseListeners(attempt(() => readBeginning(table, MAX_NOTE_BYTES)) ?? ''),
  );
  return sockets.map(
    ({ address, port }) =>
      listeners.find((one) => one.port === port && one.address === canonical(address))?.queued ??
      null,
  );
}

export function readListenCounters(): ListenCounters | null {
  const text = attempt(() => readBounded(COUNTERS, MAX_NOTE_BYTES));
  return text === null ? null : parseListenCounters(text);
}

/** Null where there is no such table: without IPv6, or under a kernel that is none of Linux's. */
function attempt(read: () => Buffer): string | null {
  try {
    return read().toString('latin1');
  } catch {
    return null;
  }
}

/** Whose process is at the other end of a connection, where that end is in our own network namespace. See proc_net_tcp(5). */
import type { Socket } from 'node:net';
import os from 'node:os';
import { MAX_PROC_BYTES, readBounded } from '../support/bounded.ts';

/** One for IPv4, one for IPv6, which also has IPv4 from sockets of both kinds. */
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];

/**
 * Whether a connection may be of `uid`'s: it comes from an address of this machine, and the kernel says that its other end is that user's,
 * or does not say whose. The kernel's word can't be forged, as a header or an address could.
 */
export function mayBeOf(uid: number, { localPort, remoteAddress, remotePort }: Socket): boolean {
  if (remoteAddress === undefined || remotePort === undefined || localPort === undefined) return true;
  if (!isOurAddress(remoteAddress.replace(/^::ffff:/i, ''))) return false;
  const owner = ownerOf(remotePort, localPort);
  return owner === null || owner === uid;
}

function isOurAddress(address: string): boolean {
  if (address.startsWith('127.')) return true;
  return Object.values(os.networkInterfaces()).some((interfaces) => interfaces?.some((one) => one.address === address));
}

/** The user of the socket from port `from` to port `to`; null where there is none, or the tables can't be read. */
export function ownerOf(from: number, to: number): number | null {
  const port = (number: number) => number.toString(16).toUpperCase().padStart(4, '0');
  // sl, local address, remote address, state, queues, timer, retransmissions, user
  const wanted = new RegExp(`^ *\\d+: [0-9A-F]+:${port(from)} [0-9A-F]+:${port(to)}(?: \\S+){4} +(\\d+) `, 'm');
  for (const table of TABLES) {
    try {
      const found = wanted.exec(readBounded(table, MAX_PROC_BYTES).toString('latin1'));
      if (found !== null) return Number(found[1]);
    } catch {
      // No IPv6, or a table of more connections than are read: then nobody knows.
    }
  }
  return null;
}

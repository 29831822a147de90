/**
 * Whose process is at the other end of a connection, where that end is in our own network
 * namespace. See proc_net_tcp(5).
 */
import type { Socket } from 'node:net';
import os from 'node:os';
import { MAX_PROC_BYTES, readTable } from '../support/bounded.ts';
import { addressOf, canonical, TCP_TABLES } from '../support/proc-net.ts';

export type End = { address: string; port: number };

/**
 * Whether a connection may be of `uid`'s: it comes from an address of this machine, and the kernel
 * says that its other end is that user's, or does not say whose. The kernel's word can't be forged,
 * as a header or an address could.
 */
export function mayBeOf(
  uid: number,
  { localAddress, localPort, remoteAddress, remotePort }: Socket,
): boolean {
  if (
    localAddress === undefined ||
    localPort === undefined ||
    remoteAddress === undefined ||
    remotePort === undefined
  )
    return true;
  if (!isOurAddress(canonical(remoteAddress))) return false;
  const owner = ownerOf(
    { address: remoteAddress, port: remotePort },
    { address: localAddress, port: localPort },
  );
  return owner === null || owner === uid;
}

function isOurAddress(address: string): boolean {
  if (address.startsWith('127.')) return true;
  return Object.values(os.networkInterfaces()).some((interfaces) =>
    interfaces?.some((one) => one.address === address),
  );
}

/**
 * The rows of these two ports in their order: sl, local address, remote address, state (01:
 * established; a closed one is nobody's), queues, timer, retransmissions, user. The ports are in
 * the pattern, since the machine may have thousands of rows.
 */
function rowsOf(from: End, to: End): RegExp {
  const hex = ({ port }: End) => port.toString(16).toUpperCase().padStart(4, '0');
  return new RegExp(
    `^ *\\d+: ([0-9A-F]+):${hex(from)} ([0-9A-F]+):${hex(to)} 01(?: \\S+){3} +(\\d+) `,
    'gm',
  );
}

/**
 * The user of the established socket at `from`, connected to `to`; null where there is none, or the
 * tables can't be read.
 */
export function ownerOf(from: End, to: End): number | null {
  const pattern = rowsOf(from, to);
  const isAt = ({ address }: End, shown: string) => addressOf(shown) === canonical(address);
  for (const table of TCP_TABLES) {
    try {
      for (const rows of readTable(table, MAX_PROC_BYTES))
        for (const [, local = '', remote = '', user] of rows.matchAll(pattern))
          if (isAt(from, local) && isAt(to, remote)) return Number(user);
    } catch {
      // No IPv6, or a table of more connections than are read: then nobody knows.
    }
  }
  return null;
}

/**
 * Whose process is at the other end of a connection, where that end is in our own network
 * namespace. See proc_net_tcp(5).
 */
import { type Socket, SocketAddress } from 'node:net';
import os from 'node:os';
import { MAX_PROC_BYTES, readBounded } from '../support/bounded.ts';

/** One for IPv4, one for IPv6, which also has IPv4 from sockets of both kinds. */
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];

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
 * sl, local address, remote address, state (01: established; a closed one is nobody's), queues,
 * timer, retransmissions, user
 */
const ROW = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) 01(?: \S+){3} +(\d+) /gm;

/**
 * The user of the established socket at `from`, connected to `to`; null where there is none, or the
 * tables can't be read.
 */
export function ownerOf(from: End, to: End): number | null {
  const isEnd = ({ address, port }: End, shownAddress: string, shownPort: string) =>
    Number.parseInt(shownPort, 16) === port && addressOf(shownAddress) === canonical(address);
  for (const table of TABLES) {
    try {
      for (const [, local = '', localPort = '', remote = '', remotePort = '', user] of readBounded(
        table,
        MAX_PROC_BYTES,
      )
        .toString('latin1')
        .matchAll(ROW))
        if (isEnd(from, local, localPort) && isEnd(to, remote, remotePort)) return Number(user);
    } catch {
      // No IPv6, or a table of more connections than are read: then nobody knows.
    }
  }
  return null;
}

/** The tables have words of four bytes, each in the order of the machine. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => {
    const four = [...Buffer.from(word, 'hex')];
    return os.endianness() === 'LE' ? four.reverse() : four;
  });
  if (bytes.length === 4) return bytes.join('.');
  const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? [];
  return canonical(groups.join(':'));
}

/** One form for each address; IPv4 as that, also where it is wrapped. */
function canonical(address: string): string {
  const bare = address.replace(/%.*$/, '');
  const { address: shown } = new SocketAddress({
    address: bare,
    family: bare.includes(':') ? 'ipv6' : 'ipv4',
  });
  return shown.replace(/^::ffff:(?=\d+\.)/i, '');
}

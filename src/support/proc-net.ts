/** Addresses as the kernel's tables of sockets have them: proc_net_tcp(5). */
import { SocketAddress } from 'node:net';
import os from 'node:os';

/** One for IPv4, one for IPv6, which also has IPv4 from sockets of both kinds. */
export const TCP_TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];

/** The tables have words of four bytes, each in the order of the machine. */
export function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => {
    const four = [...Buffer.from(word, 'hex')];
    return os.endianness() === 'LE' ? four.reverse() : four;
  });
  if (bytes.length === 4) return bytes.join('.');
  const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? [];
  return canonical(groups.join(':'));
}

/** One form for each address; IPv4 as that, also where it is wrapped. */
export function canonical(address: string): string {
  const bare = address.replace(/%.*$/, '');
  const { address: shown } = new SocketAddress({
    address: bare,
    family: bare.includes(':') ? 'ipv6' : 'ipv4',
  });
  return shown.replace(/^::ffff:(?=\d+\.)/i, '');
}

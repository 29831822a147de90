/** UPDATE_LISTEN: sockets that are held for the app. docker/listen.sh reads the same text. */
import { isIPv4, isIPv6 } from 'node:net';

/** `address`: of IPv4 or IPv6, without brackets. */
export type HeldSocket = { name: string; address: string; port: number };

/** A shell has as many descriptors as it has digits, and needs some itself. */
const MOST_SOCKETS = 5;
const EVERY_ADDRESS = '0.0.0.0';
const SOCKET =
  /^(?:(?<name>[A-Za-z0-9_.-]+)=)?(?:(?:(?<four>[\d.]+)|\[(?<six>[\dA-Fa-f:]+)\]):)?(?<port>[1-9]\d{0,4})$/;

/** `[NAME=][ADDRESS:]PORT`, several between blanks or commas; a text says what is wrong. */
export function parseHeldSockets(text: string): HeldSocket[] | string {
  const sockets: HeldSocket[] = [];
  for (const word of text.split(/[ \t\r\n,]+/).filter(Boolean)) {
    const socket = parseSocket(word);
    if (socket === null) return `has "${word}", which is not [NAME=][ADDRESS:]PORT`;
    const { name, address, port } = socket;
    if (sockets.some((other) => other.port === port && other.address === address))
      return `has port ${port} twice at the same address`;
    if (sockets.some((other) => other.name === name)) return `has the name "${name}" twice`;
    sockets.push(socket);
  }
  return sockets.length > MOST_SOCKETS ? `names more than ${MOST_SOCKETS} sockets` : sockets;
}

function parseSocket(word: string): HeldSocket | null {
  const { name, four, six, port = '' } = SOCKET.exec(word)?.groups ?? {};
  if (port === '' || Number(port) > 65_535) return null;
  if (four !== undefined && !isIPv4(four)) return null;
  if (six !== undefined && !isIPv6(six)) return null;
  return { name: name ?? port, address: four ?? six ?? EVERY_ADDRESS, port: Number(port) };
}

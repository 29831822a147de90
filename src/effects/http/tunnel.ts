/**
 * https through a proxy: CONNECT of RFC 9110, 9.3.6, by Node's own parser, whose heads end after 16
 * KiB. The tunnel that Node's agent would make collects a proxy's answer without a bound.
 */
import type http from 'node:http';
import type https from 'node:https';
import { BlockList, isIP } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * `noProxy`: names, addresses, ranges and blocks of addresses, separated by commas; `.example.com`
 * fits what lies below, `*` all.
 */
export type Proxy = { url: URL; noProxy: string };
type Modules = { http: typeof http; https: typeof https };

/** As Node's own tunnel has it. */
export const TUNNEL_CODE = 'ERR_PROXY_TUNNEL';
const HTTPS_PORT = 443;

/**
 * `withinMs`: from the call to the proxy's answer, whatever it sends meanwhile. Errors of the
 * tunnel have the code TUNNEL_CODE, and say what the proxy did.
 */
export function tunnelAgent(
  modules: Modules,
  { url, noProxy }: Proxy,
  withinMs: number,
): https.Agent {
  const agent = new modules.https.Agent({ keepAlive: false, timeout: withinMs });
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, done) => {
    const host = options.host ?? 'localhost';
    const port = Number(options.port) || HTTPS_PORT;
    if (done === undefined || isDirect(noProxy, host, port)) return connect(options, done);
    const endpoint = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
    const asking = ask(modules, url, endpoint);
    const give = (error: Error | null, socket: Duplex | null) => {
      clearTimeout(late);
      // With an error there is no stream, which the types do not know.
      done(error, socket as never);
    };
    const late = setTimeout(
      () => asking.destroy(tunnelError(`did not answer within ${withinMs / 1000} s`)),
      withinMs,
    );
    asking.once('error', (error) => give(asTunnelError(error), null));
    asking.once('connect', ({ statusCode }, socket) => {
      if (statusCode === 200)
        return give(null, connect({ ...options, socket } as typeof options) ?? null);
      socket.destroy();
      return give(tunnelError(`answered ${statusCode}`), null);
    });
    asking.end();
    return undefined;
  };
  return agent;
}

function ask({ http, https }: Modules, url: URL, endpoint: string): http.ClientRequest {
  const user =
    url.username === '' && url.password === ''
      ? null
      : `${decoded(url.username)}:${decoded(url.password)}`;
  const authorization =
    user === null ? {} : { 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` };
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const options = {
    host,
    port: url.port,
    method: 'CONNECT',
    path: endpoint,
    headers: { host: endpoint, ...authorization },
    agent: false,
  };
  // An https proxy proves its own name; Node would take that of the `host` header.
  return url.protocol === 'https:'
    ? https.request({ ...options, servername: isIP(host) === 0 ? host : '' })
    : http.request(options);
}

/** A password with a bare `%` is taken as it stands. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** That the proxy can't be reached stays what it is. */
function asTunnelError(error: NodeJS.ErrnoException): Error {
  if (error.code === 'ECONNRESET') return tunnelError('closed the connection');
  return error.code?.startsWith('HPE_')
    ? tunnelError(`sent an invalid response to CONNECT (${error.code})`)
    : error;
}

/** `message` goes on after "the proxy". */
function tunnelError(message: string): Error {
  return Object.assign(new Error(message), { code: TUNNEL_CODE });
}

/** Whether NO_PROXY names this host. As Node has it, and blocks (`10.0.0.0/8`) as curl has them. */
export function isDirect(noProxy: string, host: string, port: number): boolean {
  const name = host.toLowerCase();
  return noProxy
    .toLowerCase()
    .split(',')
    .map((entry) => entry.trim())
    .some((entry) => {
      if (entry === '*' || entry === name || entry === `${name}:${port}`) return true;
      if (entry.startsWith('*.')) return name.endsWith(entry.slice(1));
      if (entry.startsWith('.')) return name === entry.slice(1) || name.endsWith(entry);
      return isIP(name) !== 0 && holds(entry, name);
    });
}

const familyOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** A range `10.0.0.1-10.0.0.9`, or a block `10.0.0.0/8`. What is neither holds nothing. */
function holds(entry: string, address: string): boolean {
  const [first = '', last = '', ...others] = entry.split(/[-/]/);
  if (isIP(first) === 0 || others.length > 0) return false;
  const list = new BlockList();
  try {
    if (entry.includes('/')) list.addSubnet(first, Number.parseInt(last, 10), familyOf(first));
    else if (isIP(last) !== 0) list.addRange(first, last, familyOf(first));
  } catch {
    return false;
  }
  return list.check(address, familyOf(address));
}

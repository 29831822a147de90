/**
 * Two environments. The updater's own process gets the variables on a list, and no others: what steers Node, the loader or OpenSSL is
 * meant for the app. The app, its hooks and its checks get everything (but `UPDATE_*`).
 */
import type { Environment } from '../config/config.ts';

/** Names that the updater's process keeps. docker/self-update has the same list, since in the container a shell acts on it. */
export const OWN_NAMES = [
  ...['GH_*', 'UPDATE_*', 'SLEEP', 'SVWAIT', 'VERBOSE', 'PATH', 'HOME', 'TZ', 'LANG', 'LANGUAGE', 'LC_*', 'XDG_*'],
  ...['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'],
  ...['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'TERM', 'COLORTERM', 'NO_COLOR', 'FORCE_COLOR', 'CLICOLOR', 'CLICOLOR_FORCE'],
];
const OWN = new RegExp(`^(?:${OWN_NAMES.map((name) => name.replace('*', '.*')).join('|')})$`, 's');

/**
 * All other variables come through a clean start as values, `SELF_UPDATE_KEPT_1='NODE_OPTIONS=--inspect'`: under these names they mean
 * nothing to anybody, and a value holds a name that a shell could not.
 */
const KEPT = 'SELF_UPDATE_KEPT_';

/** Read by Node, the loader, libuv or OpenSSL before any code of ours runs. NODE_ENV and NODE_VERSION are not. */
const ACTS_AT_START = /^(?:NODE_(?!ENV$|VERSION$)|LD_|DYLD_|UV_|ICU_|OPENSSL_|SSLKEYLOGFILE$|GLIBC_|MALLOC_|GCONV_PATH$|LOCPATH$)/;

/** The variables as the operator gave them. */
export function givenEnvironment(environment: Environment): Record<string, string> {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined) continue;
    const end = name.startsWith(KEPT) ? value.indexOf('=') : -1;
    if (end > 0) given[value.slice(0, end)] = value.slice(end + 1);
    else if (!name.startsWith(KEPT)) given[name] = value;
  }
  return given;
}

/** The environment of a clean start: the updater's own variables, and the others as values. */
export function cleanEnvironment(given: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(given);
  const others = entries.filter(([name]) => !OWN.test(name));
  return Object.fromEntries([
    ...entries.filter(([name]) => OWN.test(name)),
    ...others.map(([name, value], index) => [`${KEPT}${index + 1}`, `${name}=${value}`]),
  ]);
}

/**
 * Makes this process's environment the updater's own, and returns the one that was given. Where variables act before any code does, the
 * process starts itself once more without them (execve(2): same pid, same streams).
 */
export function claimEnvironment(): Record<string, string> {
  const given = givenEnvironment(process.env);
  if (Object.keys(process.env).some((name) => ACTS_AT_START.test(name) && !OWN.test(name)) && process.platform !== 'win32')
    process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], cleanEnvironment(given));
  for (const name of Object.keys(process.env)) if (!OWN.test(name)) delete process.env[name];
  return given;
}

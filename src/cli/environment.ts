/**
 * Three environments. The updater's own process gets the variables on a list, and no others: what
 * steers Node, the loader or OpenSSL is meant for the app. The app gets everything (but
 * `UPDATE_*`). Hooks and checks get the same, less what steers programs, where they run as another
 * user than the app: its `LD_PRELOAD` may name a file that the app can change.
 */
import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import path from 'node:path';
import type { Environment } from '../config/environment.ts';
import { appUser } from '../effects/supervisor/container.ts';
import { HOOK_MARKER, MARKER } from '../effects/supervisor/process-table.ts';
import { grants, parentsOf, type User } from './rights.ts';

/**
 * Names that the updater's process keeps. docker/self-update has the same list, since in the
 * container a shell acts on it.
 */
export const OWN_NAMES = [
  ...[
    'GH_*',
    'UPDATE_*',
    'SLEEP',
    'SVWAIT',
    'VERBOSE',
    'PATH',
    'HOME',
    'TZ',
    'LANG',
    'LANGUAGE',
    'LC_*',
    'XDG_*',
  ],
  ...[
    'http_proxy',
    'https_proxy',
    'all_proxy',
    'no_proxy',
    'HTTP_PROXY',
    'HTTPS_PROXY',
    'ALL_PROXY',
    'NO_PROXY',
  ],
  ...[
    'NODE_EXTRA_CA_CERTS',
    'SSL_CERT_FILE',
    'SSL_CERT_DIR',
    'TERM',
    'COLORTERM',
    'NO_COLOR',
    'FORCE_COLOR',
    'CLICOLOR',
    'CLICOLOR_FORCE',
  ],
];
const matcher = (names: readonly string[]): RegExp =>
  new RegExp(`^(?:${names.map((name) => name.replace('*', '.*')).join('|')})$`, 's');
const OWN = matcher(OWN_NAMES);
/**
 * The C library opens the file that TZ names (tzset(3)), and the app may have put a FIFO there:
 * only a zone by its name may pass to root.
 */
const isZoneName = (text: string): boolean => /^(?!\/)[\w+/-]*$/.test(text);
const passes = (name: string, value: string | undefined): boolean =>
  name !== 'TZ' || isZoneName(value ?? '');
const isOwn = (name: string, value: string | undefined): boolean =>
  OWN.test(name) && passes(name, value);

/**
 * What glibc takes away from set-user-ID programs, for the same reason (ld.so(8), "secure-execution
 * mode"): each loads code or files into whatever is started with it. docker/steering.sh has the
 * same lists.
 */
export const LOADER_NAMES = [
  ...[
    'LD_*',
    'GLIBC_TUNABLES',
    'GCONV_PATH',
    'GETCONF_DIR',
    'LOCPATH',
    'NLSPATH',
    'MALLOC_*',
    'TZDIR',
  ],
  ...['HOSTALIASES', 'LOCALDOMAIN', 'NIS_PATH', 'RESOLV_HOST_CONF', 'RES_OPTIONS'],
];
/**
 * What runtimes obey before a program's own code: options, modules and start files by way of the
 * environment.
 */
export const RUNTIME_NAMES = [
  ...['NODE_*', 'UV_*', 'ICU_*', 'OPENSSL_*', 'SSLKEYLOGFILE', 'ELECTRON_*', 'DENO_*', 'BUN_*'],
  ...['BASH_ENV', 'BASH_FUNC_*', 'ENV', 'SHELLOPTS', 'BASHOPTS', 'CDPATH', 'IFS', 'PS4', 'ZDOTDIR'],
  ...['PYTHON*', 'RUBY*', 'GEM_*', 'BUNDLE_*', 'PERL*', 'PHPRC', 'PHP_INI_SCAN_DIR', 'LUA_*'],
  ...[
    'CLASSPATH',
    'JAVA_TOOL_OPTIONS',
    '_JAVA_OPTIONS',
    'JDK_*OPTIONS',
    'DOTNET_*',
    'CORECLR_*',
    'COR_*',
    'COMPlus_*',
  ],
];
/** Which mode an app runs in steers no runtime, and a further authority is a setting of ours. */
export const HARMLESS_NAMES = ['NODE_ENV', 'NODE_VERSION', 'NODE_EXTRA_CA_CERTS'];
const STEERS = matcher([...LOADER_NAMES, ...RUNTIME_NAMES]);
const HARMLESS = matcher(HARMLESS_NAMES);

/**
 * All other variables come through a clean start as values,
 * `SELF_UPDATE_KEPT_1='NODE_OPTIONS=--inspect'`: under these names they mean nothing to anybody,
 * and a value holds a name that a shell could not.
 */
const KEPT = 'SELF_UPDATE_KEPT_';

/**
 * Read by Node, the loader, libuv or OpenSSL before any code of ours runs. NODE_ENV and
 * NODE_VERSION are not.
 */
const ACTS_AT_START =
  /^(?:NODE_(?!ENV$|VERSION$)|LD_|DYLD_|UV_|ICU_|OPENSSL_|SSLKEYLOGFILE$|GLIBC_|MALLOC_|GCONV_PATH$|LOCPATH$)/;

/**
 * What our processes find the app and hooks by. An updater that one of these started is neither,
 * and nor is what it starts.
 */
const MARKS = new Set([MARKER, HOOK_MARKER]);

/**
 * Of the app's variables, those that a command of another user gets: what runs as root is not
 * steered by what is meant for the app.
 */
export function withoutSteering(
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      ([name, value]) => passes(name, value) && (HARMLESS.test(name) || !STEERS.test(name)),
    ),
  );
}

/** Where programs are looked for if nothing of the given PATH is left. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Of the directories in PATH, those that the app can't change: it may well begin with one of the
 * app's own, and we start programs as root.
 */
export function pathWithoutApp(searchPath: string, app: User): string {
  return (
    searchPath
      .split(':')
      .filter((directory) => isOutOfReach(directory, app))
      .join(':') || DEFAULT_PATH
  );
}

function isOutOfReach(directory: string, app: User): boolean {
  if (!path.isAbsolute(directory)) return false;
  try {
    return directoriesOf(directory).every((place) => !grants(place, app, 0o2));
  } catch {
    return false;
  }
}

/**
 * All directories that say where a path leads: its own parents, and those of each link on the way.
 * Throws where it leads nowhere.
 */
function directoriesOf(name: string): string[] {
  const visited = new Set<string>();
  const follow = (place: string): void => {
    if (visited.has(place)) return;
    visited.add(place);
    const parent = path.dirname(place);
    if (parent !== place) follow(parent);
    // From where the directory is in truth: a link's own words count from there.
    if (lstatSync(place).isSymbolicLink())
      follow(path.resolve(realpathSync(parent), readlinkSync(place)));
  };
  follow(path.resolve(name));
  return [...visited, realpathSync(name)].flatMap((place) => [place, ...parentsOf(place)]);
}

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
  const others = entries.filter(([name, value]) => !isOwn(name, value));
  return Object.fromEntries([
    ...entries.filter(([name, value]) => isOwn(name, value)),
    ...others.map(([name, value], index) => [`${KEPT}${index + 1}`, `${name}=${value}`]),
  ]);
}

/** What the app is given: everything but ours, and never a secret of ours. */
export function appEnvironment(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => {
      const [name, value] = entry;
      return value !== undefined && !name.startsWith('UPDATE_') && !MARKS.has(name);
    }),
  );
}

/**
 * Makes this process's environment the updater's own, and returns the one that was given. Where
 * variables act before any code does, or mark it as a process of the app's, it starts itself once
 * more without them (execve(2): same pid, same streams).
 */
export function claimEnvironment(): Record<string, string> {
  const given = givenEnvironment(process.env);
  if (
    Object.keys(process.env).some(
      (name) => (ACTS_AT_START.test(name) || MARKS.has(name)) && !OWN.test(name),
    ) &&
    process.platform !== 'win32'
  )
    process.execve?.(
      process.execPath,
      [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
      cleanEnvironment(given),
    );
  for (const name of Object.keys(process.env))
    if (!isOwn(name, process.env[name])) delete process.env[name];
  const app = appUser();
  if (app !== null && process.env['PATH'] !== undefined)
    process.env['PATH'] = pathWithoutApp(process.env['PATH'], app);
  return given;
}

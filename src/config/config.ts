/** The environment, parsed once. Everything that is wrong with it is said at once, each with a remedy. */
import path from 'node:path';
import { MAX_NOTE_BYTES, readBounded } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import { metaOf, type SettingName, type Settings, settingNames, settings } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The configuration as the program uses it. Null: not set. */
export type Config = ReturnType<typeof configFrom>;

/** Names that begin like ours and mean nothing: most likely a slip of the pen. */
export type ConfigResult = { ok: true; config: Config; unknown: string[] } | { ok: false; problems: string[] };

/** Where GitHub sends downloads: https://docs.github.com/en/rest/releases/assets */
const GITHUB_ASSET_HOSTS = [
  'github.com',
  'api.github.com',
  'objects.githubusercontent.com',
  'release-assets.githubusercontent.com',
  'objects-origin.githubusercontent.com',
  'github-releases.githubusercontent.com',
];
const MIN_KEY_CHARACTERS = 16;
const MIN_SLEEP_WITHOUT_TOKEN_MS = 60_000;

/** An empty variable is an unset one: that is how Compose and Akash files say "nothing". */
function given(environment: Environment, name: string): string | undefined {
  const value = environment[name];
  return value === undefined || value === '' ? undefined : value;
}

/** `separated`: the app has a user of its own, whom the updater's directory must be kept from. */
export function parseConfig(environment: Environment, separated = false): ConfigResult {
  const problems: string[] = [];
  // An empty file is told as that, and its content not judged once more.
  const raw = Object.fromEntries(settingNames.map((name) => [name, readSetting(environment, name, problems) || undefined]));
  const parsed = settings.safeParse(raw);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const name = issue.path[0] as SettingName;
      problems.push(complaint(name, raw[name], issue.message));
    }
  }
  problems.push(...contradictions(environment, raw));
  if (separated) problems.push(...placeProblems(raw['UPDATE_DIR'] ?? standardUpdateDir(environment), raw['UPDATE_LINKED_DIR'] ?? '/data/app'));
  if (!parsed.success || problems.length > 0) return { ok: false, problems };
  return { ok: true, config: configFrom(parsed.data, environment), unknown: unknownNames(environment) };
}

function configFrom(values: Settings, environment: Environment) {
  const anew = (name: SettingName) => (): string | null => readSetting(environment, name, []) ?? null;
  const apiUrl = values.UPDATE_GH_API_URL.replace(/\/+$/, '');
  return {
    /** `owner/name` */
    repository: `${values.GH_USER}/${values.GH_REPO}`,
    repositoryName: values.GH_REPO,
    pollIntervalMs: values.SLEEP,
    firstCheckTimeoutMs: values.UPDATE_FIRST_CHECK_TIMEOUT,
    logFormat: values.UPDATE_LOG_FORMAT,
    isVerbose: values.VERBOSE !== '',
    // Tokens and addresses that are secret are read anew at each call, since mounted secrets rotate.
    token: anew('UPDATE_GH_TOKEN'),
    /** What must be shown to nobody. */
    secrets: (): string[] => settingNames.flatMap((name) => secretParts(name, readSetting(environment, name, []))),
    /** Without a trailing slash. */
    apiUrl,
    assetHosts: [new URL(apiUrl).hostname, ...(values.UPDATE_ASSET_HOSTS.length > 0 ? values.UPDATE_ASSET_HOSTS : GITHUB_ASSET_HOSTS)],
    mayBePlain: (url: string): boolean => mayBePlain(url, values.UPDATE_INSECURE_HTTP),
    proxy: { HTTPS_PROXY: values.HTTPS_PROXY, NO_PROXY: values.NO_PROXY },

    strategy: values.UPDATE_STRATEGY,
    versioning: values.UPDATE_VERSIONING,
    range: values.UPDATE_RANGE,
    allowsPrereleases: values.UPDATE_PRERELEASE,
    tagPrefix: values.UPDATE_TAG_PREFIX,
    tag: values.UPDATE_TAG ?? null,
    assetGlob: values.UPDATE_ASSET ?? null,
    denied: values.UPDATE_DENY,
    minAgeMs: values.UPDATE_MIN_AGE,
    window: windowOf(values),
    needsApproval: values.UPDATE_APPROVAL,
    allowsUrgent: values.UPDATE_URGENT,
    trust: {
      /** None: whatever is downloaded is run. */
      conditions: values.UPDATE_VERIFY,
      minisignKeys: values.UPDATE_MINISIGN_KEYS,
      minisignBinding: values.UPDATE_MINISIGN_BINDING,
      attestation: attestationOf(values),
    },

    probationMs: values.UPDATE_PROBATION,
    rollback: values.UPDATE_ROLLBACK,
    health: {
      url: values.UPDATE_HEALTH_URL ?? null,
      command: values.UPDATE_HEALTH_CMD ?? null,
      startPeriodMs: values.UPDATE_HEALTH_START_PERIOD,
      intervalMs: values.UPDATE_HEALTH_INTERVAL,
      timeoutMs: values.UPDATE_HEALTH_TIMEOUT,
      retries: values.UPDATE_HEALTH_RETRIES,
    },
    hooks: {
      commands: {
        preStop: values.UPDATE_PRE_STOP_CMD ?? null,
        preStart: values.UPDATE_PRE_START_CMD ?? null,
        postUpdate: values.UPDATE_POST_UPDATE_CMD ?? null,
      },
      timeoutMs: values.UPDATE_HOOK_TIMEOUT,
    },
    busy: { file: values.UPDATE_BUSY_FILE, maxAgeMs: values.UPDATE_BUSY_MAX_AGE },

    supervisor: values.UPDATE_SUPERVISOR,
    app: { command: values.UPDATE_APP_COMMAND ?? null, workdir: values.UPDATE_APP_WORKDIR ?? null },
    stop: { signalName: values.UPDATE_STOP_SIGNAL, waitMs: values.SVWAIT },
    linked: { names: values.UPDATE_LINKED, directory: values.UPDATE_LINKED_DIR },

    updateDir: values.UPDATE_DIR ?? standardUpdateDir(environment),
    bakedDir: values.UPDATE_BAKED_DIR,
    keptTrees: values.UPDATE_KEEP,
    maxAssetBytes: values.UPDATE_MAX_ASSET_BYTES,
    maxUnpackedBytes: values.UPDATE_MAX_UNPACKED_BYTES,
    maxEntries: values.UPDATE_MAX_ENTRIES,

    http: {
      address: values.UPDATE_HTTP_ADDR ?? null,
      hosts: values.UPDATE_HTTP_HOSTS,
      token: anew('UPDATE_HTTP_TOKEN'),
      readingNeedsToken: values.UPDATE_HTTP_READ === 'token',
      webhookSecret: anew('UPDATE_WEBHOOK_SECRET'),
    },
    notify: {
      url: anew('UPDATE_NOTIFY_URL'),
      command: values.UPDATE_NOTIFY_CMD ?? null,
      failingAfterMs: values.UPDATE_NOTIFY_FAILING_AFTER,
    },
  };
}

/** With its time zone: that of TZ, else the system's. */
function windowOf({ UPDATE_WINDOW, TZ }: Settings) {
  if (UPDATE_WINDOW === undefined) return null;
  const { text, spans } = UPDATE_WINDOW;
  return { text, timeZone: zoneOf(TZ) ?? Intl.DateTimeFormat().resolvedOptions().timeZone, spans };
}

function attestationOf(values: Settings) {
  const { UPDATE_ATTESTATION_IDENTITY: identity, UPDATE_ATTESTATION_ISSUER: issuer, UPDATE_ATTESTATION_INSTANCE: instance } = values;
  return identity === undefined ? null : { identity, issuer, instance, rootFile: values.UPDATE_ATTESTATION_ROOT ?? null };
}

/** Of the names that every program shares, the one in small letters wins, as for curl. */
const IN_SMALL_LETTERS = new Set<SettingName>(['HTTPS_PROXY', 'NO_PROXY']);

/** The value of a variable, or of the file that NAME_FILE names. */
function readSetting(environment: Environment, name: SettingName, problems: string[]): string | undefined {
  const direct = (IN_SMALL_LETTERS.has(name) ? given(environment, name.toLowerCase()) : undefined) ?? given(environment, name);
  const file = metaOf(name).secret && name.startsWith('UPDATE_') ? given(environment, `${name}_FILE`) : undefined;
  if (file === undefined) return direct?.trim();
  if (direct !== undefined) problems.push(`${name}: is given twice, also as ${name}_FILE. Keep one of them`);
  try {
    const value = readBounded(file, MAX_NOTE_BYTES).toString('utf8').trim();
    if (value === '') problems.push(`${name}_FILE: ${file} is empty. Write the secret into it`);
    return value;
  } catch (error) {
    const reason = error instanceof Fault ? error.message : `${file} can't be read (${(error as NodeJS.ErrnoException).code})`;
    problems.push(`${name}_FILE: ${reason}. Mount the secret there, as a file that this user can read`);
    return undefined;
  }
}

function complaint(name: SettingName, value: unknown, message: string): string {
  const { example, secret } = metaOf(name);
  if (value === undefined) return `${name}: is required. Example: ${name}=${example}`;
  const shown = secret ? '' : ` ${quoted(name, value)}`;
  // A message that says what to set needs no example beside it.
  return `${name}:${shown} ${message}${/\bSet [A-Z_]+=/.test(message) ? '' : `. Example: ${name}=${example}`}`;
}

/** An address as it may be shown: without its password, also where it is no address by a slip. */
function quoted(name: SettingName, value: unknown): string {
  if (typeof value !== 'string' || !value.includes('@') || !/(?:_URL|_ISSUER|_PROXY)$/.test(name)) return JSON.stringify(value);
  return JSON.stringify(value.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/i, '$1[secret]@'));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** User and password in any address are secret; that of a notification is so as a whole. */
function secretParts(name: SettingName, value: string | undefined): string[] {
  const { secret, secretAddress } = metaOf(name);
  if (value === undefined) return [];
  const address = name === 'HTTPS_PROXY' && !value.includes('://') ? `http://${value}` : value;
  if (!URL.canParse(address) || !/^https?:/.test(address)) return secret ? [value] : [];
  const { username, password, pathname, search } = new URL(address);
  // A token may stand in the place of the user.
  const names = username !== '' && (password === '' || username.length >= MIN_KEY_CHARACTERS) ? [username, decoded(username)] : [];
  const written = /^[a-z]+:\/\/(?:[^/?#]*:)?([^/?#]*)@/i.exec(address)?.[1] ?? '';
  const passwords = password === '' ? [] : [value, `${decoded(username)}:${decoded(password)}`, password, decoded(password), written];
  if (!secretAddress) return [...passwords, ...names];
  // The parts that are no words: "/releases" in such an address must not be blacked out everywhere.
  const keys = `${pathname}${search}`.split(/[/?&=]/).filter((part) => part.length >= MIN_KEY_CHARACTERS);
  return [value, ...keys, ...passwords, ...names];
}

/** What is wrong only together. */
function contradictions(environment: Environment, raw: Record<string, string | undefined>): string[] {
  const problems: string[] = [];
  const sleep = settings.shape.SLEEP.safeParse(raw['SLEEP']);
  const hasToken = raw['UPDATE_GH_TOKEN'] !== undefined || given(environment, 'UPDATE_GH_TOKEN_FILE') !== undefined;
  if (sleep.success && sleep.data < MIN_SLEEP_WITHOUT_TOKEN_MS && !hasToken) {
    problems.push(`SLEEP: "${raw['SLEEP']}" is below 60, and without a token GitHub allows 60 requests an hour. Set UPDATE_GH_TOKEN, or SLEEP=300`);
  }
  const api = raw['UPDATE_GH_API_URL'];
  if (api !== undefined && URL.canParse(api) && new URL(api).protocol === 'http:' && !mayBePlain(api, raw['UPDATE_INSECURE_HTTP'])) {
    problems.push(
      `UPDATE_GH_API_URL: ${quoted('UPDATE_GH_API_URL', api)} is plain http, which anyone on the way can change. Use https, or set UPDATE_INSECURE_HTTP=1`,
    );
  }
  if (api !== undefined && URL.canParse(api) && /^(?:www\.)?github\.com$/.test(new URL(api).hostname))
    problems.push(
      `UPDATE_GH_API_URL: ${quoted('UPDATE_GH_API_URL', api)} is GitHub's web site, not its API. Leave the setting out, or set https://api.github.com`,
    );
  if (raw['UPDATE_HEALTH_URL'] !== undefined && raw['UPDATE_HEALTH_CMD'] !== undefined) {
    problems.push('UPDATE_HEALTH_CMD: is given beside UPDATE_HEALTH_URL. Keep one of them');
  }
  if (raw['UPDATE_WINDOW'] !== undefined && raw['TZ'] !== undefined && zoneOf(raw['TZ']) === null)
    problems.push(`TZ: ${JSON.stringify(raw['TZ'])} is not a time zone by its name, and UPDATE_WINDOW needs one. Example: TZ=${metaOf('TZ').example}`);
  problems.push(...verificationProblems(raw));
  const escaping = (raw['UPDATE_LINKED'] ?? '').split(/[\s,]+/).filter((name) => name.startsWith('/') || name.split('/').includes('..'));
  if (escaping.length > 0)
    problems.push(`UPDATE_LINKED: ${escaping.join(' ')} would leave the tree. Name files and directories inside it. Example: UPDATE_LINKED=world logs`);
  return problems;
}

/**
 * The app owns the directory of its data: it could exchange what the updater keeps below it. With one user for both that is nothing new.
 * docker/lib.sh has the same check (look_apart), since there the directory would be given away.
 */
function placeProblems(updateDir: string, linkedDir: string): string[] {
  const holds = (outer: string, inner: string): boolean => !/^\.\.(?:\/|$)/.test(path.relative(outer, inner));
  if (!holds(updateDir, linkedDir) && !holds(linkedDir, updateDir)) return [];
  return [
    `UPDATE_LINKED_DIR: ${JSON.stringify(linkedDir)} and UPDATE_DIR (${updateDir}) are not apart, and the app could exchange what the updater keeps. Set directories of which neither holds the other, such as UPDATE_LINKED_DIR=/data/app and UPDATE_DIR=/data/self-update`,
  ];
}

/** A condition without what it is checked against would refuse every release. */
function verificationProblems(raw: Record<string, string | undefined>): string[] {
  const parsed = settings.shape.UPDATE_VERIFY.safeParse(raw['UPDATE_VERIFY']);
  const conditions: readonly string[] = parsed.success ? parsed.data : [];
  const problems: string[] = [];
  const keys = (raw['UPDATE_MINISIGN_KEYS'] ?? '').split(/[\s,]+/).filter(Boolean);
  const wrong = keys.filter((key) => !/^RW[A-Za-z0-9+/]{54}$/.test(key));
  for (const key of wrong)
    problems.push(`UPDATE_MINISIGN_KEYS: ${JSON.stringify(key)} is not a minisign public key (the 56 characters after the comment in minisign.pub)`);
  if (conditions.includes('minisign') && keys.length === 0) problems.push(missing('UPDATE_MINISIGN_KEYS', 'minisign'));
  if (conditions.includes('attestation') && raw['UPDATE_ATTESTATION_IDENTITY'] === undefined)
    problems.push(missing('UPDATE_ATTESTATION_IDENTITY', 'attestation'));
  if (conditions.includes('attestation') && raw['UPDATE_ATTESTATION_INSTANCE'] === 'github' && raw['UPDATE_ATTESTATION_ROOT'] === undefined)
    problems.push(missing('UPDATE_ATTESTATION_ROOT', 'attestation with UPDATE_ATTESTATION_INSTANCE=github'));
  return problems;
}

function missing(name: SettingName, condition: string): string {
  return `${name}: is needed by UPDATE_VERIFY=${condition}. Example: ${name}=${metaOf(name).example}`;
}

/** A zone by its name in the tz database; a leading colon is POSIX's. Null for anything else, and for none. */
function zoneOf(text: string | undefined): string | null {
  const name = text?.replace(/^:/, '') ?? '';
  try {
    return name === '' ? null : new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}

/** Loopback can't be listened in on from outside; everything else needs the operator's word. */
function mayBePlain(url: string, insecure: boolean | string | undefined): boolean {
  const { hostname } = new URL(url);
  const loopback = hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
  return loopback || insecure === true || (typeof insecure === 'string' && /^(?:1|on|true|yes)$/i.test(insecure));
}

/** https://specifications.freedesktop.org/basedir-spec/latest/ */
function standardUpdateDir(environment: Environment): string {
  const state = given(environment, 'XDG_STATE_HOME') ?? path.join(given(environment, 'HOME') ?? '/var/lib', '.local', 'state');
  return path.join(state, 'self-update');
}

function unknownNames(environment: Environment): string[] {
  const known = new Set<string>(settingNames.flatMap((name) => (metaOf(name).secret ? [name, `${name}_FILE`] : [name])));
  return Object.keys(environment).filter((name) => name.startsWith('UPDATE_') && !known.has(name));
}

/**
 * The environment, parsed once. Everything that is wrong with it is said at once, each with a
 * remedy.
 */
import path from 'node:path';
import { withoutSecrets } from '../support/redact.ts';
import { complaint } from './complaint.ts';
import { bakedProblems, contradictions, placeProblems } from './contradictions.ts';
import { type Environment, given, readSetting, unknownNames } from './environment.ts';
import { secretParts } from './secrets.ts';
import { type SettingName, type Settings, settingNames, settings } from './settings.ts';
import { mayBePlain, sourceUrlOf } from './source-url.ts';
import { zoneOf } from './window.ts';

/** The configuration as the program uses it. Null: not set. */
export type Config = ReturnType<typeof configFrom>;

/** `unknown`: names that begin like ours and mean nothing. */
export type ConfigResult =
  | { ok: true; config: Config; unknown: string[] }
  | { ok: false; problems: string[] };

/** Where GitHub sends downloads: https://docs.github.com/en/rest/releases/assets */
const GITHUB_ASSET_HOSTS = [
  'github.com',
  'api.github.com',
  'objects.githubusercontent.com',
  'release-assets.githubusercontent.com',
  'objects-origin.githubusercontent.com',
  'github-releases.githubusercontent.com',
];

/** `separated`: the app has a user of its own, whom the updater's directory must be kept from. */
export function parseConfig(environment: Environment, separated = false): ConfigResult {
  const problems: string[] = [];
  const texts: Partial<Record<SettingName, string>> = {};
  for (const name of settingNames) {
    // An empty file is told as that, and its content not judged once more.
    const text = readSetting(environment, name, problems) || undefined;
    if (text !== undefined) texts[name] = text;
  }
  const values: Partial<Settings> = {};
  for (const name of settingNames) {
    const { success, data, error } = settings.shape[name].safeParse(texts[name]);
    if (success) Object.assign(values, { [name]: data });
    else problems.push(...error.issues.map((issue) => complaint(name, texts[name], issue)));
  }
  const hasToken =
    texts.UPDATE_GH_TOKEN !== undefined || given(environment, 'UPDATE_GH_TOKEN_FILE') !== undefined;
  // It may be anything that POSIX allows: judged only where a window needs it.
  const timeZone = texts.UPDATE_WINDOW === undefined ? null : zoneOf(values.TZ);
  problems.push(...contradictions({ texts, values, hasToken, timeZone }));
  const updateDir = texts.UPDATE_DIR ?? standardUpdateDir(environment);
  const linkedDir = values.UPDATE_LINKED_DIR ?? '';
  if (separated)
    problems.push(
      ...placeProblems(updateDir, linkedDir),
      ...bakedProblems(texts.UPDATE_BAKED_DIR, linkedDir),
    );
  if (problems.length > 0) return { ok: false, problems };
  // No problem: each of them is there.
  return {
    ok: true,
    config: configFrom(values as Settings, environment, updateDir, timeZone),
    unknown: unknownNames(environment),
  };
}

function configFrom(
  values: Settings,
  environment: Environment,
  updateDir: string,
  timeZone: string | null,
) {
  const anew = (name: SettingName) => (): string | null =>
    readSetting(environment, name, []) ?? null;
  const secretsOf = (name: SettingName): string[] =>
    secretParts(name, readSetting(environment, name, []));
  // GitHub makes no difference between small letters and capitals.
  const publicNames = [values.GH_USER, values.GH_REPO].map((name) => name.toLowerCase());
  const isPublic = (secret: string): boolean =>
    publicNames.some((name) => withoutSecrets(name, [secret.toLowerCase()]) !== name);
  const apiUrl = values.UPDATE_GH_API_URL.replace(/\/+$/, '');
  return {
    /** `owner/name` */
    repository: `${values.GH_USER}/${values.GH_REPO}`,
    repositoryName: values.GH_REPO,
    pollIntervalMs: values.SLEEP,
    firstCheckTimeoutMs: values.UPDATE_FIRST_CHECK_TIMEOUT,
    logFormat: values.UPDATE_LOG_FORMAT,
    isVerbose: values.VERBOSE !== undefined,
    // Tokens and addresses that are secret are read anew at each call, since mounted secrets
    // rotate.
    token: anew('UPDATE_GH_TOKEN'),
    /** What must be shown to nobody. */
    secrets: (): string[] => settingNames.flatMap(secretsOf).filter((secret) => !isPublic(secret)),
    /**
     * Settings with a secret that stands in the name of the repository or its owner: it is among no
     * secrets, or that name could not be read.
     */
    publicSecrets: (): SettingName[] =>
      settingNames.filter((name) => secretsOf(name).some(isPublic)),
    /** `url` without a trailing slash; null where the source's own is meant. */
    source: {
      name: values.UPDATE_SOURCE,
      url: sourceUrlOf(values.UPDATE_SOURCE, values.UPDATE_SOURCE_URL),
    },
    /** Without a trailing slash. */
    apiUrl,
    assetHosts: [
      new URL(apiUrl).hostname,
      ...(values.UPDATE_ASSET_HOSTS.length > 0 ? values.UPDATE_ASSET_HOSTS : GITHUB_ASSET_HOSTS),
    ],
    /** Beside the source's own: none, unless the operator names them. */
    moreAssetHosts: values.UPDATE_ASSET_HOSTS,
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
    /** Null: a release is taken as soon as it is found. */
    rollout:
      values.UPDATE_ROLLOUT === 0
        ? null
        : { periodMs: values.UPDATE_ROLLOUT, wariness: values.UPDATE_ROLLOUT_WARINESS ?? null },
    fleet: {
      isAsked:
        values.UPDATE_FLEET_LOCK_URL !== undefined ||
        given(environment, 'UPDATE_FLEET_LOCK_URL_FILE') !== undefined,
      url: anew('UPDATE_FLEET_LOCK_URL'),
      group: values.UPDATE_FLEET_GROUP,
      /** Empty: the volume's own, which is made once. */
      id: values.UPDATE_FLEET_ID ?? '',
      keepsOnFailure: values.UPDATE_FLEET_ON_FAILURE === 'keep',
    },
    window: windowOf(values, timeZone),
    needsApproval: values.UPDATE_APPROVAL,
    allowsUrgent: values.UPDATE_URGENT,
    trust: {
      /** None: whatever is downloaded is installed. */
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
    /** `isPreloaded`: a Node app's own `listen(port)` takes them. */
    held: { sockets: values.UPDATE_LISTEN ?? [], isPreloaded: values.UPDATE_LISTEN_NODE },
    stop: { signalName: values.UPDATE_STOP_SIGNAL, waitMs: values.SVWAIT },
    linked: { names: values.UPDATE_LINKED, directory: values.UPDATE_LINKED_DIR },

    updateDir,
    bakedDir: values.UPDATE_BAKED_DIR,
    keptTrees: values.UPDATE_KEEP,
    maxAssetBytes: values.UPDATE_MAX_ASSET_BYTES,
    maxUnpackedBytes: values.UPDATE_MAX_UNPACKED_BYTES,
    maxEntries: values.UPDATE_MAX_ENTRIES,

    metricsFile: values.UPDATE_METRICS_FILE ?? null,
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

/** By the clock of TZ, else of the system. */
function windowOf({ UPDATE_WINDOW }: Settings, timeZone: string | null) {
  if (UPDATE_WINDOW === undefined) return null;
  const { text, spans } = UPDATE_WINDOW;
  return { text, timeZone: timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone, spans };
}

function attestationOf(values: Settings) {
  const {
    UPDATE_ATTESTATION_IDENTITY: identity,
    UPDATE_ATTESTATION_ISSUER: issuer,
    UPDATE_ATTESTATION_INSTANCE: instance,
  } = values;
  return identity === undefined
    ? null
    : { identity, issuer, instance, rootFile: values.UPDATE_ATTESTATION_ROOT ?? null };
}

/** https://specifications.freedesktop.org/basedir-spec/latest/ */
function standardUpdateDir(environment: Environment): string {
  const state =
    given(environment, 'XDG_STATE_HOME') ??
    path.join(given(environment, 'HOME') ?? '/var/lib', '.local', 'state');
  return path.join(state, 'self-update');
}

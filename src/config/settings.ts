/**
 * Every setting, once: its name, its kind, its default, its meaning and an example. The
 * documentation is made from this.
 */
import path from 'node:path';
import semver from 'semver';
import * as z from 'zod';
import { readBounded } from '../support/bounded.ts';
import {
  bytes,
  checked,
  conditions,
  fileGlob,
  fraction,
  heldSockets,
  integer,
  listenAddress,
  login,
  matching,
  minisignKeys,
  noProxyHosts,
  oneOf,
  onOff,
  proxyAddress,
  repositoryName,
  seconds,
  timeWindow,
  token,
  words,
} from './kinds.ts';

export type SettingMeta = {
  meaning: string;
  /** Shown in error messages and in the documentation. */
  example: string;
  /**
   * Said in the documentation where the schema's own default does not tell it: it depends on the
   * place, or has a meaning.
   */
  standard?: string;
  /** May also be given as NAME_FILE, and is never shown. */
  secret?: true;
  /** An address that lets whoever knows it in: all of it is secret, not only a password. */
  secretAddress?: true;
};

/** Where releases come from. Each has a file in src/effects/sources. */
const SOURCE_NAMES = ['github', 'github-web', 'forgejo', 'directory', 'oci'] as const;

const SIGNALS = ['HUP', 'INT', 'QUIT', 'TERM', 'USR1', 'USR2', 'KILL', 'WINCH'] as const;

function setting<S extends z.ZodType>(schema: S, meta: SettingMeta): S {
  return schema.meta(meta);
}

function secret(meta: Omit<SettingMeta, 'secret'>) {
  return setting(z.string().min(1).optional(), { ...meta, secret: true });
}

function isUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** `file:` names a directory on this machine: no host, no escapes of a slash. */
function isSourceUrl(text: string): boolean {
  return isUrl(text) || (/^file:\/\/\//i.test(text) && URL.canParse(text) && !/%2f/i.test(text));
}

/** A trust root has some 10 kB. */
export const MAX_ROOT_BYTES = 4 * 1024 * 1024;

function isReadable(file: string): boolean {
  try {
    readBounded(file, MAX_ROOT_BYTES);
    return true;
  } catch {
    return false;
  }
}

export const settings = z.object({
  GH_USER: setting(login(), {
    meaning: 'owner of the repository to follow',
    example: 'acme',
  }),
  GH_REPO: setting(repositoryName(), {
    meaning: 'the repository to follow',
    example: 'app',
  }),
  SLEEP: setting(seconds({ least: 5, most: 30 * 86_400 }).prefault('300'), {
    meaning: 'seconds between checks; below 60 is refused without a token, below 5 always',
    example: '300',
  }),
  SVWAIT: setting(seconds({ most: 3600 }).prefault('7'), {
    meaning: 'seconds to wait for a service to stop or start',
    example: '7',
  }),
  VERBOSE: setting(z.string().optional(), {
    standard: 'unset',
    meaning: 'any non-empty value: debug log',
    example: '1',
  }),
  UPDATE_GH_TOKEN: setting(token().optional(), {
    standard: 'unset',
    meaning: 'token for private repositories and higher limits (fine-grained, Contents: read)',
    example: 'github_pat_11ABCDEFG0abcdefghijkl',
    secret: true,
  }),
  UPDATE_GH_API_URL: setting(
    checked(isUrl, 'is not an http(s) address').prefault('https://api.github.com'),
    {
      meaning:
        'address of the API, for GitHub Enterprise; plain http only to loopback, or with `UPDATE_INSECURE_HTTP=1`',
      example: 'https://github.example.com/api/v3',
    },
  ),
  UPDATE_SOURCE: setting(oneOf(...SOURCE_NAMES).prefault('github'), {
    meaning: 'where releases come from (docs/sources.md)',
    example: 'github-web',
  }),
  UPDATE_SOURCE_URL: setting(checked(isSourceUrl, 'is no http(s) or file: address').optional(), {
    standard: "the source's own, where it has one",
    meaning:
      'address of the source, or `file:///…` of a directory; plain http only to loopback, or with `UPDATE_INSECURE_HTTP=1`',
    example: 'https://codeberg.org',
  }),
  UPDATE_INSECURE_HTTP: setting(onOff().prefault('off'), {
    meaning: 'allow plain http to hosts other than loopback',
    example: '1',
  }),
  UPDATE_ASSET_HOSTS: setting(words().prefault(''), {
    standard: "GitHub's",
    meaning:
      "hosts that downloads may be redirected to, beside the API's own; full names are also trusted with a registry's token",
    example: 'github.com *.githubusercontent.com',
  }),
  UPDATE_ASSET: setting(fileGlob().optional(), {
    standard: "this platform's file, told by the names: docs/assets.md",
    meaning: "glob for the asset's name; must match exactly one",
    example: 'app_*_linux_amd64.tar.gz',
  }),
  UPDATE_STRATEGY: setting(
    oneOf('kill-then-download', 'download-then-kill', 'hand-over').prefault('kill-then-download'),
    {
      standard: 'kill-then-download (the image: download-then-kill)',
      meaning:
        'strategy of an update; `hand-over` starts the new version beside the old one (docs/hand-over.md)',
      example: 'download-then-kill',
    },
  ),
  UPDATE_RANGE: setting(
    checked((text) => semver.validRange(text) !== null, 'is not a semver range').prefault('*'),
    {
      meaning: 'semver range that a version must be in',
      example: '^2.1',
    },
  ),
  UPDATE_PRERELEASE: setting(onOff().prefault('off'), {
    meaning: 'whether prereleases count',
    example: 'on',
  }),
  UPDATE_TAG_PREFIX: setting(z.string().max(200).prefault(''), {
    meaning:
      'only tags with this prefix, which is removed before the version is read (docs/releases.md)',
    example: 'app-a/',
  }),
  UPDATE_VERSIONING: setting(oneOf('semver', 'loose').prefault('semver'), {
    meaning:
      '`loose` reads `2024.01.05`, `v1.2`, `1.2.3.4`, `3.7b`, `4.7.2-stable` as versions (docs/releases.md)',
    example: 'loose',
  }),
  UPDATE_TAG: setting(z.string().max(255).optional(), {
    standard: 'unset',
    meaning: 'exactly this tag: a pin, a downgrade, or a moving tag followed by digest',
    example: 'v1.4.2',
  }),
  UPDATE_VERIFY: setting(conditions().prefault('digest'), {
    meaning:
      'conditions that must all hold before anything is unpacked: `digest`, `minisign`, `attestation`; or `none` alone (docs/security.md)',
    example: 'digest,minisign',
  }),
  UPDATE_MINISIGN_KEYS: setting(minisignKeys().prefault(''), {
    meaning:
      'minisign public keys, one of which a release must be signed with; several while one replaces another',
    example: 'RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3',
  }),
  UPDATE_MINISIGN_BINDING: setting(oneOf('version', 'none').prefault('version'), {
    meaning:
      '`version`: a signature must say which version it is for, by its trusted comment or a file name (docs/security.md); `none`: it need not',
    example: 'version',
  }),
  UPDATE_ATTESTATION_IDENTITY: setting(
    checked((text) => /^https:\/\/\S+@\S+$/.test(text), 'is not a workflow and a ref').optional(),
    {
      meaning:
        "the workflow that must have built a release, exactly; a `*` stands for the release's tag and nothing else",
      example: 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*',
    },
  ),
  UPDATE_ATTESTATION_ISSUER: setting(
    checked(isUrl, 'is not an http(s) address').prefault(
      'https://token.actions.githubusercontent.com',
    ),
    {
      meaning: "OIDC issuer of the workflow's identity; a different one with an Enterprise server",
      example: 'https://token.actions.githubusercontent.com',
    },
  ),
  UPDATE_ATTESTATION_INSTANCE: setting(oneOf('public-good', 'github').prefault('public-good'), {
    meaning:
      "the Sigstore instance that attests: `public-good` for public repositories, `github` (GitHub's own) for private ones",
    example: 'github',
  }),
  UPDATE_ATTESTATION_ROOT: setting(
    checked(isReadable, "names a file that can't be read").optional(),
    {
      standard: "the public-good instance's, shipped",
      meaning:
        'file with a trusted root (`gh attestation trusted-root`), one JSON document; needed for `github`',
      example: '/etc/self-update/trusted_root.json',
    },
  ),
  UPDATE_HEALTH_URL: setting(checked(isUrl, 'is not an http(s) address').optional(), {
    meaning: 'a version on probation must answer 2xx here',
    example: 'http://127.0.0.1:8080/healthz',
  }),
  UPDATE_HEALTH_CMD: setting(z.string().optional(), {
    meaning: 'a version on probation is healthy when this shell command exits 0',
    example: 'nc -w 3 127.0.0.1 25565 -e true',
  }),
  UPDATE_HEALTH_START_PERIOD: setting(seconds({ most: 86_400 }).prefault('0'), {
    meaning:
      "seconds after the start in which a failed check does not count, as Docker's HEALTHCHECK",
    example: '60',
  }),
  UPDATE_HEALTH_INTERVAL: setting(seconds({ least: 0.1, most: 86_400 }).prefault('30'), {
    meaning: 'seconds between two checks',
    example: '5',
  }),
  UPDATE_HEALTH_TIMEOUT: setting(seconds({ least: 0.1, most: 86_400 }).prefault('30'), {
    meaning: 'seconds after which a check has failed',
    example: '3',
  }),
  UPDATE_HEALTH_RETRIES: setting(integer(1, 1000).prefault('3'), {
    meaning: 'failed checks in a row that make a version unhealthy',
    example: '3',
  }),
  UPDATE_PROBATION: setting(seconds({ most: 86_400 }).prefault('10'), {
    meaning: 'seconds on probation after the start period',
    example: '60',
  }),
  UPDATE_ROLLBACK: setting(oneOf('auto', 'manual').prefault('auto'), {
    meaning: '`manual`: a version that fails probation is only reported',
    example: 'manual',
  }),
  UPDATE_PRE_STOP_CMD: setting(z.string().optional(), {
    meaning:
      'shell command run while the app is still up, before it is stopped for an update; status 75 = not now, other non-zero = not at all this time',
    example: '/opt/hooks/drain.sh',
  }),
  UPDATE_PRE_START_CMD: setting(z.string().optional(), {
    meaning:
      'shell command run with the app down, before another version is started; where it fails the old version is started',
    example: '/opt/hooks/migrate.sh',
  }),
  UPDATE_POST_UPDATE_CMD: setting(z.string().optional(), {
    meaning: 'shell command run once the new version is healthy, or the old one is back',
    example: '/opt/hooks/announce.sh',
  }),
  UPDATE_HOOK_TIMEOUT: setting(seconds({ least: 1, most: 86_400 }).prefault('300'), {
    meaning: 'seconds after which a hook has failed and is killed',
    example: '60',
  }),
  UPDATE_BUSY_FILE: setting(
    checked((text) => text.startsWith('/'), 'is not an absolute path').prefault(
      '/run/self-update/busy',
    ),
    {
      meaning: 'while this file exists, a running app is not interrupted (docs/update-policy.md)',
      example: '/run/self-update/busy',
    },
  ),
  UPDATE_BUSY_MAX_AGE: setting(seconds().prefault('86400'), {
    meaning: 'seconds after which a busy file that nobody touched counts as forgotten; 0: never',
    example: '3600',
  }),
  UPDATE_WINDOW: setting(timeWindow().optional(), {
    standard: 'always',
    meaning:
      'when a running app may be interrupted: days and local times in `TZ`, separated by semicolons',
    example: 'Mon-Fri 02:00-05:00; Sat,Sun 23:30-07:00',
  }),
  UPDATE_MIN_AGE: setting(seconds().prefault('0'), {
    meaning: 'minimum age of a release in seconds; one without a known time is never old enough',
    example: '3d',
  }),
  UPDATE_ROLLOUT: setting(seconds().prefault('0'), {
    standard: 'off',
    meaning:
      "a release reaches the fleet's containers one after the other, within so many seconds after its publication (docs/fleet.md)",
    example: '24h',
  }),
  UPDATE_ROLLOUT_WARINESS: setting(fraction().optional(), {
    standard: 'by a hash of the container and the version',
    meaning: "this container's place in a rollout: `0` first, `1` last",
    example: '0',
  }),
  UPDATE_FLEET_LOCK_URL: setting(checked(isUrl, 'is not an http(s) address').optional(), {
    standard: 'off',
    meaning:
      'base address of a FleetLock server (airlock, poseidon/fleetlock), which is asked before a running app is interrupted (docs/fleet.md)',
    example: 'https://airlock.example.com',
    secret: true,
  }),
  UPDATE_FLEET_GROUP: setting(
    matching(/^[a-zA-Z0-9.-]{1,255}$/, 'is not of letters, digits, dots and hyphens').prefault(
      'default',
    ),
    {
      meaning: "the group whose slots are asked for; each has its own at the lock's server",
      example: 'frontend',
    },
  ),
  UPDATE_FLEET_ID: setting(
    matching(/^[\x21-\x7e]{1,255}$/, 'has more than 255 characters, or blanks').optional(),
    {
      standard: 'made once, and kept in UPDATE_DIR',
      meaning: 'name of this container in the fleet, of which no other has the same',
      example: 'app-0',
    },
  ),
  UPDATE_FLEET_ON_FAILURE: setting(oneOf('keep', 'release').prefault('keep'), {
    meaning:
      "`keep`: a version that fails keeps the fleet's lock, so that it goes no further; `release`: it does not",
    example: 'release',
  }),
  UPDATE_APPROVAL: setting(onOff().prefault('off'), {
    meaning:
      'each version is downloaded and verified, then waits for `approve` before it interrupts a running app',
    example: 'on',
  }),
  UPDATE_URGENT: setting(onOff().prefault('off'), {
    meaning: 'a release marked as urgent overrides window and minimum age',
    example: 'on',
  }),
  UPDATE_DENY: setting(words().prefault(''), {
    meaning: 'versions that are never run, as by `deny`; for when the volume may be lost',
    example: '1.4.0 1.4.1',
  }),
  // It is the app's too, and may be anything that POSIX allows: judged only where a window needs
  // it.
  TZ: setting(z.string().optional(), {
    standard: "the system's; UTC in the image",
    meaning: 'time zone of `UPDATE_WINDOW`',
    example: 'Europe/Berlin',
  }),
  UPDATE_APP_COMMAND: setting(z.string().optional(), {
    standard: "the tree's only executable, else the one named like the repository",
    meaning: 'shell command that starts the app, in its tree',
    example: 'node server.js',
  }),
  UPDATE_APP_WORKDIR: setting(z.string().optional(), {
    standard: 'the tree',
    meaning: "the app's working directory",
    example: '/data/app',
  }),
  UPDATE_APP_USER: setting(
    matching(
      /^(?:\d{1,10}(?::\d{1,10})?|[a-z_][a-z0-9_-]{0,31})$/,
      'is neither a user nor uid:gid',
    ).optional(),
    {
      standard: '1000:1000 where the container runs as root',
      meaning:
        'user that the app runs as, by name or as uid:gid; `0`: no separation from the updater',
      example: 'app',
    },
  ),
  UPDATE_STOP_SIGNAL: setting(
    z
      .string()
      .transform((text) => text.toUpperCase().replace(/^SIG/, ''))
      .pipe(oneOf(...SIGNALS))
      .prefault('TERM'),
    { meaning: 'signal that asks the app to stop', example: 'INT' },
  ),
  UPDATE_LINKED: setting(words().prefault(''), {
    meaning: "files and directories of the app's data, linked into every tree",
    example: 'world logs server.properties',
  }),
  UPDATE_LINKED_DIR: setting(z.string().prefault('/data/app'), {
    meaning: 'where they are kept',
    example: '/data/app',
  }),
  UPDATE_LISTEN: setting(heldSockets().optional(), {
    standard: 'off',
    meaning:
      'sockets that are held for the app, so that no request fails while it is replaced: `[NAME=][ADDRESS:]PORT`, five at most (docs/hand-over.md)',
    example: 'web=0.0.0.0:8080 [::]:8443',
  }),
  UPDATE_LISTEN_NODE: setting(onOff().prefault('off'), {
    meaning:
      'for a Node app that listens by itself: its `listen(port)` takes the held socket of that port (docs/hand-over.md)',
    example: 'on',
  }),
  UPDATE_ON_APP_EXIT: setting(oneOf('restart', 'exit').prefault('restart'), {
    meaning: "`exit`: the container ends with the app's status",
    example: 'exit',
  }),
  UPDATE_KEEP: setting(integer(2, 1000).prefault('2'), { meaning: 'trees kept', example: '3' }),
  UPDATE_MAX_ASSET_BYTES: setting(bytes().prefault('1 GiB'), {
    meaning: 'largest asset that is downloaded',
    example: '500M',
  }),
  UPDATE_MAX_UNPACKED_BYTES: setting(bytes().prefault('4 GiB'), {
    meaning: 'largest tree that is unpacked',
    example: '2GiB',
  }),
  UPDATE_MAX_ENTRIES: setting(integer(1, 10_000_000).prefault('100000'), {
    meaning: 'maximum number of files in a tree',
    example: '200000',
  }),
  UPDATE_FIRST_CHECK_TIMEOUT: setting(seconds({ most: 3600 }).prefault('30'), {
    meaning:
      'seconds from boot after which a version that has not yet run here starts without waiting for GitHub. One that was healthy here waits 5 at most',
    example: '10',
  }),
  UPDATE_DIR: setting(
    checked((text) => text.startsWith('/'), 'is not an absolute path').optional(),
    {
      standard: '/data/self-update in the image, the XDG state directory elsewhere',
      meaning: "the updater's directory: trees, journal, downloads",
      example: '/data/self-update',
    },
  ),
  UPDATE_BAKED_DIR: setting(z.string().prefault('/usr/share/self-update/baked'), {
    meaning: 'where the version that came with the image is, as `<version>/`',
    example: '/opt/app/baked',
  }),
  UPDATE_SUPERVISOR: setting(oneOf('auto', 'embedded', 'runit').prefault('auto'), {
    meaning: '`runit` in the container, `embedded` elsewhere',
    example: 'embedded',
  }),
  UPDATE_HTTP_ADDR: setting(listenAddress().optional(), {
    standard: 'off',
    meaning:
      'address for dashboard, status, metrics and actions (docs/observability.md); `:9090` is every interface',
    example: '127.0.0.1:9090',
  }),
  UPDATE_METRICS_FILE: setting(
    checked(
      (text) => path.isAbsolute(text) && text.endsWith('.prom'),
      'is not the absolute path of a .prom file',
    ).optional(),
    {
      standard: 'off',
      meaning:
        "file for the metrics, which the textfile collector of Prometheus' node_exporter reads; needs no `UPDATE_HTTP_ADDR` (docs/observability.md)",
      example: '/metrics/my-app.prom',
    },
  ),
  UPDATE_HTTP_TOKEN: secret({
    meaning:
      'token for actions over HTTP, and for reading where `UPDATE_HTTP_READ` is `token`; without it there are no actions',
    example: 'a long random string',
  }),
  UPDATE_HTTP_READ: setting(oneOf('open', 'token').prefault('open'), {
    meaning:
      '`open`: everybody who reaches the address may read, but the app not the journal; `token`: reading needs `UPDATE_HTTP_TOKEN`',
    example: 'token',
  }),
  UPDATE_HTTP_HOSTS: setting(words().prefault(''), {
    standard: 'addresses, `localhost` and names without a dot',
    meaning: 'further host names of the server; others are refused, against DNS rebinding',
    example: 'updates.example.com',
  }),
  UPDATE_WEBHOOK_SECRET: secret({
    standard: 'off',
    meaning: "secret of GitHub's webhook, which is then accepted at `/hooks/github`",
    example: 'a long random string',
  }),
  UPDATE_NOTIFY_URL: setting(checked(isUrl, 'is not an http(s) address').optional(), {
    meaning: 'webhook URL for notifications, as JSON (docs/notifications.md)',
    example: 'https://hooks.example.com/services/T000',
    secret: true,
    secretAddress: true,
  }),
  UPDATE_NOTIFY_CMD: setting(z.string().optional(), {
    meaning: 'shell command that gets notifications on its standard input',
    example: '/opt/notify.sh',
  }),
  UPDATE_NOTIFY_FAILING_AFTER: setting(seconds().prefault('21600'), {
    meaning: 'seconds without a successful check before a notification; 0: never',
    example: '1h',
  }),
  UPDATE_LOG_FORMAT: setting(oneOf('text', 'json').prefault('text'), {
    meaning: 'format of the log',
    example: 'json',
  }),
  HTTPS_PROXY: setting(proxyAddress().optional(), {
    standard: 'unset',
    meaning:
      'proxy for https, also as `host:port`; `https_proxy` in small letters wins, as for curl',
    example: 'http://proxy.example.com:3128',
    secret: true,
  }),
  NO_PROXY: setting(noProxyHosts().optional(), {
    standard: 'unset',
    meaning:
      'hosts that are reached without the proxy, and their subdomains; `no_proxy` in small letters wins',
    example: 'localhost,.example.com',
  }),
  NODE_EXTRA_CA_CERTS: setting(checked(isReadable, "names a file that can't be read").optional(), {
    standard: 'unset',
    meaning: 'file with further certificate authorities (PEM)',
    example: '/etc/ssl/company-ca.pem',
  }),
});

export type Settings = z.infer<typeof settings>;
export type SettingName = keyof Settings & string;

export function metaOf(name: SettingName): SettingMeta {
  // optional() and prefault() wrap the schema that carries the words; meta() was called on the
  // outermost one.
  return settings.shape[name].meta() as SettingMeta;
}

/** A setting's default, as a user would write it: defaults are parsed like what is given. */
export function defaultOf(name: SettingName): string {
  const schema: z.ZodType = settings.shape[name];
  const { standard } = metaOf(name);
  if (standard !== undefined) return standard;
  if (schema instanceof z.ZodPrefault) return String(schema.def.defaultValue) || 'none';
  return schema instanceof z.ZodOptional ? 'none' : 'required';
}

export const settingNames = Object.keys(settings.shape) as SettingName[];

/** The composition root: the one place where configuration, effects, journal and runtime meet. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import type { Environment } from '../config/environment.ts';
import { MAX_ROOT_BYTES } from '../config/settings.ts';
import { type BusyOptions, busySince } from '../effects/busy.ts';
import { nextPollAt, type PollNote, pollNoteSchema } from '../effects/check.ts';
import { STALL_WINDOW_MS } from '../effects/download.ts';
import { type AppOptions, appCommand } from '../effects/entry-point.ts';
import { type AnswerCache, GitHub } from '../effects/github/client.ts';
import { Http } from '../effects/github/http.ts';
import { createEffects, type EffectDependencies } from '../effects/index.ts';
import { appUser, isInContainer, keepGateShut, serviceCheck } from '../effects/supervisor/container.ts';
import { EmbeddedSupervisor } from '../effects/supervisor/embedded.ts';
import { RunitSupervisor } from '../effects/supervisor/runit.ts';
import type { Supervisor } from '../effects/supervisor/supervisor.ts';
import { highestKept, inboxDir, isTreeThere, type Places, readWorld } from '../effects/trees.ts';
import type { TrustOptions } from '../effects/verify.ts';
import type { Journal } from '../journal/journal.ts';
import type { JournalRecord } from '../journal/record.ts';
import type { Policy } from '../machines/model.ts';
import type { ImageInfo } from '../report/status.ts';
import type { State } from '../runtime/fold.ts';
import { Runtime } from '../runtime/runtime.ts';
import { MAX_NOTE_BYTES, readBounded } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import { globMatcher } from '../support/glob.ts';
import type { Log } from '../support/log.ts';
import { redactJson, withoutSecrets } from '../support/redact.ts';
import { appEnvironment, withoutSteering } from './environment.ts';
import { hostPlatform } from './host.ts';

/** How often a busy app is looked at: by a resident updater, and by one that is started for it. The container's loop sees for itself when the file goes. */
const BUSY_LOOK_MS = 1000;
const BUSY_LOOK_ONCE_MS = 60_000;
/** Tries at one release before it is given up. */
const MAX_ATTEMPTS = 5;
/** Baked with the image's tag, and rewritten where that is possible. */
const IMAGE_VERSION_FILE = '/version';
/** Put in by scripts/build.ts; the sources read package.json. */
declare const BUNDLED_VERSION: string | undefined;

export type Parts = { config: Config; places: Places; policy: Policy; log: Log; environment: Environment };

export type RunOptions = {
  /** It ends when nothing is left to do, and is started again. */
  once: boolean;
  appArgs: readonly string[];
  appOutput: 'inherit' | 'file';
  onProgress: (received: number, total: number) => void;
  onRecord: (record: JournalRecord, state: State) => void;
  /** GitHub was asked, and what it said is noted. */
  onPolled: () => void;
};

export function placesOf(config: Config): Places {
  return {
    root: canonical(config.updateDir),
    bakedDir: config.bakedDir,
    repository: config.repository,
    versioning: config.versioning,
    tagPrefix: config.tagPrefix,
    rules: rulesOf(config.trust),
  };
}

/** One directory has one name, however it was written: with `//`, or through a link. What is not there yet has no links in it. */
function canonical(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    const parent = path.dirname(path.resolve(directory));
    return parent === path.resolve(directory) ? parent : path.join(canonical(parent), path.basename(directory));
  }
}

/** Stands for everything that a download is checked against: conditions, keys, identity, trust root. */
function rulesOf({ conditions, minisignKeys, minisignBinding, attestation }: Config['trust']): string {
  // Without binding a tree may be of any version that was ever signed: it counts only while that is asked for.
  const keys = conditions.includes('minisign') ? [...minisignKeys.map(({ text }) => text).sort(), `binding:${minisignBinding}`] : [];
  const identity = conditions.includes('attestation') && attestation !== null ? identityOf(attestation) : [];
  return createHash('sha256')
    .update(JSON.stringify([conditions, keys, identity]))
    .digest('hex')
    .slice(0, 32);
}

function identityOf({ identity, issuer, instance, rootFile }: NonNullable<Config['trust']['attestation']>): unknown[] {
  return [identity, issuer, instance, rootFile === null ? null : readRoot(rootFile)];
}

function readRoot(file: string): string {
  return readBounded(file, MAX_ROOT_BYTES).toString('utf8');
}

export function policyOf(config: Config): Policy {
  const { conditions } = config.trust;
  const { preStop, preStart, postUpdate } = config.hooks.commands;
  return {
    repository: config.repository,
    strategy: config.strategy,
    versioning: config.versioning,
    range: config.range,
    prerelease: config.allowsPrereleases,
    tagPrefix: config.tagPrefix,
    tag: config.tag,
    assetGlob: config.assetGlob,
    platform: hostPlatform(),
    requireDigest: conditions.includes('digest'),
    rollback: config.rollback,
    maxAttempts: MAX_ATTEMPTS,
    retryBaseMs: config.pollIntervalMs,
    probationMs: config.probationMs,
    window: config.window,
    minAgeMs: config.minAgeMs,
    approval: config.needsApproval,
    urgentAllowed: config.allowsUrgent,
    urgentNeedsProof: conditions.some((condition) => condition !== 'digest'),
    denied: config.denied.map((version) => version.replace(/^v(?=\d)/, '')),
    requireMinisign: conditions.includes('minisign'),
    hooks: { preStop: preStop !== null, preStart: preStart !== null, postUpdate: postUpdate !== null },
  };
}

/** What hooks, checks and notification commands are given. They run as our user, which in the container may not be the app's. */
export function commandEnvironment({ config, environment }: Pick<Parts, 'config' | 'environment'>): Record<string, string> {
  const given = appEnvironment(environment);
  return usesRunit(config) && appUser() !== null ? withoutSteering(given) : given;
}

/** A walk through all pages, and whatever else is asked; each is 3 MiB at most. */
const KEPT_ANSWERS = { maxCount: 64, maxBytes: 32 * 1024 * 1024 };

/** The poll note and the cached answers, in the journal's file but not among its facts. */
export function noteStore(journal: Journal, writable: boolean, secrets: () => readonly string[]): { note: EffectDependencies['note']; cache: AnswerCache } {
  const write = (name: string, value: unknown): void => {
    if (writable) journal.writeNote(name, JSON.stringify(redactJson(value, secrets())));
  };
  return {
    note: { read: () => readPollNote(journal), write: (note) => write('poll', note) },
    cache: {
      read: (key) => JSON.parse(journal.readNote(`answer:${key}`) ?? 'null'),
      // Blacked out, it would come back as another answer under the same ETag.
      write: (key, entry) => {
        const text = JSON.stringify(entry);
        if (!writable || withoutSecrets(text, secrets()) !== text) return;
        journal.writeNote(`answer:${key}`, text);
        // Of addresses that are asked no more, and of a server that names ever new ones.
        journal.pruneNotes('answer:', KEPT_ANSWERS);
      },
    },
  };
}

export function readPollNote(journal: Journal): PollNote {
  const parsed = pollNoteSchema.safeParse(JSON.parse(journal.readNote('poll') ?? '{}'));
  return parsed.success ? parsed.data : pollNoteSchema.parse({});
}

export function createGitHub({ config, places, log }: Parts, cache: AnswerCache): { http: Http; github: GitHub } {
  const http = new Http({
    userAgent: `self-update/${programVersion()} (+https://github.com/${places.repository})`,
    apiUrl: config.apiUrl,
    assetHosts: config.assetHosts,
    mayBePlain: config.mayBePlain,
    token: config.token,
    proxyEnvironment: config.proxy,
  });
  const { repository } = places;
  return { http, github: new GitHub({ http, repository, cache, now: Date.now, secrets: config.secrets, debug: log.debug }) };
}

export function assetPatternOf({ assetGlob: glob }: Config): EffectDependencies['assetPattern'] {
  return glob === null ? null : { glob, matches: globMatcher(glob) };
}

export function appOptionsOf({ config, environment }: Parts, args: readonly string[]): AppOptions {
  const { app, repositoryName, linked } = config;
  return { ...app, repositoryName, args, environment: appEnvironment(environment), linked };
}

export async function createRuntime(parts: Parts, journal: Journal, options: RunOptions): Promise<{ runtime: Runtime; supervisor: Supervisor }> {
  const { config, places, policy, log } = parts;
  const { note: store, cache } = noteStore(journal, true, config.secrets);
  const note: typeof store = {
    read: store.read,
    write: (learnt) => {
      store.write(learnt);
      options.onPolled();
    },
  };
  const { http, github } = createGitHub(parts, cache);
  const supervisor = createSupervisor(parts, options.appOutput);
  const app = appOptionsOf(parts, options.appArgs);
  const keepAppDown = (down: boolean): void => {
    if (usesRunit(config)) keepGateShut(places.root, down);
  };
  const effects = createEffects({
    github,
    http,
    places,
    note,
    supervisor,
    assetPattern: assetPatternOf(config),
    pollIntervalMs: config.pollIntervalMs,
    now: Date.now,
    random: Math.random,
    maxAssetBytes: config.maxAssetBytes,
    stallWindowMs: STALL_WINDOW_MS,
    sealed: new Map(),
    maxUnpackedBytes: config.maxUnpackedBytes,
    maxEntries: config.maxEntries,
    onProgress: options.onProgress,
    warn: log.warn,
    trust: trustOf(config),
    app,
    linked: { ...config.linked, owner: usesRunit(config) ? appUser() : null },
    health: { ...config.health, command: config.health.command ?? (usesRunit(config) ? serviceCheck() : null) },
    environment: commandEnvironment(parts),
    busy: busyOptions(config),
    hooks: { ...config.hooks, directory: places.root, say: log.info, keepAppDown },
    stop: config.stop,
    keptTrees: config.keptTrees,
    versionFiles: usesRunit(config) ? [IMAGE_VERSION_FILE] : [],
  });
  const runtime = await Runtime.open({
    journal,
    effects,
    policy,
    inboxDir: inboxDir(places),
    pollIntervalMs: config.pollIntervalMs,
    firstCheckTimeoutMs: config.firstCheckTimeoutMs,
    nextPollAt: () => nextPollAt(note.read(), config.pollIntervalMs, Date.now(), github.identity),
    observeWorld: () => readWorld(places),
    observeFloor: () => highestKept(places),
    observeApp: () => adoptApp(supervisor, app, log),
    exitAgesMs: () => supervisor.exitAgesMs(),
    isTreeThere: (tree) => isTreeThere(tree, places),
    isBusy: () => busySince(busyOptions(config), Date.now()) !== null,
    busyLookMs: options.once ? BUSY_LOOK_ONCE_MS : BUSY_LOOK_MS,
    now: Date.now,
    random: Math.random,
    log,
    onRecord: options.onRecord,
    secrets: config.secrets,
  });
  // Left by a crash after the hook was done.
  if (!runtime.state.snapshot.matches({ bringingUp: 'migrating' })) keepAppDown(false);
  return { runtime, supervisor };
}

function busyOptions(config: Config): BusyOptions {
  return { ...config.busy, owner: usesRunit(config) ? appUser() : null };
}

export function trustOf({ trust }: Config): TrustOptions {
  return {
    ...trust,
    attestation: trust.attestation === null ? null : { ...trust.attestation, trustedRoot: () => trustedRoot(trust.attestation?.rootFile ?? null) },
  };
}

async function trustedRoot(file: string | null): Promise<unknown> {
  return file === null ? (await import('../trust/roots.ts')).PUBLIC_GOOD_ROOT : JSON.parse(readRoot(file));
}

/** `auto` is the container's runit where its init is at work. A second app in one container asks for `embedded`. */
export function usesRunit({ supervisor }: Config): boolean {
  return supervisor === 'runit' || (supervisor === 'auto' && isInContainer());
}

export function createSupervisor({ config, places, log, environment }: Parts, output: 'inherit' | 'file'): Supervisor {
  const { stop } = config;
  if (!usesRunit(config)) return new EmbeddedSupervisor({ directory: places.root, environment: appEnvironment(environment), output, stop, log: log.warn });
  if (!isInContainer())
    throw new Fault('SUPERVISOR_MISSING', 'UPDATE_SUPERVISOR=runit, but this is not the container, or its init does not run: leave the setting out');
  return new RunitSupervisor({ currentTree: async () => (await readWorld(places)).current?.path ?? null, stop });
}

/** Whether the app runs. One that outlived an earlier updater is adopted: watched, and restarted when it ends. */
async function adoptApp(supervisor: Supervisor, app: AppOptions, log: Log): Promise<boolean> {
  const tree = await supervisor.observe();
  if (tree === null) return false;
  try {
    await supervisor.start(tree, await appCommand(tree, app));
  } catch (error) {
    log.warn(`the app runs from ${tree}, and can't be restarted from there: ${(error as Error).message}`);
  }
  return true;
}

/** What the image says about itself; nothing elsewhere. */
export function imageInfo(): ImageInfo {
  try {
    const { version, created } = JSON.parse(readBounded('/usr/share/self-update/image.json', MAX_NOTE_BYTES).toString('utf8')) as Partial<ImageInfo>;
    return { version: version ?? null, created: created ?? null };
  } catch {
    return { version: null, created: null };
  }
}

export function programVersion(): string {
  if (typeof BUNDLED_VERSION === 'string') return BUNDLED_VERSION;
  const file = path.join(import.meta.dirname, '..', '..', 'package.json');
  return (JSON.parse(readBounded(file, MAX_NOTE_BYTES).toString('utf8')) as { version: string }).version;
}

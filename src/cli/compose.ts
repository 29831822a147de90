/** The composition root: the one place where configuration, effects, journal and runtime meet. */
import { existsSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { addressHeld } from '../effects/address-held.ts';
import { type BusyOptions, busySince } from '../effects/busy.ts';
import { STALL_WINDOW_MS } from '../effects/download.ts';
import { type AppOptions, appCommand } from '../effects/entry-point.ts';
import { withFleetId } from '../effects/fleet-id.ts';
import { FleetLockServer } from '../effects/fleet-lock-server.ts';
import { createEffects } from '../effects/index.ts';
import {
  appUser,
  hasSlots,
  isInContainer,
  keepGateShut,
  serviceCheck,
} from '../effects/supervisor/container.ts';
import { EmbeddedSupervisor } from '../effects/supervisor/embedded.ts';
import { HeldSockets } from '../effects/supervisor/held-sockets.ts';
import { PairSupervisor } from '../effects/supervisor/pair.ts';
import { runRecordFile } from '../effects/supervisor/run-record.ts';
import { RunitSupervisor } from '../effects/supervisor/runit.ts';
import type { Slot, SlotName, Supervisor } from '../effects/supervisor/supervisor.ts';
import {
  currentLink,
  highestKept,
  inboxDir,
  isTreeThere,
  linkedPath,
  readWorld,
} from '../effects/trees.ts';
import type { Journal } from '../journal/journal.ts';
import type { JournalRecord } from '../journal/record.ts';
import { pollSpread } from '../machines/pacing.ts';
import { nextPollAt } from '../machines/poll-note.ts';
import type { State } from '../runtime/fold.ts';
import { Runtime } from '../runtime/runtime.ts';
import { Fault } from '../support/fault.ts';
import type { Log } from '../support/log.ts';
import { appEnvironment, withoutSteering } from './environment.ts';
import { noteStore } from './notes.ts';
import { assetPatternOf, type Parts } from './parts.ts';
import { trustOf } from './rules.ts';
import { createSource, userAgentOf } from './sources.ts';

/**
 * How often a busy app is looked at: by a resident updater, and by one that is started for it. The
 * container's loop sees for itself when the file goes.
 */
const BUSY_LOOK_MS = 1000;
const BUSY_LOOK_ONCE_MS = 60_000;
/** Baked with the image's tag, and rewritten where that is possible. */
const IMAGE_VERSION_FILE = '/version';

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

/**
 * What hooks, checks and notification commands are given. They run as our user, which in the
 * container may not be the app's.
 */
export function commandEnvironment({
  config,
  environment,
}: Pick<Parts, 'config' | 'environment'>): Record<string, string> {
  const given = appEnvironment(environment);
  return usesRunit(config) && appUser() !== null ? withoutSteering(given) : given;
}

export function appOptionsOf({ config, environment }: Parts, args: readonly string[]): AppOptions {
  const { app, repositoryName, linked } = config;
  return { ...app, repositoryName, args, environment: appEnvironment(environment), linked };
}

export async function createRuntime(
  parts: Parts,
  journal: Journal,
  options: RunOptions,
): Promise<{ runtime: Runtime; supervisor: Supervisor }> {
  const { config, places, log } = parts;
  const policy = await withFleetId(parts.policy, places, log.warn);
  const { note: store, cache } = noteStore(journal, true, config.secrets);
  const note: typeof store = {
    read: store.read,
    write: (learnt) => {
      store.write(learnt);
      options.onPolled();
    },
  };
  const source = createSource(parts, cache);
  const supervisor = createSupervisor(parts, options.appOutput);
  const pair = supervisor instanceof PairSupervisor ? supervisor : null;
  supervisor.holdSockets();
  const app = appOptionsOf(parts, options.appArgs);
  const keepAppDown = (down: boolean): void => {
    if (usesRunit(config)) keepGateShut(places.root, down);
  };
  const heldPorts = config.held.sockets.map(({ port }) => port);
  const { isPreloaded } = config.held;
  const effects = createEffects({
    source,
    places,
    note,
    supervisor,
    pair,
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
    health: {
      ...config.health,
      command: config.health.command ?? (usesRunit(config) ? serviceCheck() : null),
    },
    ownHealthCommand: config.health.command,
    environment: commandEnvironment(parts),
    heldPorts,
    isPreloaded,
    busy: busyOptions(config),
    fleet: new FleetLockServer({
      url: config.fleet.url,
      proxy: config.proxy,
      userAgent: userAgentOf(parts),
    }),
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
    nextPollAt: () =>
      nextPollAt(
        note.read(),
        config.pollIntervalMs,
        Date.now(),
        source.identity,
        pollSpread(policy),
      ),
    pollTrouble: () => note.read().lastError,
    observeWorld: () => readWorld(places),
    observeFloor: () => highestKept(places),
    observeApp: async (handsOver) => {
      const isUp = await adoptApp(supervisor, app, log);
      // What an earlier updater left beside the app, nobody waits for any more. Without the app it
      // serves until that is started.
      // One that can't be ended keeps neither the app nor the operator's commands waiting.
      if (isUp && !handsOver)
        await pair?.stopOther(config.stop).catch((error: Error) => log.warn(error.message));
      return isUp;
    },
    exitAgesMs: () => supervisor.exitAgesMs(),
    explainCrash:
      heldPorts.length === 0
        ? null
        : (version, signal) => addressHeld(version, { supervisor, heldPorts, isPreloaded }, signal),
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

/**
 * `auto` is the container's runit where its init is at work. A second app in one container asks for
 * `embedded`.
 */
export function usesRunit({ supervisor }: Config): boolean {
  return supervisor === 'runit' || (supervisor === 'auto' && isInContainer());
}

export function createSupervisor(
  { config, places, log, environment }: Parts,
  output: 'inherit' | 'file',
): Supervisor {
  const { stop } = config;
  const currentTree = () => linkedPath(places, currentLink(places));
  const paired = (slots: readonly [Slot, Slot]) => new PairSupervisor(slots, { currentTree, stop });
  if (!usesRunit(config)) {
    const held = new HeldSockets(config.held, log.warn);
    const embedded = (slot: SlotName, isServedBeside?: () => boolean) =>
      new EmbeddedSupervisor({
        directory: places.root,
        environment: appEnvironment(environment),
        output,
        stop,
        held,
        slot,
        ...(isServedBeside === undefined ? {} : { isServedBeside }),
        log: log.warn,
      });
    // A copy that outlived an updater is looked for under another strategy too.
    const isPaired =
      config.strategy === 'hand-over' || existsSync(runRecordFile(places.root, 'app2'));
    if (!isPaired) return embedded('app');
    const one: Slot = embedded('app', () => other.running() !== null);
    const other: Slot = embedded('app2', () => one.running() !== null);
    return paired([one, other]);
  }
  if (!isInContainer())
    throw new Fault(
      'SUPERVISOR_MISSING',
      'UPDATE_SUPERVISOR=runit, but this is not the container, or its init does not run: leave the setting out',
    );
  const runit = (slot: SlotName) =>
    new RunitSupervisor({
      currentTree: async () => (await readWorld(places)).current?.path ?? null,
      stop,
      slot,
    });
  return hasSlots() ? paired([runit('app'), runit('app2')]) : runit('app');
}

/**
 * Whether the app runs. One that outlived an earlier updater is adopted: watched, and restarted
 * when it ends.
 */
async function adoptApp(supervisor: Supervisor, app: AppOptions, log: Log): Promise<boolean> {
  const tree = await supervisor.observe();
  if (tree === null) return false;
  try {
    await supervisor.start(tree, await appCommand(tree, app));
  } catch (error) {
    log.warn(
      `the app runs from ${tree}, and can't be restarted from there: ${(error as Error).message}`,
    );
  }
  return true;
}

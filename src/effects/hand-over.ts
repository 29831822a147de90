/**
 * The effects of a hand-over: the new version is started beside the old one, proves itself, and one
 * of the two is stopped.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { InstalledVersion } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import { addressHeld } from './address-held.ts';
import { type AppOptions, appCommand } from './entry-point.ts';
import { availableBytes, residentBytes } from './free-memory.ts';
import { checkHealth, endOf, type ProbationDependencies } from './probation.ts';
import { hasHeldSocket } from './supervisor/held-sockets.ts';
import type { PairSupervisor } from './supervisor/pair.ts';
import type { Exit, StopRequest } from './supervisor/supervisor.ts';
import { assertComplete } from './switch.ts';

export type HandOverDependencies = ProbationDependencies & {
  /** Null where there is one slot only: the strategy is another one. */
  pair: PairSupervisor | null;
  app: AppOptions;
  /** UPDATE_HEALTH_CMD. */
  ownHealthCommand: string | null;
  stop: StopRequest;
};

const LOOK_MS = 20;
/** On a busy machine the finish script comes late. */
const UNTOLD_PATIENCE_MS = 5000;
/** What was trusted before is taken at its word sooner: while it proves itself, a bad one serves. */
const MOMENT_MS = 1000;
/** A second copy may need more than the first one has now. */
const MEMORY_FACTOR = 1.25;

export async function startBeside(
  { target }: EffectInputs['startBeside'],
  deps: HandOverDependencies,
): Promise<Fact> {
  const pair = pairOf(deps);
  assertComplete(target, deps.places);
  if ((await pair.beside())?.tree !== target.path) await assertMemory(pair, target);
  const command = await appCommand(target.path, deps.app);
  const { adopted } = await pair
    .startBeside(target.path, command)
    .catch((error: unknown) => socketLost(error, deps, target));
  return { type: 'startedBeside', version: target.version, adopted };
}

/**
 * The sockets went with an updater that was killed, and no way leads to those that the app has. They
 * are free once it has ended.
 */
async function socketLost(
  error: unknown,
  deps: HandOverDependencies,
  { version }: InstalledVersion,
): Promise<never> {
  const app = await pairOf(deps).app();
  const isAbout = error instanceof Fault && error.code === 'LISTEN_FAILED';
  if (!isAbout || app === null || !hasHeldSocket(app.pid, deps.heldPorts)) throw error;
  throw new Fault(
    'SOCKET_WITH_APP',
    `${version} can't be started beside the app, which alone has the sockets of UPDATE_LISTEN since the updater before this one ended. This time the app is stopped first; connections are refused meanwhile`,
  );
}

/** Out of memory the kernel would choose whom to kill, and that may be the version that serves. */
async function assertMemory(pair: PairSupervisor, { version }: InstalledVersion): Promise<void> {
  const app = await pair.app();
  if (app === null) return;
  const needed = residentBytes(app.pid) * MEMORY_FACTOR;
  const available = availableBytes();
  if (needed <= available) return;
  const inMb = (bytes: number) => `${Math.round(Math.max(bytes, 0) / 1e6)} MB`;
  throw new Fault(
    'NO_MEMORY',
    `${version} can't be started beside the app, for which ${inMb(needed)} are needed (a quarter more than that has now), and ${inMb(available)} are left. Raise the memory limit, or set UPDATE_STRATEGY=download-then-kill`,
  );
}

/**
 * A version is ready by its own word, where it or the one that runs speaks that; else by
 * UPDATE_HEALTH_CMD, which is told its pid; else by having stayed up. An address that is asked over
 * the shared port may be answered by either copy, so UPDATE_HEALTH_URL says nothing here: it is
 * asked in the probation that follows.
 */
export async function observeReadiness(
  { target, probationMs, wasHealthy }: EffectInputs['observeReadiness'],
  signal: AbortSignal,
  given: HandOverDependencies,
): Promise<Fact> {
  const pair = pairOf(given);
  // runit's `./check` asks over the shared port, like UPDATE_HEALTH_URL.
  const health = { ...given.health, command: given.ownHealthCommand };
  const deps = { ...given, health };
  const { version } = target;
  const allowedMs = health.startPeriodMs + probationMs;
  const deadline = performance.now() + allowedMs;
  const enoughAt = performance.now() + (wasHealthy ? Math.min(MOMENT_MS, allowedMs) : allowedMs);
  // On the way back the version that runs is no measure for the one before it.
  const speaks = !wasHealthy && (await pair.app())?.isReady === true;
  let problem: string | null = null;
  let checkAt = 0;
  for (;;) {
    const beside = await pair.beside();
    // Its leader may have ended, and others of it live on.
    if (beside === null || (await pair.endOfBeside()) !== null)
      throw await ended(target, deps, signal);
    if (beside.isReady) return { type: 'becameReady', version, by: 'notification' };
    const now = performance.now();
    if (!speaks && health.command !== null && now >= checkAt) {
      problem = await checkHealth(deps, signal, beside.pid);
      signal.throwIfAborted();
      // It may have ended meanwhile, and the check have been answered by the other one.
      if (problem === null && (await pair.beside())?.pid === beside.pid)
        return { type: 'becameReady', version, by: 'healthCheck' };
      checkAt = performance.now() + Math.min(health.intervalMs, MOMENT_MS);
    }
    if (!speaks && health.command === null && now >= enoughAt)
      return { type: 'becameReady', version, by: 'uptime' };
    // One that lost its library for that word is no worse for it.
    if (now >= deadline && speaks && health.command !== null) {
      problem = await checkHealth(deps, signal, beside.pid);
      if (problem === null) return { type: 'becameReady', version, by: 'healthCheck' };
    }
    if (now >= deadline) throw notReady(version, allowedMs, problem);
    await sleep(LOOK_MS, undefined, { signal });
  }
}

async function ended(
  { version, path }: InstalledVersion,
  deps: HandOverDependencies,
  signal: AbortSignal,
): Promise<Fault> {
  const pair = pairOf(deps);
  const end = endOf(version, await toldEnd(pair, signal));
  if (end.code === 'APP_EXITED') {
    const command = await appCommand(path, deps.app);
    const lastWords = (abort: AbortSignal) => pair.lastWordsBeside(path, command, abort);
    const reason = await addressHeld(version, { ...deps, supervisor: { lastWords } }, signal);
    if (reason !== null) return reason;
  }
  return new Fault(end.code, `${end.message}. The version before it served all along`);
}

/**
 * How it ended decides what follows: one that somebody killed is tried again. The supervisor tells a
 * moment after the end.
 */
async function toldEnd(pair: PairSupervisor, signal: AbortSignal): Promise<Exit> {
  const deadline = performance.now() + UNTOLD_PATIENCE_MS;
  for (;;) {
    const end = await pair.endOfBeside();
    if (end !== null) return end;
    if (performance.now() > deadline) return { exitCode: null, signal: null };
    await sleep(LOOK_MS, undefined, { signal });
  }
}

function notReady(version: string, allowedMs: number, problem: string | null): Fault {
  const seconds = allowedMs / 1000;
  return problem === null
    ? new Fault(
        'NOT_READY',
        `version ${version} did not say READY=1 within ${seconds} s (UPDATE_PROBATION), as the version before it did`,
      )
    : new Fault(
        'UNHEALTHY',
        `version ${version} did not pass UPDATE_HEALTH_CMD within ${seconds} s (UPDATE_PROBATION): ${problem}`,
      );
}

export async function stopOtherCopy(deps: HandOverDependencies): Promise<Fact> {
  const startedAt = performance.now();
  const stopped = await deps.pair?.stopOther(deps.stop, (tree) => appCommand(tree, deps.app));
  const durationMs = Math.round(performance.now() - startedAt);
  return { type: 'otherCopyStopped', killed: stopped?.killed ?? false, durationMs };
}

/** The strategy was changed in the middle of a hand-over, and the next attempt goes by the new one. */
function pairOf({ pair }: HandOverDependencies): PairSupervisor {
  if (pair === null)
    throw new Fault(
      'SUPERVISOR_MISSING',
      'there is no second place for a copy of the app: UPDATE_STRATEGY is not hand-over any more',
    );
  return pair;
}

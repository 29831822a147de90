/** The questions the machine asks before it moves. Pure predicates over (context, fact). */
import type { Context } from './context.ts';
import { MAX_INTERRUPTIONS } from './failure.ts';
import type { InstalledVersion, World } from './model.ts';
import { compareVersions } from './version.ts';

/** Denied in the journal, or by the environment: a lost volume loses only the former. */
export function isDenied(
  { denied, policy }: Pick<Context, 'denied' | 'policy'>,
  version: string,
  print: string | null,
): boolean {
  if (policy.denied.includes(version)) return true;
  return denied.some(
    (denial) =>
      denial.version === version && (denial.fingerprint === null || denial.fingerprint === print),
  );
}

/**
 * The client's order stops a running app before the download; a failure after the stop ends that
 * for this release.
 */
export function stopsFirst({ policy, app, candidate }: Context): boolean {
  return (
    policy.strategy === 'kill-then-download' &&
    app === 'up' &&
    candidate !== null &&
    !candidate.downloadFirst
  );
}

/**
 * What is to be run, the best first: what is linked, what was good, what was linked before, what
 * the image brings. The one order, also where only the disk is known (`whatToRun` in
 * src/effects/trees.ts). docker/service/app/run has it in shell, and a test holds the two together.
 */
export function runOrder({
  current,
  lastGood,
  previous = null,
  baked,
}: World & { previous?: InstalledVersion | null }): InstalledVersion[] {
  return [current, lastGood, previous, baked].filter((version) => version !== null);
}

/** What to run when nothing newer is to be had: by that order, what failed or is denied last. */
export function fallback(context: Context): InstalledVersion | null {
  const { baked, failedPaths } = context;
  const order =
    baked !== null && bakedIsNewer(context) ? [baked, ...runOrder(context)] : runOrder(context);
  const complete = order.filter((version) => !failedPaths.includes(version.path));
  return (
    complete.find((version) => !isDenied(context, version.version, version.fingerprint)) ??
    complete[0] ??
    null
  );
}

/**
 * What a version that does not prove itself gives way to: never one that is denied, or two bad ones
 * would take turns.
 */
function rollbackTarget(context: Context): InstalledVersion | null {
  const { verdict } = context;
  const bad = context.current?.path;
  // What came back has been good before; its fate decides about the version that was denied.
  if (bad === undefined || (verdict !== null && bad !== verdict.installed.path)) return null;
  const target = fallback({ ...context, failedPaths: [...context.failedPaths, bad] });
  return target === null || isDenied(context, target.version, target.fingerprint) ? null : target;
}

/**
 * Whether the operator lets a bad version give way by itself, and there is one that it can give way
 * to.
 */
export function mayRollBack(context: Context): boolean {
  return context.policy.rollback === 'auto' && rollbackTarget(context) !== null;
}

/** Whether the release at hand is started beside the app, which then gives its place to it. */
export function handsOver({ policy, app, candidate, installed }: Context): boolean {
  return (
    policy.strategy === 'hand-over' &&
    app === 'up' &&
    candidate?.takesTurns === false &&
    installed !== null
  );
}

/**
 * Whether a version that does not prove itself serves until the one before it can: it has to be
 * alive for that. One that ended is stopped, which is quicker.
 */
export function handsOverBack(context: Context, code: string): boolean {
  return context.policy.strategy === 'hand-over' && code === 'UNHEALTHY' && mayRollBack(context);
}

/** Whether a version that crash-loops gives way to another one, or to a pause. */
export function givesWay(context: Context, code: string): boolean {
  // Each loop of vanished files uses up a version. With none linked there is nothing to forget: the
  // same app would be stopped and started.
  if (code === 'TREE_MISSING') return context.current !== null;
  // Sockets are held since then: any other version would probably end in the same way.
  if (code === 'ADDRESS_HELD' && context.provenHeld !== context.policy.held) return false;
  // An operator's choice stands, and is only reported; but files that are gone can't run.
  return context.hold === null && mayRollBack(context);
}

/** Five unexpected exits in five minutes are a crash loop, at any time after the start. */
export const CRASH_LOOP_EXITS = 5;
const CRASH_LOOP_WINDOW_MS = 5 * 60 * 1000;

/**
 * `exitAgesMs`: how long ago the app exited unexpectedly, each time since the updater last started
 * it.
 */
export function isCrashLoop(exitAgesMs: readonly number[]): boolean {
  return exitAgesMs.filter((age) => age <= CRASH_LOOP_WINDOW_MS).length >= CRASH_LOOP_EXITS;
}

/**
 * A newer image over an older volume: its version wins, unless the operator holds one or it failed
 * here before.
 */
function bakedIsNewer(context: Context): boolean {
  const { baked, current, hold, policy, app } = context;
  if (app !== 'booting' || baked === null || hold !== null || policy.tag !== null) return false;
  if (isDenied(context, baked.version, baked.fingerprint)) return false;
  return current === null || compareVersions(baked.version, current.version, policy.versioning) > 0;
}

export function isInterruptedTooOften({ candidate }: Context): boolean {
  return candidate !== null && candidate.interruptions >= MAX_INTERRUPTIONS;
}

/**
 * A version under which the updater alone dies so often, before it is judged, has failed: the app
 * was up, so it was no power cut.
 */
const MAX_KILLS_ON_PROBATION = 3;
/** Likewise where everything ended: restarts and power cuts in a row, each within one probation. */
const MAX_ENDS_ON_PROBATION = 5;

/**
 * Why a version whose probation was cut short counts as failed; null while it gets another. See ADR
 * 26.
 */
export function cutShortTooOften({
  current,
  cutShort,
}: Context): { code: string; message: string } | null {
  if (current === null || cutShort?.path !== current.path) return null;
  const { version } = current;
  const { kills, ends } = cutShort;
  const remedy = `Give the container more memory, then \`self-update retry ${version}\``;
  if (kills >= MAX_KILLS_ON_PROBATION)
    return {
      code: 'UPDATER_KILLED',
      message: `the updater was killed ${kills} times while version ${version} was on probation: probably out of memory. ${remedy}`,
    };
  if (ends >= MAX_ENDS_ON_PROBATION)
    return {
      code: 'UPDATER_KILLED',
      message: `everything ended ${ends} times in a row while version ${version} was on probation: it probably takes the container down by its memory use. ${remedy}`,
    };
  return null;
}

/**
 * Trees that may be needed again, and those that failed here: these go at once. What is linked
 * stays whatever is said here.
 */
export function sortTrees(context: Context): { keep: string[]; reject: string[] } {
  const { current, lastGood, previous } = context;
  const known = [current, lastGood, previous].filter((version) => version !== null);
  const failed = known.filter((version) => isDenied(context, version.version, version.fingerprint));
  const paths = (versions: InstalledVersion[]) => [...new Set(versions.map(({ path }) => path))];
  return {
    keep: paths(known.filter((version) => !failed.includes(version))),
    reject: paths(failed),
  };
}

/** Whether what was just started has yet to prove itself. */
export function isUnproven({ current, lastGood, verdict }: Context): boolean {
  return current !== null && (current.path !== lastGood?.path || verdict !== null);
}

/**
 * Whether the slot is to be given back; asked at rest. The version that it was taken for keeps it
 * until it has proved itself, and so does an app that is down.
 */
export function owesFleetLock(context: Context, isSettled: boolean): boolean {
  const { fleetLock, policy, app, current } = context;
  if (policy.fleet === null || fleetLock === null || fleetLock.failure !== null) return false;
  // It is asked for again in minutes: to give back what it may be, to a server that does not
  // answer, would be most of what a fleet asks of it.
  if (context.candidate?.deferral?.inhibitors.some(({ reason }) => reason === 'fleet'))
    return false;
  const isForIt = fleetLock.version === current?.version;
  return app === 'up' && (isSettled || !isForIt || !isUnproven(context));
}

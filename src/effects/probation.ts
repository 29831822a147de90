/**
 * `observeProbation`: the version has to stay up, and to answer where a health check is set, as
 * Docker's HEALTHCHECK means it.
 */
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import { remainingMs } from '../machines/pacing.ts';
import { Fault } from '../support/fault.ts';
import { addressHeld } from './address-held.ts';
import { runCommandLine } from './command.ts';
import { loadGot } from './packages.ts';
import type { Exit, Supervisor } from './supervisor/supervisor.ts';
import { markLastGood } from './switch.ts';
import type { Places } from './trees.ts';

export type HealthOptions = {
  url: string | null;
  command: string | null;
  startPeriodMs: number;
  intervalMs: number;
  timeoutMs: number;
  retries: number;
};
export type ProbationDependencies = {
  supervisor: Supervisor;
  places: Places;
  health: HealthOptions;
  environment: Readonly<Record<string, string>>;
  /** The ports of the sockets that are held for the app. */
  heldPorts: readonly number[];
  /** By a Node app's own listen(), UPDATE_LISTEN_NODE. */
  isPreloaded?: boolean;
  now: () => number;
};

/**
 * The supervisor pauses for a second before it starts an app again that ended; on a busy machine
 * that takes longer.
 */
const RESTART_PATIENCE_MS = 10_000;
const RESTART_LOOK_MS = 50;
/** An end is told by the supervisor soon after it; how it ended decides what follows. */
const UNTOLD_PATIENCE_MS = 2000;

/**
 * What the kernel sends for what a program does itself, or asked for. Any other signal was sent by
 * somebody.
 */
const OWN_SIGNALS = new Set(
  [
    'SEGV',
    'ABRT',
    'BUS',
    'ILL',
    'FPE',
    'TRAP',
    'SYS',
    'PIPE',
    'ALRM',
    'VTALRM',
    'PROF',
    'XCPU',
    'XFSZ',
  ].map((name) => `SIG${name}`),
);
const ENDED = new Set(['APP_EXITED', 'APP_KILLED']);

export async function observeProbation(
  { version, startedAt, probationMs, again }: EffectInputs['observeProbation'],
  signal: AbortSignal,
  deps: ProbationDependencies,
): Promise<Fact> {
  const { supervisor, health, places, now } = deps;
  // The first exit is forgiven, also while the supervisor has yet to record it.
  const forgiven = again ? Math.max(1, supervisor.exitAgesMs().length) : 0;
  if (again) await untilRestarted(supervisor, version, forgiven, signal);
  const begunAt = again ? now() : startedAt;
  const total = health.startPeriodMs + probationMs;
  const left = remainingMs(begunAt + total, now(), total);
  const ending = new AbortController();
  const both = AbortSignal.any([signal, ending.signal]);
  try {
    await Promise.race([
      exits(supervisor, version, forgiven, both),
      survives(left, version, deps, begunAt, both),
    ]);
    // An end in the last moment may not have been told yet.
    if (!(await supervisor.isAlive()) || supervisor.exitAgesMs().length > forgiven) {
      const untold = sleep(UNTOLD_PATIENCE_MS, undefined, { signal: both }).then(() =>
        Promise.reject(exited(version, 'it is gone')),
      );
      await Promise.race([exits(supervisor, version, forgiven, both), untold]);
    }
  } catch (error) {
    if (!(error instanceof Fault) || !ENDED.has(error.code)) throw error;
    if (again) {
      const reason = error.code === 'APP_EXITED' ? await addressHeld(version, deps, signal) : null;
      throw reason ?? error;
    }
    return {
      type: 'appExitedEarly',
      version,
      code: error.code,
      message: `${error.message}. Restarting it once before it is judged`,
    };
  } finally {
    ending.abort();
  }
  await markLastGood(places);
  return { type: 'versionBecameHealthy', version };
}

/**
 * Resolves when it runs again, or has ended again: one that lives for milliseconds may never be
 * seen alive.
 */
async function untilRestarted(
  supervisor: Supervisor,
  version: string,
  forgiven: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + RESTART_PATIENCE_MS;
  while (supervisor.exitAgesMs().length <= forgiven && !(await supervisor.isAlive())) {
    if (performance.now() > deadline) throw exited(version, 'and could not be started again');
    await sleep(RESTART_LOOK_MS, undefined, { signal });
  }
}

async function exits(
  supervisor: Supervisor,
  version: string,
  forgiven: number,
  signal: AbortSignal,
): Promise<never> {
  throw endOf(version, await supervisor.nextExit(signal, forgiven));
}

/** An end that nobody asked for, as what it says about the version: APP_EXITED, or APP_KILLED. */
export function endOf(version: string, exit: Exit): Fault {
  const killedBy = signalOf(exit);
  if (killedBy !== null && !OWN_SIGNALS.has(killedBy)) return killed(version, killedBy);
  return exited(
    version,
    killedBy ?? (exit.exitCode === null ? 'of unknown status' : `status ${exit.exitCode}`),
  );
}

/** The signal that ended it; a shell in front of it exits with 128 and the signal's number. */
function signalOf({ exitCode, signal }: Exit): string | null {
  if (signal !== null || exitCode === null) return signal;
  return (
    Object.entries(os.constants.signals).find(([, number]) => exitCode === 128 + number)?.[0] ??
    null
  );
}

/**
 * Denial of a fix: another process, or the OOM killer, ends each new version. That says nothing
 * about the version.
 */
function killed(version: string, by: string): Fault {
  const remedy =
    'out of memory, or another process did it: see the memory limit, and the kernel log';
  return new Fault(
    'APP_KILLED',
    `version ${version} was killed by ${by} during probation, not by the updater: probably ${remedy}`,
  );
}

function exited(version: string, how: string): Fault {
  return new Fault(
    'APP_EXITED',
    `version ${version} exited during probation (${how}): see its own output for the reason`,
  );
}

async function survives(
  leftMs: number,
  version: string,
  deps: ProbationDependencies,
  startedAt: number,
  signal: AbortSignal,
): Promise<void> {
  const { health, now } = deps;
  if (health.url === null && health.command === null) return sleep(leftMs, undefined, { signal });
  const deadline = performance.now() + leftMs;
  let healthy = false;
  let failures = 0;
  // One check must succeed, and they must not fail `retries` times in a row once the start period
  // is over.
  while (!healthy || performance.now() < deadline) {
    const problem = await checkHealth(deps, signal, deps.supervisor.running()?.pid ?? null);
    signal.throwIfAborted();
    const starting =
      remainingMs(startedAt + health.startPeriodMs, now(), health.startPeriodMs) > 0 && !healthy;
    healthy = problem === null;
    failures = problem === null || starting ? 0 : failures + 1;
    if (failures >= health.retries)
      throw new Fault(
        'UNHEALTHY',
        `version ${version} failed its health check ${failures} times in a row (${problem})`,
      );
    const pause = starting && !healthy ? Math.min(health.intervalMs, 1000) : health.intervalMs;
    await sleep(
      healthy ? Math.min(pause, Math.max(deadline - performance.now(), 0)) : pause,
      undefined,
      { signal },
    );
  }
}

/** Null when healthy, else what was wrong. `pid`: of the copy that is asked about. */
export async function checkHealth(
  { health, environment, places }: ProbationDependencies,
  signal: AbortSignal,
  pid: number | null,
): Promise<string | null> {
  const { url, command, timeoutMs } = health;
  try {
    if (url !== null) {
      const status = await statusOf(url, timeoutMs, signal);
      // A redirect is most often one to a page that says sorry.
      if (status < 200 || status > 299) return `status ${status}`;
    } else if (command !== null) {
      const line = {
        command,
        name: 'health',
        directory: places.root,
        environment: { ...environment, ...(pid === null ? {} : { UPDATE_APP_PID: `${pid}` }) },
        timeoutMs,
        onOutput: null,
        input: null,
      };
      const outcome = await runCommandLine(line, signal);
      if (outcome === 'late')
        return `the command took longer than ${timeoutMs / 1000} s (UPDATE_HEALTH_TIMEOUT)`;
      if (outcome !== 0)
        return outcome === null
          ? 'the command was killed'
          : `the command exited with status ${outcome}`;
    }
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The status of an answer, judged by its head: the body may have no end, and is dropped unread. */
async function statusOf(url: string, timeoutMs: number, signal: AbortSignal): Promise<number> {
  const { default: got } = await loadGot();
  const request = got.stream(url, {
    timeout: { request: timeoutMs },
    retry: { limit: 0 },
    signal,
    followRedirect: false,
    throwHttpErrors: false,
    decompress: false,
  });
  try {
    return await new Promise<number>((resolve, reject) => {
      request.once('response', (response: { statusCode: number }) => resolve(response.statusCode));
      request.once('error', reject);
    });
  } finally {
    request.on('error', () => {});
    request.destroy();
  }
}

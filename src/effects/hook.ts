/** `runHook`: the operator's command in a process group of its own, bounded in time, its output in the log, nothing of ours in its environment. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { HookName } from '../machines/model.ts';
import { Fault } from '../support/fault.ts';
import { LineReader } from './lines.ts';
import { loadExeca } from './packages.ts';
import { HOOK_MARKER, markedProcesses, sendSignal } from './supervisor/process-table.ts';
import type { StopRequest, Supervisor } from './supervisor/supervisor.ts';

/** sysexits(3) EX_TEMPFAIL: from a pre-stop hook, "not now". */
const NOT_NOW = 75;
/** After TERM a hook may clean up for so long, then its whole group is killed. */
const GRACE_MS = 2000;
const LOOK_EVERY_MS = 20;
/** What was left in the background may hold the streams open. */
const LAST_LINES_WITHIN_MS = 250;

const NAMES: Record<HookName, string> = { preStop: 'pre-stop', preStart: 'pre-start', postUpdate: 'post-update' };
const CODES: Record<HookName, string> = { preStop: 'PRE_STOP_HOOK_FAILED', preStart: 'PRE_START_HOOK_FAILED', postUpdate: 'POST_UPDATE_HOOK_FAILED' };

export type HookDependencies = {
  hooks: {
    commands: Readonly<Record<HookName, string | null>>;
    timeoutMs: number;
    /** UPDATE_DIR, which the marker names. */
    directory: string;
    say: (line: string) => void;
    /** Told before a pre-start hook begins: nobody else is to start the app meanwhile. And after it ended. */
    keepAppDown: (down: boolean) => void;
  };
  supervisor: Pick<Supervisor, 'stop'>;
  stop: StopRequest;
  environment: Readonly<Record<string, string>>;
  random: () => number;
};

export async function runHook(input: EffectInputs['runHook'], signal: AbortSignal, deps: HookDependencies): Promise<Fact> {
  const { hook } = input;
  const { commands, keepAppDown } = deps.hooks;
  const command = commands[hook];
  const startedAt = performance.now();
  const succeeded = (): Fact => ({ type: 'hookSucceeded', hook, durationMs: Math.round(performance.now() - startedAt) });
  // The configuration changed since it was asked for.
  if (command === null) return succeeded();
  if (hook === 'preStart') keepAppDown(true);
  try {
    // Never two: the updater that began it may have been killed, and it lived on.
    await endHook(deps.hooks.directory, hook);
    // An updater that failed in the middle may have had the app started again meanwhile: its data is not changed under it.
    if (hook === 'preStart') await deps.supervisor.stop(deps.stop);
    const status = await perform(command, input, signal, deps);
    if (status === NOT_NOW && hook === 'preStop')
      return { type: 'interruptionDeferred', code: 'HOOK_DEFERRED', message: 'the pre-stop hook said "not now" (status 75)', jitter: deps.random() };
    if (status !== 0) throw failed(hook, status === null ? 'was killed' : `ended with status ${status}`);
    return succeeded();
  } finally {
    if (hook === 'preStart') keepAppDown(false);
  }
}

/** Its exit status; null when a signal ended it. Throws `Fault` when its time is up. */
async function perform(command: string, { hook, from, to, reason, tree }: EffectInputs['runHook'], signal: AbortSignal, deps: HookDependencies) {
  const { timeoutMs, directory, say } = deps.hooks;
  const lines = new LineReader((line) => say(`${NAMES[hook]} hook: ${line}`));
  const env = {
    ...deps.environment,
    UPDATE_HOOK: NAMES[hook],
    UPDATE_FROM: from ?? '',
    UPDATE_TO: to,
    UPDATE_REASON: reason,
    UPDATE_TREE: tree ?? '',
    [HOOK_MARKER]: `${directory}:${hook}`,
  };
  const { execa } = await loadExeca();
  const child = execa('/bin/sh', ['-c', command], { env, extendEnv: false, detached: true, cleanup: false, reject: false, buffer: false, stdin: 'ignore' });
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => lines.push(chunk));
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  // What it left in the background may hold its streams open, and is not waited for.
  const exited = new Promise<number | null>((resolve) => {
    child.nodeChildProcess.once('exit', (code: number | null) => resolve(code));
    child.nodeChildProcess.once('error', () => resolve(127));
  });
  const closed = once(child.nodeChildProcess, 'close');
  closed.catch(() => {});
  const aborted = new Promise<'aborted'>((resolve) => bounded.addEventListener('abort', () => resolve('aborted'), { once: true }));
  const outcome = await Promise.race([exited, aborted]);
  if (outcome === 'aborted') await endHook(directory, hook, child.pid);
  // Its last lines may still be on their way when it has ended.
  else await Promise.race([closed, sleep(LAST_LINES_WITHIN_MS)]);
  lines.end();
  signal.throwIfAborted();
  if (outcome === 'aborted') throw failed(hook, `took longer than ${timeoutMs / 1000} s and was ended (UPDATE_HOOK_TIMEOUT)`);
  return outcome;
}

function failed(hook: HookName, how: string): Fault {
  const consequence = { preStop: 'the app is not interrupted now', preStart: 'the new version is not started', postUpdate: 'the version stays' }[hook];
  return new Fault(CODES[hook], `the ${NAMES[hook]} hook ${how}: see its output in the log; ${consequence}`);
}

/** Asks all of a hook's processes to end, then kills them: also those that an earlier updater left. */
async function endHook(directory: string, hook: HookName, group?: number): Promise<void> {
  const remaining = () => markedProcesses(directory, HOOK_MARKER).filter(({ marker }) => marker === hook);
  const signalAll = (name: NodeJS.Signals) => {
    if (group !== undefined) sendSignal(-group, name);
    for (const { pid } of remaining()) sendSignal(pid, name);
  };
  if (group === undefined && remaining().length === 0) return;
  signalAll('SIGTERM');
  const deadline = performance.now() + GRACE_MS;
  while (remaining().length > 0 && performance.now() < deadline) await sleep(LOOK_EVERY_MS);
  signalAll('SIGKILL');
}

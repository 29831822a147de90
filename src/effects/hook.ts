/**
 * `runHook`: the operator's command, limited in time, its output logged, no setting of the updater
 * in its environment.
 */
import type { EffectInputs } from '../machines/effects.ts';
import type { Fact } from '../machines/facts.ts';
import type { HookName } from '../machines/model.ts';
import { LineReader } from '../support/bounded.ts';
import { Fault } from '../support/fault.ts';
import { runCommandLine } from './command.ts';
import type { StopRequest, Supervisor } from './supervisor/supervisor.ts';

/** sysexits(3) EX_TEMPFAIL: from a pre-stop hook, "not now". */
const NOT_NOW = 75;
const NAMES: Record<HookName, string> = {
  preStop: 'pre-stop',
  preStart: 'pre-start',
  postUpdate: 'post-update',
};
const CODES: Record<HookName, string> = {
  preStop: 'PRE_STOP_HOOK_FAILED',
  preStart: 'PRE_START_HOOK_FAILED',
  postUpdate: 'POST_UPDATE_HOOK_FAILED',
};

export type HookDependencies = {
  hooks: {
    commands: Readonly<Record<HookName, string | null>>;
    timeoutMs: number;
    /** UPDATE_DIR, which the marker names. */
    directory: string;
    say: (line: string) => void;
    /**
     * Told before a pre-start hook begins: nobody else is to start the app meanwhile. And after it
     * ended.
     */
    keepAppDown: (down: boolean) => void;
  };
  supervisor: Pick<Supervisor, 'stop'>;
  stop: StopRequest;
  environment: Readonly<Record<string, string>>;
  random: () => number;
};

export async function runHook(
  input: EffectInputs['runHook'],
  signal: AbortSignal,
  deps: HookDependencies,
): Promise<Fact> {
  const { hook } = input;
  const { commands, keepAppDown } = deps.hooks;
  const command = commands[hook];
  const startedAt = performance.now();
  const succeeded = (): Fact => ({
    type: 'hookSucceeded',
    hook,
    durationMs: Math.round(performance.now() - startedAt),
  });
  // The configuration changed since it was asked for.
  if (command === null) return succeeded();
  if (hook === 'preStart') keepAppDown(true);
  try {
    // An updater that failed in the middle may have had the app started again meanwhile: its data
    // is not changed under it.
    if (hook === 'preStart') await deps.supervisor.stop(deps.stop);
    const status = await perform(command, input, signal, deps);
    if (status === NOT_NOW && hook === 'preStop')
      return {
        type: 'interruptionDeferred',
        code: 'HOOK_DEFERRED',
        message: 'the pre-stop hook said "not now" (status 75)',
        jitter: deps.random(),
      };
    if (status !== 0)
      throw failed(hook, status === null ? 'was killed' : `exited with status ${status}`);
    return succeeded();
  } finally {
    if (hook === 'preStart') keepAppDown(false);
  }
}

/** Its exit status; null when a signal ended it. Throws `Fault` when its time is up. */
async function perform(
  command: string,
  { hook, from, to, reason, tree }: EffectInputs['runHook'],
  signal: AbortSignal,
  deps: HookDependencies,
) {
  const { timeoutMs, directory, say } = deps.hooks;
  const lines = new LineReader((line) => say(`${NAMES[hook]} hook: ${line}`));
  const environment = {
    ...deps.environment,
    UPDATE_HOOK: NAMES[hook],
    UPDATE_FROM: from ?? '',
    UPDATE_TO: to,
    UPDATE_REASON: reason,
    UPDATE_TREE: tree ?? '',
  };
  const outcome = await runCommandLine(
    {
      command,
      name: hook,
      directory,
      environment,
      timeoutMs,
      onOutput: (chunk) => lines.push(chunk),
      input: null,
    },
    signal,
  ).finally(() => lines.end());
  if (outcome === 'late')
    throw failed(
      hook,
      `took longer than ${timeoutMs / 1000} s and was killed (UPDATE_HOOK_TIMEOUT)`,
    );
  return outcome;
}

function failed(hook: HookName, how: string): Fault {
  const consequence = {
    preStop: 'the app is not interrupted now',
    preStart: 'the new version is not started',
    postUpdate: 'the version stays',
  }[hook];
  return new Fault(
    CODES[hook],
    `the ${NAMES[hook]} hook ${how}: see its output in the log; ${consequence}`,
  );
}

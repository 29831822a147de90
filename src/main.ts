/**
 * Entry of the program: arguments, configuration, then one command. The only place that knows exit
 * statuses and signals.
 */
import { constants } from 'node:os';
import {
  type Arguments,
  EXIT,
  helpText,
  parseArguments,
  UsageError,
  usageText,
} from './cli/arguments.ts';
import { checkOnly } from './cli/check-only.ts';
import { claimEnvironment } from './cli/environment.ts';
import { programVersion } from './cli/image.ts';
import { createLog } from './cli/log.ts';
import { assertMayRead, assertPlaceIsSafe } from './cli/open-journal.ts';
import { operate } from './cli/operate.ts';
import type { Parts } from './cli/parts.ts';
import { placesOf, policyOf } from './cli/policy.ts';
import { showEvents, showHistory, showReplay, showStatus } from './cli/read.ts';
import { type Observe, run } from './cli/run.ts';
import { showVerify } from './cli/verify.ts';
import { standingWarnings } from './cli/warnings.ts';
import { showIndex } from './cli/write-index.ts';
import { type Config, parseConfig } from './config/config.ts';
import { appUser } from './effects/supervisor/container.ts';
import { toFault } from './support/fault.ts';
import type { Log } from './support/log.ts';
import { guardStream, redact } from './support/redact.ts';
import { neverWait } from './support/terminal.ts';
import { claimUmask } from './support/umask.ts';
import { visible } from './support/visible.ts';

/** What the program's entries call: `main`, in a process whose environment is the updater's own. */
export function start(argv: readonly string[]): Promise<number> {
  // First: the process may start itself anew, and the umask that it was given is the app's.
  const environment = claimEnvironment();
  claimUmask();
  return main(argv, environment);
}

/**
 * Runs one command line to its exit status. `observe` is told of every fact that `run` journals:
 * the inspector's way in.
 */
export async function main(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  observe: Observe = () => {},
): Promise<number> {
  // Whoever read the output may go away (`… | head -1`), and a disk that holds it be full: that is
  // no reason to end.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  let args: Arguments;
  try {
    const invocation = parseArguments(argv);
    if (invocation.kind !== 'run') {
      const text =
        invocation.kind === 'help'
          ? helpText(invocation.command, process.stdout.columns)
          : programVersion();
      process.stdout.write(`${text}\n`);
      return EXIT.done;
    }
    args = invocation.args;
  } catch (error) {
    return usage(error, argv);
  }
  // The publisher's: it needs no settings.
  if (args.command === 'index') return showIndex(args);
  // Seldom, and outside of the image: not loaded, nor in its snapshot.
  if (args.command === 'lint') {
    const { showLint } = await import('./cli/lint.ts');
    const interrupted = new AbortController();
    const interruption = abortOnSignals(interrupted);
    const status = await showLint(args, environment, interrupted.signal).catch((error: unknown) =>
      usage(error, argv),
    );
    return interruption() ?? status;
  }
  if (args.command === 'run') neverWait(process.stderr);
  const result = parseConfig(environment, appUser() !== null);
  if (!result.ok) {
    for (const problem of result.problems)
      process.stderr.write(`update: ${visible(redact(problem, []))} [CONFIGURATION]\n`);
    return EXIT.configuration;
  }
  const { config } = result;
  for (const stream of [process.stdout, process.stderr]) guardStream(stream, config.secrets);
  const log = createLog({
    format: config.logFormat,
    verbose: config.isVerbose,
    now: Date.now,
    secrets: config.secrets,
    write: (line) => process.stderr.write(`${line}\n`),
  });
  if (args.command === 'run')
    for (const name of result.unknown)
      log.warn(`${name} is an unknown setting; a typo? docs/settings.md lists all settings`);
  if (args.command === 'run')
    for (const warning of standingWarnings({ config, environment })) log.warn(warning);
  if (args.command === 'run') warnOfHttp(config, log);
  try {
    return await perform(
      args,
      { config, places: placesOf(config), policy: policyOf(config), log, environment },
      observe,
    );
  } catch (error) {
    const { code, message } = redactFault(error, config.secrets());
    if (args.json)
      process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message } })}\n`);
    log.warn(`${message} [${code}]`);
    if (code === 'UNEXPECTED') log.debug((error as Error).stack ?? '');
    if (code === 'LISTEN_FAILED') return EXIT.cantListen;
    return code === 'LOCKED' ? EXIT.tryAgain : EXIT.failed;
  }
}

function usage(error: unknown, argv: readonly string[]): number {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${usageText(visible(error.message), argv, process.stderr.columns)}\n`);
  return EXIT.usage;
}

/** Long enough that nobody guesses it over a network. */
const MIN_TOKEN_CHARACTERS = 16;

function warnOfHttp({ http }: Config, log: Log): void {
  const secrets = { UPDATE_HTTP_TOKEN: http.token(), UPDATE_WEBHOOK_SECRET: http.webhookSecret() };
  for (const [name, value] of Object.entries(secrets)) {
    if (value === null) continue;
    if (http.address === null)
      log.warn(`${name} is set, but has no effect without UPDATE_HTTP_ADDR`);
    else if (value.length < MIN_TOKEN_CHARACTERS)
      log.warn(`${name} is shorter than ${MIN_TOKEN_CHARACTERS} characters, and can be guessed`);
  }
}

function redactFault(
  error: unknown,
  secrets: readonly string[],
): { code: string; message: string } {
  const { code, message } = toFault(error, 'UNEXPECTED');
  return { code, message: redact(message, secrets) };
}

/** Tells the status by which a shell knows that a signal ended it; null where none came. */
function abortOnSignals(interrupted: AbortController): () => number | null {
  let status: number | null = null;
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => {
      status = 128 + constants.signals[name];
      interrupted.abort();
    });
  return () => status;
}

function perform(args: Arguments, parts: Parts, observe: Observe): Promise<number> | number {
  const interrupted = new AbortController();
  const interruption = args.command === 'run' ? () => null : abortOnSignals(interrupted);
  // Whoever ended it knows, and 1 would say that something is wrong.
  const ended = (error: unknown): number => {
    const status = interruption();
    if (status === null) throw error;
    return status;
  };
  // Who only looks has nobody left to show it to.
  if (args.command === 'status' || args.command === 'events')
    process.stdout.once('error', () => interrupted.abort());
  const { signal } = interrupted;
  assertPlaceIsSafe(parts);
  if (args.command !== 'run') assertMayRead(parts.places);
  switch (args.command) {
    case 'run':
      return run(args, parts, observe);
    case 'check':
      return checkOnly(args, parts, signal).catch(ended);
    case 'status':
      return showStatus(args, parts, signal);
    case 'history':
      return showHistory(args, parts);
    case 'events':
      return showEvents(args, parts, signal);
    case 'replay':
      return showReplay(args, parts);
    case 'verify':
      return showVerify(args, parts, signal).catch(ended);
    case 'update':
    case 'install':
    case 'release':
    case 'restart':
    case 'pause':
    case 'resume':
    case 'approve':
    case 'deny':
    case 'retry':
    case 'fleet':
      return operate(args, parts, signal);
    case 'index':
    case 'lint':
      throw new Error('invariant: done in main');
    default:
      return args.command satisfies never;
  }
}

/** The command line, parsed. `docs/commands.md` says what each command does. */
import { parseArgs } from 'node:util';

/** sysexits(3) where they fit; 100 as dnf check-update. */
export const EXIT = { done: 0, failed: 1, usage: 2, tryAgain: 75, configuration: 78, updateAvailable: 100 } as const;

export const COMMANDS = {
  run: 'keep the app up to date (--once: do what is due, say when to run next, end; --now: check even if none is due)',
  check: 'is there an update? exit 0: no, 100: yes',
  update: 'check and update now (--force: whatever says "not now")',
  install: 'install <tag|file>: this very version, also an older one; it is held (--force: also while the app is busy)',
  release: 'end a hold',
  restart: 'restart the app, no update',
  pause: 'no updates until resume',
  resume: 'end a pause',
  approve: 'approve <version>: it may interrupt the app (UPDATE_APPROVAL)',
  deny: 'deny <version>: never run it',
  retry: 'retry <version>: give a denied version another chance',
  status: 'what runs, what is new, why not now (--watch: live)',
  history: 'the updates so far',
  events: 'the journal (--follow: as it grows)',
  verify: 'compare the installed trees with their manifests; verify [file|tag]: which rules hold for it, and which do not',
  replay: 'fold the journal again (--at N: as it was at fact N)',
} as const;
export type CommandName = keyof typeof COMMANDS;

export type Arguments = {
  command: CommandName;
  operand: string | null;
  once: boolean;
  now: boolean;
  force: boolean;
  json: boolean;
  follow: boolean;
  watch: boolean;
  at: number | null;
  appArgs: string[];
};

/** Which commands need an operand. */
const NEEDS_OPERAND = new Set<CommandName>(['install', 'approve', 'deny', 'retry']);

export class UsageError extends Error {}

export type Invocation = { kind: 'help' } | { kind: 'version' } | { kind: 'run'; args: Arguments };

/** Everything after `--` is the app's. Throws `UsageError`. */
export function parseArguments(argv: readonly string[]): Invocation {
  const split = argv.indexOf('--');
  const ours = split < 0 ? argv : argv.slice(0, split);
  const appArgs = split < 0 ? [] : argv.slice(split + 1);
  const { values, positionals } = parse(ours);
  if (values.help) return { kind: 'help' };
  if (values.version) return { kind: 'version' };
  const [name = 'run', operand = null, ...rest] = positionals;
  if (!Object.hasOwn(COMMANDS, name)) throw new UsageError(`unknown command ${JSON.stringify(name)}`);
  const command = name as CommandName;
  if (rest.length > 0 || (operand !== null && !NEEDS_OPERAND.has(command) && command !== 'verify'))
    throw new UsageError(`${command} does not take ${JSON.stringify(rest[0] ?? operand)}`);
  if (operand === null && NEEDS_OPERAND.has(command)) throw new UsageError(`${command} needs ${command === 'install' ? 'a tag or a file' : 'a version'}`);
  for (const option of ['once', 'now'] as const) if (values[option] && command !== 'run') throw new UsageError(`--${option} belongs to run`);
  if (values.force && command !== 'update' && command !== 'install') throw new UsageError('--force belongs to update and install');
  if (values.follow && command !== 'events') throw new UsageError('--follow belongs to events');
  if (values.watch && command !== 'status') throw new UsageError('--watch belongs to status');
  if (values.at !== undefined && !(command === 'replay' && /^\d{1,15}$/.test(values.at)))
    throw new UsageError('--at belongs to replay and takes the number of a fact');
  return {
    kind: 'run',
    args: {
      command,
      operand,
      once: values.once ?? false,
      now: values.now ?? false,
      force: values.force ?? false,
      json: values.json ?? false,
      follow: values.follow ?? false,
      watch: values.watch ?? false,
      at: values.at === undefined ? null : Number(values.at),
      appArgs,
    },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        once: { type: 'boolean' },
        now: { type: 'boolean' },
        force: { type: 'boolean' },
        json: { type: 'boolean' },
        follow: { type: 'boolean', short: 'f' },
        watch: { type: 'boolean', short: 'w' },
        at: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

export function helpText(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length)) + 2;
  const rows = Object.entries(COMMANDS).map(([name, text]) => `  ${name.padEnd(width)}${text}`);
  return [
    'usage: self-update [command] [--json]',
    '',
    ...rows,
    '',
    'Settings come from the environment: GH_USER and GH_REPO are required, see docs/settings.md.',
  ].join('\n');
}

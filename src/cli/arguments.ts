/** The command line, parsed. `docs/commands.md` says what each command does. */
import { parseArgs } from 'node:util';
import { visible } from '../support/visible.ts';
import { LINT_HELP, LINT_OPTIONS, type LintArguments, lintArguments } from './lint-arguments.ts';
import { table } from './table.ts';

/** sysexits(3) where they fit; 100 as dnf check-update. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  tryAgain: 75,
  /** An address of UPDATE_LISTEN can't be listened on. Also what docker/listen.sh ends with. */
  cantListen: 73,
  configuration: 78,
  updateAvailable: 100,
} as const;

export const COMMANDS = {
  run: 'keep the app up to date until stopped',
  check: 'look for an update; exit status 0: none, 100: available',
  update: 'check and update now',
  install: 'install exactly this version, older ones too, and hold it',
  release: 'end a hold',
  restart: 'restart the app, without an update',
  pause: 'suspend updates until resume',
  resume: 'end a pause',
  approve: 'let a version interrupt the app (UPDATE_APPROVAL)',
  deny: 'never run a version',
  retry: 'allow a denied version again',
  fleet: "`fleet release`: give the fleet's lock back that a failed version keeps",
  status: 'what runs, what is new, why not now',
  history: 'list the updates so far',
  events: 'the journal, one fact a line',
  verify: 'compare the installed trees, or a release or file, with the rules',
  replay: 'rebuild the state from the journal, and check its chain',
  index: 'write releases.json for a directory of TAG/files (UPDATE_SOURCE=directory)',
  lint: 'for publishers: on which platforms a release can be consumed, and what would be refused',
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
} & LintArguments;

/** What a command needs, or may have in brackets. */
const OPERANDS: Partial<Record<CommandName, string>> = {
  install: '<tag|file>',
  approve: '<version>',
  deny: '<version>',
  retry: '<version>',
  fleet: 'release',
  verify: '[tag|file]',
  index: '<directory>',
  lint: '<owner/repo[@tag]|directory>',
};

const MAX_NAME_LENGTH = 255;

const OPTIONS: Partial<Record<CommandName, Record<string, string>>> = {
  run: {
    '--once': 'do what is due, print in how many seconds to run next, and end',
    '--now': 'with --once: check even if no check is due',
  },
  update: { '--force': 'whatever says "not now"' },
  install: { '--force': 'also while the app is busy' },
  status: { '--watch': 'live' },
  events: { '--follow': 'keep printing new ones' },
  replay: { '--at N': 'as it was at fact N' },
  lint: LINT_HELP,
};

export class UsageError extends Error {}

function refuse(problem: string): never {
  throw new UsageError(problem);
}

export type Invocation =
  | { kind: 'help'; command: CommandName | null }
  | { kind: 'version' }
  | { kind: 'run'; args: Arguments };

/** Everything after `--` is the app's. Throws `UsageError`. */
export function parseArguments(argv: readonly string[]): Invocation {
  const split = argv.indexOf('--');
  const ours = split < 0 ? argv : argv.slice(0, split);
  const appArgs = split < 0 ? [] : argv.slice(split + 1);
  const { values, positionals } = parse(ours);
  if (values.help) return { kind: 'help', command: commandIn(argv) };
  if (values.version) return { kind: 'version' };
  const [name = 'run', operand = null, ...rest] = positionals;
  if (!Object.hasOwn(COMMANDS, name))
    throw new UsageError(`unknown command ${JSON.stringify(name)}`);
  const command = name as CommandName;
  if (rest.length > 0 || (operand !== null && OPERANDS[command] === undefined))
    throw new UsageError(`${command} does not take ${JSON.stringify(rest[0] ?? operand)}`);
  if (operand === null && OPERANDS[command]?.startsWith('[') === false)
    throw new UsageError(`${command} needs ${needed(command)}`);
  if (operand !== null) checkOperand(command, operand);
  for (const option of ['once', 'now'] as const)
    if (values[option] && command !== 'run') throw new UsageError(`--${option} belongs to run`);
  if (values.force && command !== 'update' && command !== 'install')
    throw new UsageError('--force belongs to update and install');
  if (values.follow && command !== 'events') throw new UsageError('--follow belongs to events');
  if (values.watch && command !== 'status') throw new UsageError('--watch belongs to status');
  if (values.at !== undefined && !(command === 'replay' && /^\d{1,15}$/.test(values.at)))
    throw new UsageError('--at belongs to replay and takes the number of a fact');
  if (command !== 'lint')
    for (const name of Object.keys(LINT_OPTIONS) as (keyof typeof LINT_OPTIONS)[])
      if (values[name] !== undefined) throw new UsageError(`--${name} belongs to lint`);
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
      ...lintArguments(values, refuse),
    },
  };
}

/**
 * As over HTTP: no tag and no version is longer, or holds what can't be seen. Of a file's path the
 * system is the judge.
 */
function checkOperand(command: CommandName, operand: string): void {
  if (command === 'fleet' && operand !== 'release')
    throw new UsageError(`fleet does not take ${JSON.stringify(operand)}`);
  const isPath =
    (takesFile(command) || command === 'index' || command === 'lint') && operand.includes('/');
  const isFine =
    isPath || (operand !== '' && operand.length <= MAX_NAME_LENGTH && visible(operand) === operand);
  if (isFine) return;
  throw new UsageError(
    `${command} needs ${needed(command)}, of 1 to ${MAX_NAME_LENGTH} visible characters`,
  );
}

function needed(command: CommandName): string {
  if (command === 'fleet') return '`release`';
  if (command === 'index') return 'a directory';
  if (command === 'lint') return 'owner/repo, owner/repo@tag or a directory';
  return takesFile(command) ? 'a tag or a file' : 'a version';
}

const takesFile = (command: CommandName): boolean => OPERANDS[command]?.includes('file') === true;

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
        ...LINT_OPTIONS,
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

/** The command that a line is about, also where the rest of it can't be parsed; null for none. */
function commandIn(argv: readonly string[]): CommandName | null {
  return (argv.find((word) => Object.hasOwn(COMMANDS, word)) as CommandName | undefined) ?? null;
}

/** What is wrong, and the usage of that command alone: more would push it out of the terminal. */
export function usageText(problem: string, argv: readonly string[], columns?: number): string {
  const command = commandIn(argv);
  return [
    `self-update: ${problem}`,
    ...(command === null ? [] : ['', helpText(command, columns)]),
    '',
    'All commands: self-update --help',
  ].join('\n');
}

/** Of one command, or of all; broken to the terminal's `columns`. */
export function helpText(command: CommandName | null = null, columns?: number): string {
  const names = command === null ? (Object.keys(COMMANDS) as CommandName[]) : [command];
  const rows = names.flatMap((name) => [
    [`  ${name} ${OPERANDS[name] ?? ''}`.trimEnd(), COMMANDS[name]],
    ...Object.entries(OPTIONS[name] ?? {}).map(([option, text]) => [`    ${option}`, text]),
  ]);
  return [
    `usage: self-update ${command ?? '[command]'} [--json]`,
    table(['', ''], rows, columns),
    ...(command === null
      ? [
          '',
          'Settings come from the environment: GH_USER and GH_REPO are required.',
          'All settings: docs/settings.md. What a command does: docs/commands.md.',
        ]
      : []),
  ].join('\n');
}

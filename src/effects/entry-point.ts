/**
 * How a tree is started: the operator's command, else its only program, else the one named like the
 * repository.
 */
import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { entryPointMissing, isLibrary } from './entry-advice.ts';
import { MANIFEST_NAME } from './manifest.ts';
import { checkPlatform, headOf, isProgram, type Machine } from './program.ts';
import { inSlices } from './slices.ts';
import { exists } from './trees.ts';

export type AppOptions = {
  /** UPDATE_APP_COMMAND, as the shell reads it. */
  command: string | null;
  /** Name of the repository, without its owner. */
  repositoryName: string;
  /** UPDATE_APP_WORKDIR; null for the tree itself. */
  workdir: string | null;
  /** The container's arguments. */
  args: readonly string[];
  /** What the app is given: the whole environment but ours. */
  environment: Readonly<Record<string, string>>;
  /** UPDATE_LINKED and UPDATE_LINKED_DIR: the app's data, which is no program of a tree. */
  linked?: { names: readonly string[]; directory: string };
  /** Another machine than this one, which the tree is meant for. */
  machine?: Machine;
};

export type AppCommand = { file: string; args: string[]; cwd: string };

/** The command for a tree. Throws `Fault` `ENTRY_POINT_MISSING` with advice that works. */
export async function appCommand(tree: string, options: AppOptions): Promise<AppCommand> {
  const cwd = options.workdir ?? tree;
  if (options.command !== null)
    return {
      file: '/bin/sh',
      args: ['-c', commandLine(options.command), 'sh', ...options.args],
      cwd,
    };
  return { file: path.join(tree, await findProgram(tree, options)), args: [...options.args], cwd };
}

/** First words that are the shell's own, so that exec can't start them; and assignments. */
const SHELLS_OWN =
  /^\s*(?:(?:exec|cd|\.|:|eval|export|readonly|set|trap|ulimit|umask|unset)(?=\s|$)|[A-Za-z_]\S*=)/;
const QUOTED = /'[^'\n]*'|"[^"\n]*"/g;
const SECOND_COMMAND = /;|&&|\|\||\n/;

/**
 * A command is the shell's business. `exec` puts the app in the shell's place, so that signals
 * reach it; but it takes one program, and a line that is more than that is run as it stands.
 * docker/service/app/run follows the same rule; a test holds both to one table.
 */
function commandLine(command: string): string {
  const isOneProgram =
    !SHELLS_OWN.test(command) && !SECOND_COMMAND.test(command.trimEnd().replace(QUOTED, ''));
  return `${isOneProgram ? 'exec ' : ''}${command} "$@"`;
}

/**
 * What can be told about the start of a tree while another version runs. Throws `Fault`
 * `ENTRY_POINT_MISSING`, `WRONG_PLATFORM` or `INTERPRETER_MISSING`. Of a command, the first word is
 * looked at if it is the path of a file.
 */
export async function checkEntryPoint(tree: string, options: AppOptions): Promise<void> {
  const { file, cwd } = await appCommand(tree, options);
  const searchPath = options.environment['PATH'];
  if (options.command === null) return checkPlatform(file, searchPath, options.machine);
  const [word = ''] = /^\s*[\w./+-]+(?=\s|$)/.exec(options.command) ?? [];
  if (!word.includes('/')) return;
  const named = path.resolve(cwd, word.trim());
  const stats = await stat(named).catch(() => null);
  if (stats?.isFile() && named.startsWith(`${tree}/`))
    checkPlatform(named, searchPath, options.machine);
}

/**
 * The name of the program at the tree's root: the only one, else the one named like the repository.
 * docker/service/app/run follows the same rule; a test holds both to one table of trees.
 */
async function findProgram(
  tree: string,
  { repositoryName, linked, machine }: AppOptions,
): Promise<string> {
  const programs = await programsIn(tree, linked);
  const named = programs.find(({ name }) => name.toLowerCase() === repositoryName.toLowerCase());
  if (named !== undefined) return named.name;
  // A link and its target, or two names of one file, are one program: it is called as the file is.
  const [first] = programs.toSorted((a, b) => Number(a.isLink) - Number(b.isLink));
  if (first !== undefined && programs.every(({ identity }) => identity === first.identity))
    return first.name;
  throw await entryPointMissing(
    tree,
    programs.map(({ name }) => name),
    repositoryName,
    machine,
  );
}

type Program = { name: string; identity: string; isLink: boolean };

/** Executable files that the kernel can start, sorted by name. */
async function programsIn(directory: string, linked: AppOptions['linked']): Promise<Program[]> {
  const dataNames = new Set(linked?.names.map((name) => name.replace(/\/+$/, '')));
  const data =
    dataNames.size === 0 ? null : (realPathOf(linked?.directory ?? '') ?? linked?.directory);
  const names = (await readdir(directory))
    .filter((name) => name !== MANIFEST_NAME && !isLibrary(name) && !dataNames.has(name))
    .sort();
  const programs: Program[] = [];
  // One after the other: of a hundred thousand at a time, each would take a kB of memory.
  for await (const name of inSlices(names)) {
    const file = path.join(directory, name);
    const stats = statOf(file);
    if (!stats?.isFile() || (stats.mode & 0o111) === 0) continue;
    const isLink = lstatSync(file).isSymbolicLink();
    // What is linked in is the app's data: made executable it is no program of the tree, and would
    // be a second one.
    if (isLink && data !== null && realPathOf(file)?.startsWith(`${data}/`)) continue;
    if (!isProgram(headOf(file, 8))) continue;
    programs.push({ name, identity: `${stats.dev}:${stats.ino}`, isLink });
  }
  return programs;
}

/** Null for a link that leads nowhere, or in a circle. */
function statOf(file: string): Stats | null {
  try {
    return statSync(file);
  } catch {
    return null;
  }
}

/** Null where the link was exchanged for one that leads nowhere. */
function realPathOf(file: string): string | null {
  try {
    return realpathSync(file);
  } catch {
    return null;
  }
}

/**
 * The tree proper: a sole wrapping directory is taken off, unless a word of the command names
 * something beside or through it.
 */
export async function unwrap(unpacked: string, command: string | null): Promise<string> {
  const [sole, ...others] = await readdir(unpacked, { withFileTypes: true });
  if (!sole?.isDirectory() || others.length > 0) return unpacked;
  const words = command?.match(/[^\s'"]+/g) ?? [];
  for (const word of words)
    if (!word.startsWith('/') && (await exists(path.join(unpacked, word)))) return unpacked;
  return path.join(unpacked, sole.name);
}

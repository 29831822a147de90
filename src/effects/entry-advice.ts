/**
 * What to set where it is not clear how a tree is started: only a command that is there, and would
 * be started.
 */
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Fault } from '../support/fault.ts';
import { checkPlatform, headOf, kindOf, type Machine, type ProgramKind } from './program.ts';

/** What starts a file by its ending. */
const RUNNERS = [
  { endings: ['.jar', '.war'], runner: 'java -jar' },
  { endings: ['.js', '.mjs', '.cjs'], runner: 'node' },
  { endings: ['.phar'], runner: 'php' },
  { endings: ['.py', '.pyz'], runner: 'python3' },
] as const;
/** Of several scripts, these are the ones that start something. */
const USUAL = ['server', 'index', 'app', 'main', 'start'];
/** Programs are looked for so far down, and among so many files. */
const MAX_DEPTH = 3;
const MAX_FILES = 2000;

type Found = { name: string; kind: ProgramKind | null; isExecutable: boolean };

/** `programs`: what is at the root, and not chosen. */
export async function entryPointMissing(
  tree: string,
  programs: readonly string[],
  repositoryName: string,
  machine?: Machine,
): Promise<Fault> {
  const [first] = programs;
  if (first !== undefined)
    return fault(
      `there are several: ${programs.slice(0, 10).join(', ')}, none named ${repositoryName}`,
      `./${quoted(first)}`,
    );
  const files = await filesOf(tree);
  const atRoot = files.filter(({ name }) => !name.includes('/'));
  const foreign = atRoot.find(({ kind }) => kind === 'mach-o' || kind === 'windows');
  if (foreign !== undefined) checkPlatform(path.join(tree, foreign.name), undefined, machine);
  const nested = files.find(
    ({ kind, isExecutable }) => isExecutable && (kind === 'elf' || kind === 'script'),
  );
  if (nested !== undefined)
    return fault(
      `there is no executable file at its root, but ${nested.name}`,
      `./${quoted(nested.name)}`,
    );
  const run = runnerOf(atRoot.map(({ name }) => name));
  if (run !== null) return fault('there is no executable file at its root', run);
  const other = atRoot.find(({ isExecutable, kind }) => isExecutable && kind === null);
  if (other !== undefined)
    return fault(
      `${other.name} is executable, but neither an ELF program nor a script that begins with #!`,
      `sh ./${quoted(other.name)}`,
    );
  return fault(
    'there is no executable file in it that is an ELF program or a script that begins with #!',
    null,
  );
}

/** `command`: one that would start it; null where none is plain to see. */
export class EntryPointMissing extends Fault {
  readonly command: string | null;

  constructor(message: string, command: string | null) {
    super('ENTRY_POINT_MISSING', message);
    this.command = command;
  }
}

function fault(found: string, command: string | null): Fault {
  const remedy =
    command === null
      ? 'Set UPDATE_APP_COMMAND to the command that starts it'
      : `Set UPDATE_APP_COMMAND, for instance to: ${command}`;
  return new EntryPointMissing(
    `it is not clear how to start this release: ${found}. ${remedy}`,
    command,
  );
}

/** A pattern goes on to match when the next version's file has another name. */
function runnerOf(names: readonly string[]): string | null {
  for (const { endings, runner } of RUNNERS) {
    const files = names.filter((name) => endings.some((ending) => name.endsWith(ending)));
    const usual = USUAL.flatMap((stem) =>
      files.filter((name) => path.parse(name).name === stem),
    )[0];
    if (usual !== undefined) return `${runner} ${quoted(usual)}`;
    if (files.length === 1) return `${runner} *${path.extname(files[0] ?? '')}`;
    if (files[0] !== undefined) return `${runner} ${quoted(files[0])}`;
  }
  return null;
}

const quoted = (name: string): string =>
  /^[\w./+@-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;

/** Nearest to the root first. */
async function filesOf(tree: string): Promise<Found[]> {
  const found: Found[] = [];
  let level = [''];
  for (let depth = 0; depth <= MAX_DEPTH && level.length > 0; depth++) {
    const below: string[] = [];
    for (const directory of level)
      for (const entry of (
        await readdir(path.join(tree, directory), { withFileTypes: true })
      ).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        const name = directory === '' ? entry.name : `${directory}/${entry.name}`;
        if (entry.isDirectory() && entry.name !== 'node_modules') below.push(name);
        if (!entry.isFile() || found.length >= MAX_FILES || isLibrary(name)) continue;
        const file = path.join(tree, name);
        const { mode } = await lstat(file);
        found.push({ name, kind: kindOf(headOf(file, 8)), isExecutable: (mode & 0o111) !== 0 });
      }
    level = below;
  }
  return found;
}

/** `libfoo.so.1`: executable on many machines, and no program. */
export const isLibrary = (name: string): boolean => /\.so(?:\.[^/]*)?$/.test(name);

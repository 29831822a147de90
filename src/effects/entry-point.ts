/** How a tree is started: the operator's command, else its only executable, else the one named like the repository. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { Fault } from '../support/fault.ts';
import { exists, MANIFEST_NAME } from './trees.ts';

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
};

export type AppCommand = { file: string; args: string[]; cwd: string };

/** The command for a tree. Throws `Fault` `ENTRY_POINT_MISSING` with the advice of DESIGN §4. */
export async function appCommand(tree: string, options: AppOptions): Promise<AppCommand> {
  const cwd = options.workdir ?? tree;
  // A command is the shell's business; `exec` puts the app in the shell's place, so that signals reach it.
  if (options.command !== null) return { file: '/bin/sh', args: ['-c', `exec ${options.command} "$@"`, 'sh', ...options.args], cwd };
  return { file: await findExecutable(tree, options.repositoryName), args: [...options.args], cwd };
}

async function findExecutable(tree: string, repositoryName: string): Promise<string> {
  const candidates = await executables(tree);
  const [first, ...others] = candidates;
  if (first !== undefined && others.length === 0) return path.join(tree, first);
  const named = candidates.find((name) => name === repositoryName);
  if (named !== undefined) return path.join(tree, named);
  const found = candidates.length === 0 ? 'there is no executable file at its root' : `there are several: ${candidates.slice(0, 10).join(', ')}`;
  throw new Fault(
    'ENTRY_POINT_MISSING',
    `it is not clear how to start this release: ${found}, none named ${repositoryName}. Set UPDATE_APP_COMMAND, for instance to "./${candidates[0] ?? 'server'}" or "node server.js"`,
  );
}

async function executables(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name !== MANIFEST_NAME);
  const checked = await Promise.all(
    names.map(async (name) => {
      const stats = await stat(path.join(directory, name)).catch(() => null);
      return stats?.isFile() && (stats.mode & 0o111) !== 0 ? name : null;
    }),
  );
  return checked.filter((name) => name !== null).sort();
}

/** The tree proper: a sole wrapping directory is taken off, unless a word of the command names something beside or through it. */
export async function unwrap(unpacked: string, command: string | null): Promise<string> {
  const [sole, ...others] = await readdir(unpacked, { withFileTypes: true });
  if (!sole?.isDirectory() || others.length > 0) return unpacked;
  const words = command?.match(/[^\s'"]+/g) ?? [];
  for (const word of words) if (!word.startsWith('/') && (await exists(path.join(unpacked, word)))) return unpacked;
  return path.join(unpacked, sole.name);
}

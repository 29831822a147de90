/** Writes `checksums.txt` for a directory of a release's files, where sums are missing. */
import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { writeFileDurably } from '../effects/durable.ts';
import { readLocal } from '../effects/local-file.ts';
import { INDEX_NAME } from '../effects/sources/releases-index.ts';
import { chooseChecksums } from '../machines/asset.ts';
import { Fault, isErrno } from '../support/fault.ts';
import { sumsFor, sumsText } from '../trust/sums.ts';
import { filesOfRelease, type ReleaseFile } from './release-files.ts';

export const SUMS_NAME = 'checksums.txt';

/** What vouches for others needs nobody who vouches for it. */
const VOUCHES =
  /\.(?:minisig|sigstore|sigstore\.json|intoto\.jsonl|asc|sig|pem|sha256|sha256sum)$/i;

/**
 * Returns the file of sums that lists every file: the one that is there already, or the new one.
 * Never over one that says otherwise: throws `Fault` `SUMS_DIFFER`.
 */
export async function writeSums(
  directory: string,
  signal: AbortSignal | null = null,
): Promise<{ file: string; files: number; isNew: boolean }> {
  await assertPlain(directory);
  const all = await filesOfRelease(directory, signal);
  const sums = sharedSums(all);
  const files = all.filter(({ name }) => name !== sums && !VOUCHES.test(name));
  if (files.length === 0)
    throw new Fault('FILE_MISSING', `${directory} holds no files that could be listed`);
  // sha256sum(1) escapes such names, and no name of a release has them.
  const odd = files.find(({ name }) => /[\\\n\r]/.test(name));
  if (odd !== undefined)
    throw new Fault(
      'SUMS_DIFFER',
      `${JSON.stringify(odd.name)} can't be listed by its name: rename it`,
    );
  const file = path.join(directory, sums);
  const before = await textOf(file);
  if (before !== null) {
    for (const { name, sha256 } of files) {
      const [listed, ...others] = sumsFor(before, name, sums);
      if (listed === sha256 && others.length === 0) continue;
      throw new Fault(
        'SUMS_DIFFER',
        `${file} ${listed === undefined ? 'does not list' : 'has another sum for'} ${name}, and is not overwritten: remove it if the files are the right ones`,
      );
    }
    return { file, files: files.length, isNew: false };
  }
  // GNU's form, in the order of names: the same files make the same bytes.
  await writeFileDurably(file, files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(''));
  return { file, files: files.length, isNew: true };
}

/** Name of the file of sums for several files; `checksums.txt` where there is none yet. */
export function sharedSums(files: readonly Pick<ReleaseFile, 'name'>[]): string {
  const names = files.filter(({ name }) => !VOUCHES.test(name));
  const found = names.flatMap(({ name }) => chooseChecksums(names, name)?.name ?? []);
  const [first] = found.toSorted(
    (a, b) => found.filter((name) => name === b).length - found.filter((name) => name === a).length,
  );
  return first ?? SUMS_NAME;
}

/** A list of releases carries sums itself, and its tags are directories. */
async function assertPlain(directory: string): Promise<void> {
  const stats = await lstat(path.join(directory, INDEX_NAME)).catch(() => null);
  if (stats !== null)
    throw new Fault(
      'SUMS_DIFFER',
      `${directory} has a ${INDEX_NAME}, which holds the sums: give the directory of one tag, or run \`self-update index ${directory}\``,
    );
}

async function textOf(file: string): Promise<string | null> {
  try {
    if (!(await lstat(file)).isFile())
      throw new Fault('SUMS_DIFFER', `${file} is no regular file, and is left as it is`);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
  return sumsText(await readLocal(file));
}

/**
 * From the download on, a file is what its digest says, also across a crash: between its fact and
 * its use there may be a power cut.
 */
import { open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Fault } from '../support/fault.ts';
import { syncDirectory } from './durable.ts';
import { sumOf } from './pieces.ts';

/**
 * What this process hashed itself, by path: it need not be read again. Digests are lower-case hex
 * sha256.
 */
export type Sealed = Map<string, string>;

/**
 * Makes the file durable and hashes what is really in it, also what an earlier try left. `sum`: of
 * what this process wrote into it just now, from its first byte to its last; then it need not be
 * read again.
 */
export async function seal(
  file: string,
  sealed: Sealed,
  sum: string | null,
): Promise<{ sizeBytes: number; sha256: string }> {
  const handle = await open(file, 'r+');
  try {
    await handle.sync();
  } catch (error) {
    // After a failed fsync the pages may be marked clean (fsyncgate): the file is discarded, never
    // synced again.
    await rm(file, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await syncDirectory(path.dirname(file));
  const { sizeBytes, sha256 } =
    sum === null ? await sumOf(file) : { sizeBytes: (await stat(file)).size, sha256: sum };
  sealed.set(file, sha256);
  return { sizeBytes, sha256 };
}

/**
 * Throws `Fault` `DOWNLOAD_LOST` when the file is no longer what was downloaded, and removes it:
 * the next try fetches it anew.
 */
export async function assertSealed(file: string, sha256: string, sealed: Sealed): Promise<void> {
  if (sealed.get(file) === sha256) return;
  const found = await sumOf(file).catch(() => null);
  if (found?.sha256 === sha256) {
    sealed.set(file, sha256);
    return;
  }
  await rm(file, { force: true });
  throw new Fault(
    'DOWNLOAD_LOST',
    `the download is ${found === null ? 'gone' : 'damaged'}: a power cut or a failing disk; downloading it again`,
  );
}

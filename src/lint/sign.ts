/**
 * Signs a release by the real minisign, which asks for the key's password itself: no key is read
 * here.
 */
import { lstat, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { loadExeca } from '../effects/packages.ts';
import { Fault, isErrno } from '../support/fault.ts';
import { filesOfRelease } from './release-files.ts';
import { sharedSums } from './write-sums.ts';

/** Somebody types a password meanwhile; a smart card or an agent may take its time. */
const SIGNS_WITHIN_MS = 300_000;

/**
 * Signs the file of sums. The trusted comment binds it to file and tag (docs/security.md). Throws
 * `Fault` `SIGN_FAILED`, also where a signature is there already.
 */
export async function signSums(
  directory: string,
  key: string,
  tag: string,
  signal: AbortSignal | null = null,
): Promise<{ signature: string }> {
  const sums = sharedSums(await filesOfRelease(directory, signal));
  const file = path.join(directory, sums);
  const signature = `${file}.minisig`;
  if ((await lstat(file).catch(() => null))?.isFile() !== true)
    throw new Fault(
      'SIGN_FAILED',
      `there is no ${sums} in ${directory} to sign: add --sums, which writes it`,
    );
  if ((await lstat(signature).catch(() => null)) !== null)
    throw new Fault(
      'SIGN_FAILED',
      `${signature} is there already, and is not overwritten: remove it to sign again`,
    );
  // Fields are separated by blanks: a tag with one would say something else.
  if (/\s/.test(`${sums}${tag}`))
    throw new Fault('SIGN_FAILED', `neither ${sums} nor ${tag} may contain blanks to be signed`);
  const made = path.join(directory, `.${path.basename(signature)}.${process.pid}`);
  const { execa } = await loadExeca();
  // Whoever filled the directory may have placed a link there, through which minisign would write.
  await rm(made, { force: true });
  try {
    const { exitCode, stderr, failed, shortMessage } = await execa(
      'minisign',
      ['-S', '-s', key, '-m', file, '-x', made, '-t', `file:${sums} tag:${tag}`],
      {
        // The password comes from the terminal, and the question goes there.
        stdin: 'inherit',
        stdout: ['inherit'],
        stderr: ['inherit', 'pipe'],
        cleanup: false,
        timeout: SIGNS_WITHIN_MS,
        maxBuffer: 64 * 1024,
        reject: false,
        ...(signal === null ? {} : { cancelSignal: signal }),
      },
    );
    if (failed)
      throw new Fault(
        'SIGN_FAILED',
        exitCode === undefined
          ? `minisign can't be started (${shortMessage}): install it (Debian's package minisign)`
          : `minisign did not sign ${file}: ${stderr.trim() || shortMessage}`,
      );
    await rename(made, signature);
  } finally {
    await rm(made, { force: true }).catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) throw error;
    });
  }
  return { signature };
}

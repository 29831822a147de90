import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { isErrno } from './fault.ts';

/** A directory for our eyes only, in one that the app may pass through: trees lie beside it. */
export function makePrivate(directory: string): void {
  make(path.dirname(directory), 0o755);
  make(directory, 0o700);
}

/**
 * Node's recursive mkdir says ENOENT where the truth is EROFS, so each level is made for itself.
 */
function make(directory: string, mode: number): void {
  try {
    mkdirSync(directory, { mode });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    if (!isErrno(error, 'ENOENT') || path.dirname(directory) === directory) throw error;
    make(path.dirname(directory), 0o755);
    mkdirSync(directory, { mode });
  }
}

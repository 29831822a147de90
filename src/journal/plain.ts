/**
 * What SQLite is given to open. It opens whatever bears the name, and for a FIFO waits until
 * somebody writes it.
 */
import { statSync } from 'node:fs';
import { kindOf } from '../support/bounded.ts';
import { Fault, isErrno } from '../support/fault.ts';
import { setAside } from '../support/own.ts';

const BESIDE = ['', '-wal', '-shm', '-journal'];

/**
 * Throws `Fault` `NOT_A_FILE` where something else than a file is in the place of a database, or of
 * what SQLite keeps beside it.
 */
export function assertPlain(database: string): void {
  for (const [file, kind] of oddOnes(database))
    throw new Fault('NOT_A_FILE', `${file} is ${kind}, and not a regular file: move it away`);
}

/** Moves such things aside and reports each to `told`. No updater holds a lock on them. */
export function setOddAside(database: string, told: (message: string) => void): void {
  for (const [file, kind] of oddOnes(database)) {
    const aside = setAside(file);
    told(
      `${file} was ${kind}, and not a regular file: it was ${aside === null ? 'removed' : `moved to ${aside}`} [NOT_A_FILE]`,
    );
  }
}

function oddOnes(database: string): [file: string, kind: string][] {
  return BESIDE.flatMap((suffix): [string, string][] => {
    const file = `${database}${suffix}`;
    try {
      const stats = statSync(file);
      return stats.isFile() ? [] : [[file, kindOf(stats)]];
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
      throw error;
    }
  });
}

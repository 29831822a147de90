/**
 * Programs that a test needs beside Node. Where one is missing the test is skipped and says so;
 * .ci/run installs all of them.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';

/** False when every program is on PATH, else the reason to skip. */
export function missing(...programs: string[]): string | false {
  const directories = (process.env['PATH'] ?? '').split(path.delimiter);
  const lacking = programs.filter(
    (program) => !directories.some((directory) => existsSync(path.join(directory, program))),
  );
  return lacking.length > 0 && `not installed: ${lacking.join(', ')}`;
}

/**
 * Takes out what macOS puts into archives by itself. None of it is the app's, and an `._app` would
 * be a second program.
 */
import { lstatSync, rmSync } from 'node:fs';
import path from 'node:path';
import { headOf } from '../program.ts';

/** AppleDouble, version 1 and 2: RFC 1740, appendix A. */
const APPLE_DOUBLE = '00051607';

/** `names`: as the gate collected them. A file that is only called `._x` stays. */
export function removeDesktopFiles(root: string, names: readonly string[]): void {
  for (const name of names) {
    const file = path.join(root, name);
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    const isWanted =
      path.basename(name) === '__MACOSX'
        ? !stats.isDirectory()
        : !stats.isFile() || (isNamedDouble(name) && !isAppleDouble(file));
    if (!isWanted) rmSync(file, { recursive: true, force: true });
  }
}

const isNamedDouble = (name: string): boolean => path.basename(name).startsWith('._');
const isAppleDouble = (file: string): boolean => headOf(file, 4).toString('hex') === APPLE_DOUBLE;

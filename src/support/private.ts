import { mkdirSync } from 'node:fs';
import path from 'node:path';

/** A directory for our eyes only, in one that the app may pass through: trees lie beside it. */
export function makePrivate(directory: string): void {
  mkdirSync(path.dirname(directory), { recursive: true, mode: 0o755 });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
}

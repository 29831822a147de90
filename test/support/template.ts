/** A template of nginx's image, as its entry point fills it in: with the variables it has. */
import { readFileSync } from 'node:fs';

export function filled(file: string, environment: Record<string, string>): string {
  return readFileSync(file, 'utf8').replace(
    /\$\{(\w+)\}|\$(\w+)/g,
    (all, braced?: string, plain?: string) => environment[braced ?? plain ?? ''] ?? all,
  );
}

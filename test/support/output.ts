/**
 * The parts of a command line without a process of its own: what it is given, and what it writes.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import type { Arguments } from '../../src/cli/arguments.ts';
import type { Parts } from '../../src/cli/parts.ts';
import { placesOf, policyOf } from '../../src/cli/policy.ts';
import { type Config, parseConfig } from '../../src/config/config.ts';

export function configOf(environment: Record<string, string> = {}): Config {
  const result = parseConfig({ GH_USER: 'acme', GH_REPO: 'app', ...environment });
  assert.ok(result.ok, result.ok ? '' : result.problems.join('\n'));
  return result.config;
}

/** For an updater whose directory is `root`/data; whatever is warned of goes into `warnings`. */
export function partsOf(
  root: string,
  environment: Record<string, string> = {},
): Parts & { warnings: string[] } {
  const all = {
    UPDATE_DIR: path.join(root, 'data'),
    UPDATE_BAKED_DIR: path.join(root, 'baked'),
    UPDATE_SUPERVISOR: 'embedded',
    ...environment,
  };
  const config = configOf(all);
  const warnings: string[] = [];
  const log = {
    info: () => {},
    debug: () => {},
    warn: (message: string) => void warnings.push(message),
  };
  return {
    config,
    places: placesOf(config),
    policy: policyOf(config),
    log,
    environment: all,
    warnings,
  };
}

export function argumentsOf(
  command: Arguments['command'],
  overrides: Partial<Arguments> = {},
): Arguments {
  return {
    command,
    operand: null,
    once: false,
    now: false,
    force: false,
    json: false,
    follow: false,
    watch: false,
    at: null,
    appArgs: [],
    platforms: [],
    as: null,
    annotations: false,
    sums: false,
    sign: null,
    ...overrides,
  };
}

/**
 * What is written to standard output meanwhile. The test runner speaks over it too, in buffers:
 * these pass.
 */
export async function written<T>(
  perform: () => Promise<T> | T,
): Promise<{ text: string; result: T }> {
  const { stdout } = process;
  const write = stdout.write.bind(stdout);
  let text = '';
  stdout.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
    if (typeof chunk !== 'string') return write(chunk, ...rest);
    text += chunk;
    return true;
  }) as typeof stdout.write;
  try {
    const result = await perform();
    return { text, result };
  } finally {
    stdout.write = write;
  }
}

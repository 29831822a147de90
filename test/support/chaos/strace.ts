/**
 * Faults at system calls, by strace(1)'s tampering: no test code in the product. The numbers of
 * calls are counted per thread; with one thread in libuv's pool they are nearly the same at every
 * run.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { sendSignal } from '../../../src/effects/supervisor/process-table.ts';
import type { Product } from '../product.ts';
import { type Kind, Scenario, type Wrapping } from './scenario.ts';

/** Calls that change what is on disk, or make it durable. */
export const MUTATING = [
  ...[
    'rename',
    'renameat',
    'renameat2',
    'link',
    'linkat',
    'symlink',
    'symlinkat',
    'unlink',
    'unlinkat',
    'rmdir',
    'mkdir',
    'mkdirat',
  ],
  ...[
    'fsync',
    'fdatasync',
    'syncfs',
    'ftruncate',
    'fallocate',
    'chmod',
    'fchmod',
    'fchmodat',
    'write',
    'pwrite64',
    'writev',
    'pwritev',
    'pwritev2',
  ],
] as const;

/**
 * The `at`-th call of its name, in one thread, on something below UPDATE_DIR. `on` is the path
 * there, with `%32` and `%12` for what names hold of the digest of the release.
 */
export type Point = { call: string; on: string; at: number };

/**
 * strace before a command. `-D` makes it a grandchild, so that the updater's end is seen and its
 * app is not waited for.
 */
export function traced(
  product: Product,
  options: readonly string[],
): Wrapping & { output: string } {
  const output = path.join(product.root, 'trace');
  return {
    output,
    prefix: [
      'strace',
      '-f',
      '-D',
      '--seccomp-bpf',
      '-qq',
      '-y',
      '-e',
      'signal=none',
      '-o',
      output,
      ...options,
    ],
    // The app goes on, and must not stay traced.
    ended: async () => {
      for (const pid of tracersOf(output)) sendSignal(pid, 'SIGTERM');
    },
  };
}

/** Runs an update under each kind, and gives back every point of it. */
export async function pointsOf<K extends Kind>(
  kinds: readonly K[],
  calls: readonly string[] = MUTATING,
): Promise<(Point & { kind: K })[]> {
  const points: (Point & { kind: K })[] = [];
  for (const kind of kinds) {
    await using scenario = await Scenario.prepare(kind);
    const { output, ...wrapping } = traced(scenario.product, ['-e', `trace=${calls.join()}`]);
    await scenario.update(wrapping);
    if (!scenario.isDone()) throw new Error(`no update under strace: ${await scenario.log()}`);
    points.push(...pointsIn(output, scenario.product).map((point) => ({ ...point, kind })));
  }
  return points;
}

/**
 * `what`: strace's words, `signal=SIGKILL` or `error=ENOSPC`. `+`: from that call on. Only calls on
 * the point's path are counted.
 */
export function injecting(
  product: Product,
  { call, on, at }: Point,
  what: string,
  from: '' | '+' = '',
): Wrapping {
  const digest = digestOf(product);
  const file = path.join(
    product.dir,
    on.replace('%32', digest.slice(0, 32)).replace('%12', digest.slice(0, 12)),
  );
  return traced(product, [
    '-P',
    file,
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:${what}:when=${at}${from}`,
  ]);
}

/** The points of a recorded run, in the order in which they came. */
function pointsIn(output: string, product: Product): Point[] {
  const counts = new Map<string, number>();
  const points = new Map<string, Point>();
  const digest = digestOf(product);
  for (const line of readFileSync(output, 'utf8').split('\n')) {
    const [, thread = '', call = ''] = /^(\d+) +([a-z0-9_]+)\(/.exec(line) ?? [];
    const on = pathIn(line, product.dir)
      ?.replace(digest.slice(0, 32), '%32')
      .replace(digest.slice(0, 12), '%12');
    if (call === '' || on === undefined || line.includes('resumed>')) continue;
    const at = (counts.get(`${thread} ${call} ${on}`) ?? 0) + 1;
    counts.set(`${thread} ${call} ${on}`, at);
    points.set(`${call} ${on} ${at}`, { call, on, at });
  }
  return [...points.values()];
}

/**
 * The last path of a line that is below the directory and bears the same name at every run; `.` for
 * the directory itself.
 */
function pathIn(line: string, directory: string): string | undefined {
  const found = [...line.matchAll(/["<]([^"<>]+)[">]/g)]
    .map(([, name = '']) => name)
    .filter((name) => name === directory || name.startsWith(`${directory}/`));
  return found
    .map((name) => path.relative(directory, name) || '.')
    .filter((name) => !/\.\d+\.tmp$/.test(name))
    .at(-1);
}

function digestOf({ github }: Product): string {
  return github.releases[0]?.assets[0]?.digest?.replace('sha256:', '') ?? '';
}

function tracersOf(output: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const words = /^\d+$/.test(name)
        ? readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0')
        : [];
      return words[0]?.endsWith('strace') && words.includes(output) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

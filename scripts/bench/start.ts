/**
 * What a start costs: CPU of whole processes, woken from the snapshot as in the image, beside a
 * Node that does nothing.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { execa } from 'execa';
import { appArchive } from '../../test/support/app.ts';
import { Product } from '../../test/support/product.ts';
import { figuresOf, type Row } from './rows.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const RUNS = 11;
/** As in docker/self-update. */
const FLAGS = [
  '--disable-warning=ExperimentalWarning',
  '--max-semi-space-size=1',
  '--v8-pool-size=1',
];

/** bash's own `time`: user and system of the process and its children, in ms. */
export async function cpuMs(args: readonly string[], env: Record<string, string>): Promise<number> {
  const script = `TIMEFORMAT='%3U %3S'; time "$@" > /dev/null 2>&1`;
  const { stderr } = await execa('bash', ['-c', script, 'bash', process.execPath, ...args], {
    env,
    extendEnv: false,
  });
  const [user = 0, system = 0] = stderr.trim().split(' ').map(Number);
  return (user + system) * 1000;
}

/**
 * Makes the snapshot as docker/assemble does; returns the arguments by which Node wakes a command
 * from it.
 */
export function snapshotIn(directory: string): (command: string) => string[] {
  const blob = path.join(directory, 'self-update.blob');
  execFileSync(process.execPath, [
    ...FLAGS,
    '--snapshot-blob',
    blob,
    '--build-snapshot',
    path.join(ROOT, 'dist', 'snapshot.cjs'),
  ]);
  return (command) => [...FLAGS, '--snapshot-blob', blob, 'self-update', command];
}

export async function start(): Promise<Row[]> {
  await using product = await Product.create({ env: { UPDATE_STRATEGY: 'download-then-kill' } });
  const woken = snapshotIn(product.root);
  const loaded = (command: string) => [
    path.join(ROOT, 'test', 'support', 'chaos', 'bundled.ts'),
    command,
  ];
  product.github.publish('v0.0.2', {
    'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }),
  });
  await product.command(['run', '--once']);
  const cases = {
    nothing: ['-e', '0'],
    status: woken('status'),
    check: woken('check'),
    statusLoaded: loaded('status'),
  };
  const taken: Record<keyof typeof cases, number[]> = {
    nothing: [],
    status: [],
    check: [],
    statusLoaded: [],
  };
  for (let run = 0; run < RUNS; run++)
    for (const name of Object.keys(cases) as (keyof typeof cases)[])
      taken[name].push(await cpuMs(cases[name], product.env));
  const reference = { name: 'Node that does nothing', figures: figuresOf(taken.nothing) };
  const row = (what: string, values: number[], goal: number | null): Row => ({
    what,
    unit: 'ms',
    measured: figuresOf(values),
    reference,
    compare: 'value',
    goal,
  });
  return [
    row('CPU of `status`', taken.status, 60),
    row('CPU of a check that finds nothing', taken.check, 150),
    row('CPU of `status`, loaded and not woken', taken.statusLoaded, null),
  ];
}

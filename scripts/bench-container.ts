/**
 * The container's figures, beside the bare app in the same image and beside the shell original that this product replaces (measured
 * once, on another day: its column is for orientation, the ratios are ours). Medians of five. Writes docs/benchmarks/container.md.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { Container } from '../test/support/docker/container.ts';
import { docker } from '../test/support/docker/engine.ts';
import { IMAGES } from '../test/support/docker/images.ts';
import { globalSetup, globalTeardown } from '../test/support/docker/setup.ts';

const RUNS = 5;
const OUT = path.join(import.meta.dirname, '..', 'docs', 'benchmarks', 'container.md');
const BARE = ['--entrypoint', '/usr/share/self-update/baked/0.0.1/app'];
const LARGE_BYTES = 50_000_000;
/** How long the idle container is watched. */
const IDLE_MS = 65_000;

type Row = { what: string; ours: string; reference: string; ratio: string; original: string };

const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const median = (values: readonly number[]) => sorted(values)[values.length >> 1] ?? Number.NaN;
const shown = (values: readonly number[]) => `${median(values).toFixed(0)} [${sorted(values)[0]?.toFixed(0)}–${sorted(values).at(-1)?.toFixed(0)}] ms`;

async function firstAnswerMs(run: readonly string[]): Promise<number> {
  await using container = await Container.prepare({ run });
  await container.publish('0.0.1');
  const prober = container.probe(1);
  const startedAt = performance.now();
  await container.create();
  await prober.answers('0.0.1');
  await prober.stop();
  return performance.now() - startedAt;
}

async function firstAnswer(): Promise<Row> {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    ours.push(await firstAnswerMs([]));
    bare.push(await firstAnswerMs(BARE));
  }
  return {
    what: '`docker run` → first answer, GitHub answers at once',
    ours: shown(ours),
    reference: `the bare app: ${shown(bare)}`,
    ratio: `+${(median(ours) - median(bare)).toFixed(0)} ms`,
    original: '1150 ms; 5 of 100 never',
  };
}

async function stopMs(run: readonly string[]): Promise<number> {
  await using container = await Container.run({ run });
  await container.answers('0.0.1');
  return (await container.stop()).tookMs;
}

async function stopping(): Promise<Row> {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    ours.push(await stopMs([]));
    bare.push(await stopMs(BARE));
  }
  return {
    what: '`docker stop`, app that stops at once',
    ours: shown(ours),
    reference: `the bare app: ${shown(bare)}`,
    ratio: `+${(median(ours) - median(bare)).toFixed(0)} ms`,
    original: '15200 ms',
  };
}

/** The app's own stop and start, which no updater can undercut: the same two processes, one after the other. */
async function bareSwitchMs(): Promise<number> {
  await using container = await Container.run({ run: BARE });
  await container.answers('0.0.1');
  const binary = process.env['TEST_APP'] ?? '';
  const [pid = 0] = await container.apps();
  const prober = container.probe(1);
  await prober.answers('0.0.1');
  process.kill(pid, 'SIGTERM');
  // From the same machine, without a container between: VERSION lies beside the binary.
  writeFileSync(path.join(path.dirname(binary), 'VERSION'), 'next');
  while (isAlive(pid)) await sleep(0);
  const next = execa(binary, { env: { PORT: String(container.port) }, reject: false });
  await prober.answers('next');
  await prober.stop();
  next.kill();
  return prober.longestGapMs();
}

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z');
  } catch {
    return false;
  }
}

async function downtimeMs(strategy: string, padBytes: number): Promise<number> {
  await using container = await Container.run({ env: { UPDATE_STRATEGY: strategy } });
  await container.fact('versionBecameHealthy');
  await container.publish('0.0.2', { padBytes });
  // runsv pauses before it starts a service again that ran for less than a second.
  await sleep(1500);
  const prober = container.probe(1);
  await prober.answers('0.0.1');
  await container.signal('HUP');
  await prober.answers('0.0.2');
  await prober.stop();
  return prober.longestGapMs();
}

async function downtimes(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [strategy, size, padBytes, original] of [
    ['download-then-kill', 'small', 0, '7610 ms (500 without its `finish`)'],
    ['download-then-kill', '50 MB', LARGE_BYTES, '7850 ms (830)'],
    ['kill-then-download', 'small', 0, 'as above'],
    ['kill-then-download', '50 MB', LARGE_BYTES, 'as above'],
  ] as const) {
    const ours: number[] = [];
    const bare: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      ours.push(await downtimeMs(strategy, padBytes));
      bare.push(await bareSwitchMs());
    }
    rows.push({
      what: `downtime, ${strategy}, ${size} asset`,
      ours: shown(ours),
      reference: `TERM and start by hand: ${shown(bare)}`,
      ratio: `+${(median(ours) - median(bare)).toFixed(0)} ms`,
      original,
    });
  }
  return rows;
}

type Memory = { command: string; pssKb: number; anonymousKb: number };

function memoryOf(pid: number, command: string): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return { command, pssKb: field('Pss'), anonymousKb: field('Anonymous') };
}

function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  // utime, stime and those of children that were waited for: the updaters that came and went.
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
}

async function idle(): Promise<{ rows: Row[]; memory: Memory[] }> {
  await using container = await Container.run({ env: { SLEEP: '30' } });
  await container.publish('0.0.1');
  await container.fact('versionBecameHealthy');
  const sleeps = async () => !(await container.processes()).some(({ command }) => command.includes('self-update.js'));
  await container.until('the updater sleeps', sleeps);
  const processes = (await container.processes()).filter(({ command }) => !/\/app$/.test(command));
  const asked = container.github.requests.length;
  const before = processes.reduce((sum, { pid }) => sum + ticksOf(pid), 0);
  const startedAt = performance.now();
  await sleep(IDLE_MS);
  await container.until('the updater sleeps', sleeps);
  const tookMs = performance.now() - startedAt;
  const seconds = (processes.reduce((sum, { pid }) => sum + ticksOf(pid), 0) - before) / 100;
  const requests = container.github.requests.length - asked;
  const memory = processes.map(({ pid, command }) => memoryOf(pid, command));
  const total = (of: (entry: Memory) => number) => memory.reduce((sum, entry) => sum + of(entry), 0);
  const rows: Row[] = [
    {
      what: `idle memory, ${memory.length} processes, without the app`,
      ours: `${(total(({ pssKb }) => pssKb) / 1000).toFixed(2)} MB PSS, ${(total(({ anonymousKb }) => anonymousKb) / 1000).toFixed(2)} MB anonymous`,
      reference: '',
      ratio: `${(total(({ pssKb }) => pssKb) / 1000 / 4.2).toFixed(2)} of the original`,
      original: '4.20 MB PSS',
    },
    {
      what: 'idle CPU, `SLEEP=30`, conditional checks',
      ours: `${((seconds / tookMs) * 100_000).toFixed(2)} % of a core (${(requests > 0 ? (seconds / requests) * 1000 : 0).toFixed(0)} ms a check)`,
      reference: '',
      ratio: '',
      original: '0.1 % at `SLEEP=60`',
    },
    {
      what: 'API requests an hour at the default `SLEEP`',
      ours: `${((requests / tookMs) * 3_600_000 * (30 / 300)).toFixed(1)} (measured at 30, scaled), each conditional`,
      reference: '',
      ratio: '',
      original: '12, never conditional',
    },
  ];
  return { rows, memory };
}

async function size(): Promise<Row> {
  const bytes = Number((await docker(['image', 'inspect', '--format', '{{.Size}}', IMAGES.product])).stdout);
  const packed = async (command: string) => Number((await execa('bash', ['-c', `docker save ${IMAGES.product} | ${command} | wc -c`])).stdout);
  const [gzip, zstd] = [await packed('gzip -9'), await packed('zstd -19 -T2 -q')];
  const megabytes = (value: number) => (value / 1e6).toFixed(1);
  return {
    what: 'image: unpacked / gzip / zstd',
    ours: `${megabytes(bytes)} / ${megabytes(gzip)} / ${megabytes(zstd)} MB`,
    reference: '',
    ratio: `${(bytes / 139.7e6).toFixed(2)} of the original`,
    original: '139.7 / 59.1 MB',
  };
}

await globalSetup();
try {
  const rows = [await size(), await firstAnswer(), await stopping(), ...(await downtimes())];
  const { rows: idleRows, memory } = await idle();
  const table = [
    '| what | ours | reference in the same run | difference, ratio | the shell original |',
    '|---|---|---|---|---|',
    ...[...rows, ...idleRows].map(({ what, ours, reference, ratio, original }) => `| ${what} | ${ours} | ${reference} | ${ratio} | ${original} |`),
  ];
  const processes = [
    '| idle process | PSS | anonymous |',
    '|---|---|---|',
    ...memory.map(({ command, pssKb, anonymousKb }) => `| \`${command}\` | ${pssKb} kB | ${anonymousKb} kB |`),
  ];
  const machine = `${execFileSync('uname', ['-sm'], { encoding: 'utf8' }).trim()}, 2 cores, host network`;
  const text = `# The container in figures\n\nMade by \`npm run bench:container\`: medians of ${RUNS} [least–most]. ${machine}. Machines are noisy; differences and ratios are\nmeasured side by side, the original's figures are from another day.\n\n${table.join('\n')}\n\n${processes.join('\n')}\n`;
  writeFileSync(OUT, text);
  process.stdout.write(text);
} finally {
  await globalTeardown();
}

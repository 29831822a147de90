/** The container's figures, beside the bare app in the same image. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { Container } from '../../test/support/docker/container.ts';
import { docker } from '../../test/support/docker/engine.ts';
import { IMAGES } from '../../test/support/docker/images.ts';
import { globalSetup, globalTeardown } from '../../test/support/docker/setup.ts';
import { freePort } from '../../test/support/product.ts';
import { figuresOf, type Row } from './rows.ts';

const RUNS = 5;
/** They vary more than all else. */
const FIRST_ANSWERS = 15;
const BARE = ['--entrypoint', '/usr/share/self-update/baked/0.0.1/app'];
const LARGE_BYTES = 50_000_000;
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

/** The container, and the bare app in it, one after the other. */
async function besideBare(
  runs: number,
  measureMs: (run: readonly string[]) => Promise<number>,
): Promise<Pick<Row, 'unit' | 'measured' | 'reference' | 'compare'>> {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let run = 0; run < runs; run++) {
    ours.push(await measureMs([]));
    bare.push(await measureMs(BARE));
  }
  return {
    unit: 'ms',
    measured: figuresOf(ours),
    reference: { name: 'the bare app', figures: figuresOf(bare) },
    compare: 'difference',
  };
}

async function firstAnswer(): Promise<Row> {
  const remark = 'the shell original: 1150 ms, and 5 of 100 never';
  return {
    what: '`docker run` → first answer',
    ...(await besideBare(FIRST_ANSWERS, firstAnswerMs)),
    goal: 150,
    remark,
  };
}

async function stopMs(run: readonly string[]): Promise<number> {
  await using container = await Container.run({ run });
  await container.answers('0.0.1');
  const startedAt = performance.now();
  await container.stop();
  return performance.now() - startedAt;
}

async function stopping(): Promise<Row> {
  return {
    what: '`docker stop`',
    ...(await besideBare(RUNS, stopMs)),
    goal: 200,
    remark: 'the shell original: 15 s, or killed',
  };
}

/**
 * The app's own stop and start, which no updater can undercut: the same two processes, one after
 * the other.
 */
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
  for (const [strategy, size, padBytes, goal] of [
    ['download-then-kill', 'a small asset', 0, 30],
    ['download-then-kill', '50 MB', LARGE_BYTES, 30],
    ['kill-then-download', 'a small asset', 0, null],
    ['kill-then-download', '50 MB', LARGE_BYTES, null],
  ] as const) {
    const ours: number[] = [];
    const bare: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      ours.push(await downtimeMs(strategy, padBytes));
      bare.push(await bareSwitchMs());
    }
    const reference = { name: 'TERM and start by hand', figures: figuresOf(bare) };
    const remark = padBytes === 0 ? 'the shell original: 7.6 s' : 'the shell original: 7.9 s';
    rows.push({
      what: `downtime, ${strategy}, ${size}`,
      unit: 'ms',
      measured: figuresOf(ours),
      reference,
      compare: 'difference',
      goal,
      remark,
    });
  }
  return rows;
}

/** In MB, of a process: `Pss` or `Anonymous` of smaps_rollup. */
function memoryMb(pid: number, field: 'Pss' | 'Anonymous'): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return (Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) * 1024) / 1e6;
}

async function sleeping(): Promise<Row> {
  const measured: number[] = [];
  let count = 0;
  for (let run = 0; run < RUNS; run++) {
    await using container = await Container.run({ env: { SLEEP: '300' } });
    await container.fact('versionBecameHealthy');
    const commands = async () => (await container.processes()).map(({ command }) => command);
    await container.until(
      'the updater sleeps',
      async () => !(await commands()).some((command) => command.includes('bin/node')),
    );
    const others = (await container.processes()).filter(({ command }) => !/\/app$/.test(command));
    count = others.length;
    measured.push(others.reduce((sum, { pid }) => sum + memoryMb(pid, 'Pss'), 0));
  }
  const remark = `${count} processes; the shell original: 4.20 MB`;
  return {
    what: 'memory between checks, without the app (PSS)',
    unit: 'MB',
    measured: figuresOf(measured),
    reference: null,
    compare: 'value',
    goal: 2.8,
    remark,
  };
}

async function resident(): Promise<Row> {
  const measured: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    await using container = await Container.run({
      env: { UPDATE_HTTP_ADDR: `127.0.0.1:${await freePort()}` },
    });
    await container.fact('versionBecameHealthy');
    const pid = await container.processOf(/bin\/node/);
    // Its own collector has its turn after some seconds of rest.
    await sleep(10_000);
    measured.push(memoryMb(pid, 'Anonymous'));
  }
  return {
    what: 'resident updater with HTTP, anonymous memory',
    unit: 'MB',
    measured: figuresOf(measured),
    reference: null,
    compare: 'value',
    goal: 32,
  };
}

async function size(): Promise<Row[]> {
  const bytes = Number(
    (await docker(['image', 'inspect', '--format', '{{.Size}}', IMAGES.product])).stdout,
  );
  const packed = async (command: string) =>
    Number(
      (await execa('bash', ['-c', `docker save ${IMAGES.product} | ${command} | wc -c`])).stdout,
    );
  const row = (what: string, value: number, remark: string): Row => ({
    what,
    unit: 'MB',
    measured: figuresOf([value / 1e6]),
    reference: null,
    compare: 'value',
    goal: null,
    remark,
  });
  return [
    row('image, unpacked', bytes, 'the shell original: 139.7 MB'),
    row('image, gzip -9', await packed('gzip -9'), 'the shell original: 59.1 MB'),
    row('image, zstd -19', await packed('zstd -19 -T2 -q'), ''),
  ];
}

export async function container(): Promise<Row[]> {
  await globalSetup();
  try {
    return [
      ...(await downtimes()),
      await firstAnswer(),
      await stopping(),
      await sleeping(),
      await resident(),
      ...(await size()),
    ];
  } finally {
    await globalTeardown();
  }
}

/**
 * What a start costs: CPU of whole processes of the built program, medians of eleven, beside a Node that does nothing, in the same
 * run. Goals are those of the project. Writes docs/benchmarks/start.md.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { Journal } from '../src/journal/journal.ts';
import type { JournalRecord } from '../src/journal/record.ts';
import { begin, evolve, type State, serializeState } from '../src/runtime/fold.ts';
import { appArchive } from '../test/support/app.ts';
import { Product } from '../test/support/product.ts';

const ROOT = path.join(import.meta.dirname, '..');
const RUNS = 11;
const FACTS = 50_000;
const CHECKPOINT_EVERY = 200;

type Cost = { cpuMs: number; wallMs: number };
type Row = { what: string; cost: Cost[]; goal: string };

const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const median = (values: readonly number[]) => sorted(values)[values.length >> 1] ?? Number.NaN;
const shown = (values: readonly number[]) => `${median(values).toFixed(0)} [${sorted(values)[0]?.toFixed(0)}–${sorted(values).at(-1)?.toFixed(0)}]`;

/** bash's own `time`: user and system of the process and its children. */
async function costOf(args: readonly string[], env: Record<string, string>): Promise<Cost> {
  const script = `TIMEFORMAT='%3R %3U %3S'; time "$@" > /dev/null 2>&1`;
  const { stderr } = await execa('bash', ['-c', script, 'bash', process.execPath, ...args], { env, extendEnv: false });
  const [wall = 0, user = 0, system = 0] = stderr.trim().split(' ').map(Number);
  return { cpuMs: (user + system) * 1000, wallMs: wall * 1000 };
}

/** The journal of a life, lived again and again. */
function lengthen(directory: string): void {
  const journal = Journal.open(directory);
  const [first, ...life] = journal.read();
  if (first === undefined || life.length === 0) throw new Error('there is no life to repeat');
  let state: State = begin(first);
  for (const record of life) state = evolve(state, record);
  for (let seq = life.length + 1; seq < FACTS; seq++) {
    const { fact, at } = life[seq % life.length] as JournalRecord;
    state = evolve(state, journal.append(fact, { at, effect: null, command: null, durable: false }));
    if (seq % CHECKPOINT_EVERY === 0) journal.saveCheckpoint({ seq: journal.lastSeq(), state: serializeState(state) });
  }
  journal.close();
}

async function main(): Promise<void> {
  await execa('npm', ['run', 'build'], { cwd: ROOT });
  const program = path.join(ROOT, 'dist', 'self-update.js');
  const command = (name: string) => [
    '--input-type=module',
    '-e',
    `const { main } = await import(${JSON.stringify(program)}); process.exit(await main([${JSON.stringify(name)}], process.env))`,
  ];
  await using product = await Product.create({ env: { UPDATE_STRATEGY: 'download-then-kill' } });
  product.github.publish('v0.0.2', { 'app.tar.gz': await appArchive({ version: '0.0.2', port: product.port }) });
  await product.command(['run', '--once']);
  const rows: Row[] = [
    { what: 'Node that does nothing', cost: [], goal: '' },
    { what: '`status`', cost: [], goal: '≤ 60 ms of CPU' },
    { what: '`check`, nothing newer', cost: [], goal: '≤ 150 ms of CPU' },
  ];
  const measure = async (row: Row | undefined, args: readonly string[]) => row?.cost.push(await costOf(args, product.env));
  for (let run = 0; run < RUNS; run++) {
    await measure(rows[0], ['--input-type=module', '-e', '0']);
    await measure(rows[1], command('status'));
    await measure(rows[2], command('check'));
  }
  lengthen(path.join(product.dir, 'state'));
  const long: Row = { what: `\`status\`, ${FACTS} facts, from the checkpoint`, cost: [], goal: '≤ 100 ms more than with none' };
  for (let run = 0; run < RUNS; run++) await measure(long, command('status'));
  rows.push(long);
  const base = median(rows[0]?.cost.map(({ cpuMs }) => cpuMs) ?? []);
  const lines = rows.map(({ what, cost, goal }) => {
    const cpu = cost.map(({ cpuMs }) => cpuMs);
    return `| ${what} | ${shown(cpu)} ms | ${shown(cost.map(({ wallMs }) => wallMs))} ms | ${(median(cpu) / base).toFixed(1)} | ${goal} |`;
  });
  const table = ['| what | CPU | wall | ratio of CPU | goal |', '|---|---|---|---|---|', ...lines].join('\n');
  const machine = `${execFileSync('uname', ['-sm'], { encoding: 'utf8' }).trim()}, Node ${process.versions.node}`;
  const out = path.join(ROOT, 'docs', 'benchmarks');
  mkdirSync(out, { recursive: true });
  writeFileSync(
    path.join(out, 'start.md'),
    `# What a start costs\n\nMade by \`npm run bench\`: medians of ${RUNS} [least–most], in one run. ${machine}.\n\n${table}\n`,
  );
  process.stdout.write(`${table}\n`);
}

await main();

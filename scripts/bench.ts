/**
 * `npm run bench [-- area…]`: every figure of the project beside its goal and a reference from the
 * same run. Machines are noisy: what decides are ratios and differences, the times are their
 * witnesses. Writes docs/benchmarks: results.json (by area, so that one can be run again alone),
 * the table and the plot.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { container } from './bench/container.ts';
import { handOver } from './bench/hand-over.ts';
import { journal } from './bench/journal.ts';
import { pipeline } from './bench/pipeline.ts';
import { requests } from './bench/requests.ts';
import { plotOf, type Row, tableOf } from './bench/rows.ts';
import { start } from './bench/start.ts';

const ROOT = path.join(import.meta.dirname, '..');
const OUT = path.join(ROOT, 'docs', 'benchmarks');
const RESULTS = path.join(OUT, 'results.json');
const AREAS: Record<string, () => Promise<Row[]>> = {
  pipeline,
  start,
  journal,
  requests,
  container,
  'hand-over': handOver,
};

const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !(name in AREAS));
if (unknown !== undefined)
  throw new Error(`there is no area ${unknown}: ${Object.keys(AREAS).join(', ')}`);
await execa('npm', ['run', 'build'], { cwd: ROOT });
mkdirSync(OUT, { recursive: true });
const results: Record<string, Row[]> = existsSync(RESULTS)
  ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as Record<string, Row[]>)
  : {};
for (const [name, measure] of Object.entries(AREAS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  process.stdout.write(`\n${name}\n`);
  results[name] = await measure();
  process.stdout.write(`${tableOf(results[name])}\n`);
  writeFileSync(RESULTS, `${JSON.stringify(results, null, 1)}\n`);
}
const machine = `${execFileSync('uname', ['-sm'], { encoding: 'utf8' }).trim()}, Node ${process.versions.node}, 2 cores`;
const sections = Object.keys(AREAS).flatMap((name) =>
  results[name] === undefined ? [] : [`## ${name}\n\n${tableOf(results[name])}`],
);
writeFileSync(
  path.join(OUT, 'results.md'),
  `# Figures\n\nMade by \`npm run bench\`: medians [least–most] of at least five runs, each beside its reference in the same run. ${machine}.\nWhat they mean, what was tried and where a goal is missed: [README.md](README.md).\n\n![each figure as a part of its goal](results.svg)\n\n${sections.join('\n\n')}\n`,
);
writeFileSync(
  path.join(OUT, 'results.svg'),
  plotOf(Object.keys(AREAS).flatMap((name) => results[name] ?? [])),
);

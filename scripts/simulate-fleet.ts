/**
 * `npm run simulate [-- scenario…]`: fleets of ten thousand containers take a release, in simulated
 * time, with the real machine and the real pauses. Writes docs/benchmarks: fleet.json (by scenario,
 * so that one can be run again alone), the table and the plot.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { simulate } from './fleet-simulation/fleet.ts';
import { plotOf, type Result, resultOf, tableOf } from './fleet-simulation/report.ts';
import { scenarios } from './fleet-simulation/scenarios.ts';

const OUT = path.join(import.meta.dirname, '..', 'docs', 'benchmarks');
const RESULTS = path.join(OUT, 'fleet.json');

// XState throws and catches inside of each transition, and nobody reads those stacks.
Error.stackTraceLimit = 0;

const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !(name in scenarios));
if (unknown !== undefined)
  throw new Error(`there is no scenario ${unknown}: ${Object.keys(scenarios).join(', ')}`);
/** Read anew each time: several may run side by side, for some scenarios each. */
const readResults = (): Record<string, Result> =>
  existsSync(RESULTS) ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as Record<string, Result>) : {};
for (const [name, scenario] of Object.entries(scenarios)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const before = process.cpuUsage();
  const result = resultOf(await simulate(scenario));
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(
    `${name}, ${((user + system) / 1e6).toFixed(0)} s\n${tableOf([result])}\n\n`,
  );
  writeFileSync(RESULTS, `${JSON.stringify({ ...readResults(), [name]: result })}\n`);
}
const results = readResults();
const known = Object.keys(scenarios).flatMap((name) => results[name] ?? []);
writeFileSync(
  path.join(OUT, 'fleet.md'),
  `# A fleet of ten thousand\n\nMade by \`npm run simulate\`. What the figures mean: [README.md](README.md#fleet).\n\n![who is updated by when, and how many are down at once](fleet.svg)\n\n${tableOf(known)}\n`,
);
writeFileSync(path.join(OUT, 'fleet.svg'), plotOf(known));

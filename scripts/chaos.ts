/**
 * The chaos suite. `npm run test:chaos` runs a sample, in under ten minutes; `-- --full` all of it,
 * and writes the table that docs/resilience.md shows. `--seed N` chooses the same sample again,
 * `--case area/number` one case alone.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { writeReport } from './chaos-report.ts';

const ROOT = path.join(import.meta.dirname, '..');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    full: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    case: { type: 'string' },
    // Outcomes are added to this file, so that a full run can be made in parts; then: node
    // scripts/chaos-report.ts FILE
    report: { type: 'string' },
  },
});
const temporary = mkdtempSync(path.join(os.tmpdir(), 'chaos-'));
const report = values.report ?? path.join(temporary, 'outcomes.jsonl');
const files = readdirSync(path.join(ROOT, 'test', 'chaos'))
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => positionals.length === 0 || positionals.some((word) => name.startsWith(word)))
  .map((name) => path.join('test', 'chaos', name));
process.stdout.write(
  `chaos: ${values.full ? 'every case' : 'a sample'}, seed ${values.seed}; again: npm run test:chaos -- --seed ${values.seed}\n`,
);
await execa('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdout: 'ignore' });
// Only what runs in containers needs an engine and images.
const setup = files.some((file) => path.basename(file).startsWith('container-'))
  ? ['--test-global-setup=test/support/docker/setup.ts']
  : [];
const options = [
  '--test',
  ...setup,
  '--test-concurrency=1',
  '--test-force-exit',
  '--test-timeout=3600000',
  '--test-reporter=spec',
  ...(process.env['TEST_OPTIONS'] ?? '').split(' ').filter((word) => word !== ''),
];
const { exitCode } = await execa(process.execPath, [...options, ...files], {
  cwd: ROOT,
  stdio: 'inherit',
  reject: false,
  env: {
    CHAOS: values.full ? 'full' : 'sample',
    CHAOS_SEED: values.seed,
    CHAOS_REPORT: path.resolve(report),
    ...(values.case === undefined ? {} : { CHAOS_CASE: values.case }),
  },
});
if (values.full && positionals.length === 0 && values.case === undefined) writeReport(report);
rmSync(temporary, { recursive: true });
process.exitCode = exitCode ?? 1;

/**
 * Removes each fsync, each journal append and each verification, one at a time, and demands that
 * tests go red. `npm run mutate` tries all; `-- --sample N --seed S` some; a word chooses by file
 * or line.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { randomFrom, shuffled } from '../test/support/chaos/cases.ts';
import { MUTANTS, type Mutant, unlisted } from './mutants.ts';

const ROOT = path.join(import.meta.dirname, '..');

/** A copy of the tree with one thing changed, built. */
async function mutated({
  file,
  find,
  replace,
}: Pick<Mutant, 'file' | 'find' | 'replace'>): Promise<string> {
  const copy = mkdtempSync(path.join(os.tmpdir(), 'mutant-'));
  for (const name of [
    'src',
    'test',
    'scripts',
    'bin',
    'docker',
    'examples',
    'package.json',
    'tsconfig.json',
  ])
    cpSync(path.join(ROOT, name), path.join(copy, name), {
      recursive: true,
      filter: (source) => !source.includes('node_modules'),
    });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(copy, 'node_modules'));
  const target = path.join(copy, file);
  const source = readFileSync(target, 'utf8');
  writeFileSync(
    target,
    source.replace(find, () => replace),
  );
  await execa(process.execPath, ['scripts/build.ts'], { cwd: copy, stdout: 'ignore' });
  return copy;
}

/** The first test file that goes red; null if none does. */
async function redTest(
  copy: string,
  tests: readonly string[],
  scale: number,
): Promise<string | null> {
  const env = { CHAOS_SEED: '1', CHAOS_SCALE: String(scale) };
  const options = {
    cwd: copy,
    reject: false,
    stdout: 'ignore',
    stderr: 'ignore',
    timeout: 900_000,
    env,
  } as const;
  for (const test of tests) {
    const { exitCode } = await execa(
      process.execPath,
      ['--test', '--test-force-exit', '--test-timeout=300000', test],
      options,
    );
    if (exitCode !== 0) return test;
  }
  return null;
}

async function isCaught(mutant: Mutant): Promise<boolean> {
  const copy = await mutated(mutant);
  try {
    return (await redTest(copy, mutant.tests, mutant.scale)) !== null;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** The control: where nothing was changed, nothing may go red, or red would say nothing. */
async function assertGreenUnchanged(mutants: readonly Mutant[]): Promise<void> {
  const copy = await mutated({
    file: 'src/main.ts',
    find: 'export async function main',
    replace: 'export async function main',
  });
  const red = await redTest(copy, [...new Set(mutants.flatMap(({ tests }) => tests))], 1);
  rmSync(copy, { recursive: true, force: true });
  if (red !== null) throw new Error(`${red} is red without any change`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { sample: { type: 'string' }, seed: { type: 'string', default: '1' } },
});
const problems = unlisted();
if (problems.length > 0) throw new Error(problems.join('\n'));
const fitting = MUTANTS.filter((mutant) =>
  positionals.every((word) => `${mutant.file} ${mutant.find}`.includes(word)),
);
const chosen =
  values.sample === undefined
    ? fitting
    : shuffled(fitting, randomFrom(values.seed)).slice(0, Number(values.sample));
await assertGreenUnchanged(chosen);
const survivors: Mutant[] = [];
for (const [index, mutant] of chosen.entries()) {
  const caught = await isCaught(mutant);
  if (!caught) survivors.push(mutant);
  process.stdout.write(
    `${caught ? '✔ caught  ' : '✖ survived'} ${index + 1}/${chosen.length} ${mutant.file}: ${mutant.find.trim().split('\n').at(-1)?.trim()}\n`,
  );
}
// As the test runner says it, so that it is counted.
process.stdout.write(`ℹ pass ${chosen.length - survivors.length}\nℹ fail ${survivors.length}\n`);
process.exitCode = survivors.length > 0 || chosen.length === 0 ? 1 : 0;

/**
 * Removes each fsync, each journal append and each verification, one at a time, and demands that tests go red. `npm run mutate` tries all;
 * `-- --sample N --seed S` some; a word chooses by file or line.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { randomFrom, shuffled } from '../test/support/chaos/cases.ts';

const ROOT = path.join(import.meta.dirname, '..');
const POWER_CUT = ['test/chaos/power-cut.test.ts'];
const JOURNAL = ['test/journal/journal.test.ts', 'test/chaos/power-cut.test.ts'];
const DOWNLOADS = ['test/effects/download.test.ts', 'test/chaos/bad-servers.test.ts'];
const JUDGEMENT = ['test/trust/judge.test.ts', 'test/trust/minisign.test.ts', 'test/trust/attestation.test.ts'];
const TREES = ['test/effects/switch.test.ts'];

/** `scale`: how many more cases than usual it takes to meet the moment that counts. */
type Mutant = { file: string; find: string; replace: string; tests: readonly string[]; scale: number };

const removed = (file: string, find: string, tests: readonly string[], replace = '', scale = 1): Mutant => ({ file, find, replace, tests, scale });

const MUTANTS: readonly Mutant[] = [
  // What makes bytes and names durable.
  removed('src/effects/durable.ts', "open(directory, 'r');\n  try {\n    await handle.sync();", POWER_CUT, "open(directory, 'r');\n  try {"),
  removed('src/effects/durable.ts', '      await handle.writeFile(data);\n      await handle.sync();', POWER_CUT, '      await handle.writeFile(data);'),
  removed('src/effects/durable.ts', '  await syncDirectory(path.dirname(file));\n', POWER_CUT),
  removed('src/effects/durable.ts', '  await syncDirectory(path.dirname(directory));\n', POWER_CUT, '', 10),
  removed('src/effects/durable.ts', '  await syncDirectory(path.dirname(to));\n', POWER_CUT),
  removed('src/effects/durable.ts', '  if (path.dirname(from) !== path.dirname(to)) await syncDirectory(path.dirname(from));\n', POWER_CUT),
  removed('src/effects/durable.ts', '    await syncDirectory(path.dirname(link));\n', POWER_CUT),
  removed('src/effects/extract.ts', '  await syncTree(work);\n', POWER_CUT),
  removed('src/effects/linked.ts', '  await syncTree(path.dirname(to));\n', POWER_CUT, '', 4),
  removed('src/effects/seal.ts', '    await handle.sync();\n', POWER_CUT),
  removed('src/effects/seal.ts', '  await syncDirectory(path.dirname(file));\n', POWER_CUT),
  removed('src/journal/journal.ts', "'PRAGMA synchronous=FULL'", POWER_CUT, "'PRAGMA synchronous=OFF'"),
  // What is recorded before anything follows from it.
  removed(
    'src/runtime/runtime.ts',
    'const record = journal.append(fact, { at, effect: draft.effect, command: draft.command, durable: !SEEN_ON_DISK.has(fact.type) });',
    POWER_CUT,
    'const record = draft;',
  ),
  removed(
    'src/runtime/runtime.ts',
    'const record = journal.append(fact, { at: now(), effect: null, command: null });',
    POWER_CUT,
    'const record = { seq: 1, at: now(), fact, effect: null, command: null };',
  ),
  removed('src/runtime/runtime.ts', 'durable: !SEEN_ON_DISK.has(fact.type)', POWER_CUT, 'durable: false'),
  removed('src/effects/probation.ts', '  await markLastGood(places);\n', POWER_CUT),
  // What is checked before it is believed.
  removed('src/trust/judge.ts', "  if (asset.digest !== sha256) throw mismatch(asset.name, tag, sha256, 'GitHub', asset.digest);\n", JUDGEMENT),
  removed(
    'src/trust/judge.ts',
    "  if (checksums?.digest != null && checksums.digest !== sums.sha256) throw mismatch(sums.name, tag, sums.sha256, 'GitHub', checksums.digest);\n",
    JUDGEMENT,
  ),
  removed('src/trust/judge.ts', '  if (wrong !== undefined) throw mismatch(asset.name, tag, sha256, sums.name, wrong);\n', JUDGEMENT),
  removed('src/trust/judge.ts', '  if (sizeBytes !== asset.sizeBytes)', JUDGEMENT, '  if (sizeBytes < 0)'),
  removed('src/trust/judge.ts', "  { name: 'digest required', check: requireDigest },\n", JUDGEMENT),
  removed('src/trust/judge.ts', "  { name: 'name', check: checkName },\n", JUDGEMENT),
  removed('src/trust/judge.ts', "  { name: 'minisign', check: checkMinisign },\n", JUDGEMENT),
  removed('src/trust/judge.ts', "  { name: 'attestation', check: checkAttestation },\n", JUDGEMENT),
  removed('src/trust/minisign.ts', '  if (!verify(null, signed.blake2b512, known.key, signature))', JUDGEMENT, '  if (false)'),
  removed(
    'src/trust/minisign.ts',
    '  if (!verify(null, Buffer.concat([signature, Buffer.from(trustedComment)]), known.key, globalSignature))',
    JUDGEMENT,
    '  if (false)',
  ),
  removed('src/trust/attestation.ts', '  assertIdentity(signer.identity, rules);\n', JUDGEMENT),
  removed('src/trust/attestation.ts', '  if (about.length === 0)', JUDGEMENT, '  if (false)'),
  removed('src/effects/verify.ts', '  await assertSealed(path, sha256, deps.sealed);\n', DOWNLOADS),
  removed('src/effects/extract.ts', '    await assertSealed(archive, sha256, deps.sealed);\n', ['test/effects/extract.test.ts']),
  removed('src/effects/download.ts', '      if (received > asset.sizeBytes)', DOWNLOADS, '      if (received < 0)'),
  removed('src/effects/download.ts', '  if (announced >= 0 && announced !== expected) {', DOWNLOADS, '  if (announced < 0) {'),
  removed('src/effects/download.ts', '  if (asset.sizeBytes > mostBytes)', DOWNLOADS, '  if (asset.sizeBytes < 0)'),
  removed('src/effects/switch.ts', '  if (!(baked ? await exists(to.path) : await readManifest(to.path)))', TREES, '  if (!(await exists(to.path)) && false)'),
  removed('src/journal/journal.ts', '        if (row.hash !== hash || row.seq !== seq) throw misfit(row.seq);\n        return', JOURNAL, '        return'),
  removed(
    'src/journal/journal.ts',
    '        if (row.hash !== hash || row.seq !== seq) throw misfit(row.seq);\n      }',
    ['test/chaos/journal.test.ts'],
    '      }',
  ),
  removed('src/journal/journal.ts', '  return sealed(content) === text ? content : null;', JOURNAL, '  return content;'),
  removed('src/journal/schema.ts', "if (words(found.get(name) ?? '') !== words(sql))", ['test/journal/journal.test.ts'], 'if (false)'),
  removed('src/journal/schema.ts', "  if (found !== 'ok')", ['test/journal/journal.test.ts'], "  if (found === '')"),
];

/** So that a new one does not stay without its mutant. */
function assertAllListed(): void {
  const sites = /handle\.sync\(\)|await syncDirectory\(|await syncTree\(|journal\.append\(|await assertSealed\(|\) throw mismatch\(/g;
  for (const file of ['durable', 'extract', 'linked', 'seal', 'switch', 'verify', 'download', 'probation']
    .map((name) => `src/effects/${name}.ts`)
    .concat('src/runtime/runtime.ts', 'src/trust/judge.ts')) {
    const found = readFileSync(path.join(ROOT, file), 'utf8').match(sites)?.length ?? 0;
    const listed = MUTANTS.filter((mutant) => mutant.file === file).reduce((sum, { find }) => sum + (find.match(sites)?.length ?? 0), 0);
    if (found !== listed)
      throw new Error(`${file} has ${found} places that make durable, record or verify, and ${listed} of them are listed in scripts/mutate.ts`);
  }
}

/** A copy of the tree with one thing changed, built. */
async function mutated({ file, find, replace }: Pick<Mutant, 'file' | 'find' | 'replace'>): Promise<string> {
  const copy = mkdtempSync(path.join(os.tmpdir(), 'mutant-'));
  for (const name of ['src', 'test', 'scripts', 'bin', 'docker', 'examples', 'package.json', 'tsconfig.json'])
    cpSync(path.join(ROOT, name), path.join(copy, name), { recursive: true, filter: (source) => !source.includes('node_modules') });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(copy, 'node_modules'));
  const target = path.join(copy, file);
  const source = readFileSync(target, 'utf8');
  if (source.split(find).length !== 2) throw new Error(`${file} does not have exactly once: ${find}`);
  writeFileSync(
    target,
    source.replace(find, () => replace),
  );
  await execa(process.execPath, ['scripts/build.ts'], { cwd: copy, stdout: 'ignore' });
  return copy;
}

/** The first test file that goes red; null if none does. */
async function redTest(copy: string, tests: readonly string[], scale: number): Promise<string | null> {
  const env = { CHAOS_SEED: '1', CHAOS_SCALE: String(scale) };
  const options = { cwd: copy, reject: false, stdout: 'ignore', stderr: 'ignore', timeout: 900_000, env } as const;
  for (const test of tests) {
    const { exitCode } = await execa(process.execPath, ['--test', '--test-force-exit', '--test-timeout=300000', test], options);
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
  const copy = await mutated({ file: 'src/main.ts', find: 'export async function main', replace: 'export async function main' });
  const red = await redTest(copy, [...new Set(mutants.flatMap(({ tests }) => tests))], 1);
  rmSync(copy, { recursive: true, force: true });
  if (red !== null) throw new Error(`${red} is red without any change`);
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { sample: { type: 'string' }, seed: { type: 'string', default: '1' } } });
assertAllListed();
const fitting = MUTANTS.filter((mutant) => positionals.every((word) => `${mutant.file} ${mutant.find}`.includes(word)));
const chosen = values.sample === undefined ? fitting : shuffled(fitting, randomFrom(values.seed)).slice(0, Number(values.sample));
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

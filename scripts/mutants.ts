/**
 * What `npm run mutate` removes, one at a time: each fsync, each journal append and each
 * verification.
 */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '..');
const POWER_CUT = ['test/chaos/power-cut.test.ts'];
const JOURNAL = ['test/journal/journal.test.ts', 'test/chaos/power-cut.test.ts'];
const DOWNLOADS = ['test/effects/download.test.ts', 'test/chaos/bad-servers.test.ts'];
const JUDGEMENT = [
  'test/trust/judge.test.ts',
  'test/trust/minisign.test.ts',
  'test/trust/attestation.test.ts',
];
const DIRECTORY = ['test/effects/sources/directory.test.ts'];
const REGISTRY = ['test/product/registry.test.ts', 'test/product/registry-auth.test.ts'];
const TREES = ['test/effects/switch.test.ts'];

/** `scale`: how many more cases than usual it takes to meet the moment that counts. */
export type Mutant = {
  file: string;
  find: string;
  replace: string;
  tests: readonly string[];
  scale: number;
};

const removed = (
  file: string,
  find: string,
  tests: readonly string[],
  replace = '',
  scale = 1,
): Mutant => ({ file, find, replace, tests, scale });

export const MUTANTS: readonly Mutant[] = [
  // What makes bytes and names durable.
  removed(
    'src/effects/durable.ts',
    "open(directory, 'r');\n  try {\n    await handle.sync();",
    POWER_CUT,
    "open(directory, 'r');\n  try {",
  ),
  removed(
    'src/effects/durable.ts',
    '      await handle.writeFile(data);\n      await handle.sync();',
    POWER_CUT,
    '      await handle.writeFile(data);',
  ),
  removed('src/effects/durable.ts', '  await syncDirectory(path.dirname(file));\n', POWER_CUT),
  removed(
    'src/effects/durable.ts',
    '  await syncDirectory(path.dirname(directory));\n',
    POWER_CUT,
    '',
    10,
  ),
  removed('src/effects/durable.ts', '  await syncDirectory(path.dirname(to));\n', POWER_CUT),
  removed(
    'src/effects/durable.ts',
    '  if (path.dirname(from) !== path.dirname(to)) await syncDirectory(path.dirname(from));\n',
    POWER_CUT,
  ),
  removed('src/effects/durable.ts', '    await syncDirectory(path.dirname(link));\n', POWER_CUT),
  removed('src/effects/extract.ts', '  await syncTree(work);\n', POWER_CUT),
  removed('src/effects/claim.ts', '  await syncDirectory(places.root);\n', [
    'test/effects/claim.test.ts',
  ]),
  removed('src/effects/garbage.ts', '    await syncDirectory(tree);\n', POWER_CUT, '', 10),
  removed('src/effects/linked-data.ts', '  await syncAll(path.dirname(to));\n', POWER_CUT, '', 10),
  removed('src/effects/seal.ts', '    await handle.sync();\n', POWER_CUT),
  removed('src/effects/seal.ts', '  await syncDirectory(path.dirname(file));\n', POWER_CUT),
  removed(
    'src/journal/journal.ts',
    "'PRAGMA synchronous=FULL'",
    POWER_CUT,
    "'PRAGMA synchronous=OFF'",
  ),
  // What is recorded before anything follows from it.
  removed(
    'src/runtime/runtime.ts',
    'const record = journal.append(fact, {\n      at,\n      effect: draft.effect,\n      command: draft.command,\n      durable: !SEEN_ON_DISK.has(fact.type),\n    });',
    POWER_CUT,
    'const record = draft;',
  ),
  removed(
    'src/runtime/runtime.ts',
    'const record = journal.append(fact, { at: now(), effect: null, command: null });',
    POWER_CUT,
    'const record = { seq: 1, at: now(), fact, effect: null, command: null };',
  ),
  removed(
    'src/runtime/runtime.ts',
    'durable: !SEEN_ON_DISK.has(fact.type)',
    POWER_CUT,
    'durable: false',
  ),
  removed('src/effects/probation.ts', '  await markLastGood(places);\n', POWER_CUT),
  // What is checked before it is believed.
  removed(
    'src/trust/judge.ts',
    "  if (asset.digest !== sha256) throw mismatch(asset.name, tag, sha256, 'its source', asset.digest);\n",
    JUDGEMENT,
  ),
  removed(
    'src/trust/judge.ts',
    '  if (checksums?.digest != null && checksums.digest !== sums.sha256)\n    throw mismatch(',
    JUDGEMENT,
    '  if (false)\n    throw mismatch(',
  ),
  removed(
    'src/trust/judge.ts',
    '  if (wrong !== undefined) throw mismatch(asset.name, tag, sha256, sums.name, wrong);\n',
    JUDGEMENT,
  ),
  removed(
    'src/trust/judge.ts',
    '  if (sizeBytes !== asset.sizeBytes)',
    JUDGEMENT,
    '  if (sizeBytes < 0)',
  ),
  removed(
    'src/trust/judge.ts',
    "  { name: 'digest required', check: requireDigest },\n",
    JUDGEMENT,
  ),
  removed('src/trust/judge.ts', "  { name: 'name', check: checkName },\n", JUDGEMENT),
  removed('src/trust/judge.ts', "  { name: 'minisign', check: checkMinisign },\n", JUDGEMENT),
  removed('src/trust/judge.ts', "  { name: 'attestation', check: checkAttestation },\n", JUDGEMENT),
  removed(
    'src/trust/judge.ts',
    'minisignKeys.some(({ id }) => id === indexKey)',
    JUDGEMENT,
    'true',
  ),
  removed(
    'src/effects/sources/directory.ts',
    'await this.#signerOf(text, strikes, signal);',
    DIRECTORY,
    'null;',
  ),
  removed(
    'src/effects/sources/oci-manifests.ts',
    '    if (actual === digest) return;\n',
    REGISTRY,
    '    return;\n',
  ),
  removed('src/effects/sources/oci-auth.ts', ' && hosts.includes(hostname)', REGISTRY),
  removed('src/effects/sources/directory-file.ts', '!isInside(real, root) || ', DIRECTORY),
  removed(
    'src/trust/minisign.ts',
    '  if (!verify(null, signed.blake2b512, known.key, signature))',
    JUDGEMENT,
    '  if (false)',
  ),
  removed(
    'src/trust/minisign.ts',
    '    !verify(\n      null,\n      Buffer.concat([signature,',
    JUDGEMENT,
    '    false && !verify(\n      null,\n      Buffer.concat([signature,',
  ),
  removed('src/trust/attestation.ts', '  assertIdentity(signer.identity, rules);\n', JUDGEMENT),
  removed(
    'src/trust/attestation.ts',
    "({ digest }) => digest['sha256'] === wanted.sha256",
    JUDGEMENT,
    '() => true',
  ),
  removed('src/trust/attestation.ts', 'isCalled(name, wanted.name)', JUDGEMENT, 'true'),
  removed('src/trust/judge.ts', 'file.name === name', JUDGEMENT, 'true'),
  removed('src/trust/judge.ts', 'called.every(', JUDGEMENT, 'called.some('),
  removed('src/trust/judge.ts', '      isListed &&\n', JUDGEMENT),
  removed('src/effects/verify.ts', '  await assertSealed(path, sha256, deps.sealed);\n', DOWNLOADS),
  removed('src/effects/extract.ts', '    await assertSealed(archive, sha256, deps.sealed);\n', [
    'test/effects/extract.test.ts',
  ]),
  removed(
    'src/effects/download.ts',
    '      if (received > asset.sizeBytes)',
    DOWNLOADS,
    '      if (received < 0)',
  ),
  removed(
    'src/effects/download.ts',
    '  if (announced >= 0 && announced !== expected) {',
    DOWNLOADS,
    '  if (announced < 0) {',
  ),
  removed(
    'src/effects/download.ts',
    '  if (asset.sizeBytes > mostBytes)',
    DOWNLOADS,
    '  if (asset.sizeBytes < 0)',
  ),
  removed(
    'src/effects/switch.ts',
    '  if (isTreeThere(version.path, places)) return;\n',
    TREES,
    '  return;\n',
  ),
  removed(
    'src/journal/journal.ts',
    '        if (row.hash !== hash || row.seq !== seq) throw misfit(row.seq);\n        return',
    JOURNAL,
    '        return',
  ),
  removed(
    'src/journal/journal.ts',
    '        if (row.hash !== hash || row.seq !== seq) throw misfit(row.seq);\n      }',
    ['test/chaos/journal.test.ts'],
    '      }',
  ),
  removed(
    'src/journal/journal.ts',
    '  return sealed(content) === text ? content : null;',
    JOURNAL,
    '  return content;',
  ),
  removed(
    'src/journal/schema.ts',
    "if (words(found.get(name) ?? '') !== words(sql))",
    ['test/journal/journal.test.ts'],
    'if (false)',
  ),
  removed(
    'src/journal/schema.ts',
    "  if (found !== 'ok')",
    ['test/journal/journal.test.ts'],
    "  if (found === '')",
  ),
];

/** A place that makes durable, records or verifies. */
const SITES =
  /handle\.sync\(\)|await sync(?:Directory|Tree|All)\(|journal\.append\(|await assertSealed\(|\)\s+throw mismatch\(/g;

/**
 * Files whose places of that kind are not those that the list names, so that a new one does not
 * stay without its mutant. Empty is good.
 */
export function unlisted(): string[] {
  const problems: string[] = [];
  for (const file of globSync('src/**/*.ts', { cwd: ROOT })) {
    const source = readFileSync(path.join(ROOT, file), 'utf8');
    const mutants = MUTANTS.filter((mutant) => mutant.file === file);
    const found = source.match(SITES)?.length ?? 0;
    const listed = mutants.reduce((sum, { find }) => sum + (find.match(SITES)?.length ?? 0), 0);
    if (found !== listed)
      problems.push(
        `${file} makes durable, records or verifies in ${found} places, and ${listed} of them are listed`,
      );
    for (const { find } of mutants)
      if (source.split(find).length !== 2)
        problems.push(`${file} does not have exactly once: ${find}`);
  }
  for (const { file } of MUTANTS)
    if (!globSync(file, { cwd: ROOT }).length) problems.push(`${file} is missing`);
  return problems;
}

/**
 * What is where: each test file belongs to one npm script, chosen by its directory, and .ci/run
 * runs all of them.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const ROOT = path.join(import.meta.dirname, '..');
const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const suites = Object.entries(scripts).filter(([name]) => /^test(?::|$)/.test(name));

/** scripts/chaos.ts runs the directory of its name. */
const patternsOf = (script: string) =>
  script.includes('scripts/chaos.ts')
    ? ['test/chaos/*.test.ts']
    : (script.match(/test\/[^' ]*\.test\.ts/g) ?? []);
const filesOf = (script: string) =>
  patternsOf(script).flatMap((pattern) => globSync(pattern, { cwd: ROOT }));

describe('a test file', () => {
  it('is run by exactly one script', () => {
    const owners = new Map(
      globSync('test/**/*.test.ts', { cwd: ROOT }).map((file) => [file, [] as string[]]),
    );
    for (const [name, script] of suites)
      for (const file of filesOf(script)) owners.get(file)?.push(name);
    assert.ok(owners.size > 100, `${owners.size} files`);
    assert.deepEqual(
      [...owners].filter(([, names]) => names.length !== 1),
      [],
    );
  });

  it('under test/product starts the whole product, and what else does is in test/smoke or a suite with needs of its own', () => {
    const [, all = ''] = suites.find(([name]) => name === 'test') ?? [];
    const starting = filesOf(all).filter((file) =>
      /from '.*support\/(?:product|kill-cases|http)\.ts'/.test(
        readFileSync(path.join(ROOT, file), 'utf8'),
      ),
    );
    assert.deepEqual(
      starting.filter((file) => !file.startsWith('test/smoke/')),
      ['test/docs-commands.test.ts'],
    );
  });
});

describe('.ci/run', () => {
  it('runs every suite', () => {
    const run = readFileSync(path.join(ROOT, '.ci', 'run'), 'utf8');
    // Those of the list are run beside another one, and counted at its end.
    const listed =
      /^scripts=\((.*)\)\nbegin_beside "\$\{scripts\[@\]\}"\n.*\nend_beside "\$\{scripts\[@\]\}"$/m;
    const beside = listed.exec(run)?.[1]?.split(' ') ?? [];
    for (const [name] of suites.filter(([one]) => !beside.includes(one)))
      assert.match(run, new RegExp(`^suite\\w* npm (?:run )?${name}(?: |$)`, 'm'), name);
  });
});

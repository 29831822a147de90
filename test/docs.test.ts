import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { generated } from '../scripts/docs.ts';
import { COMMANDS } from '../src/cli/arguments.ts';
import { updaterMachine } from '../src/machines/updater.ts';

const ROOT = path.join(import.meta.dirname, '..');
const read = (name: string) => readFileSync(path.join(ROOT, name), 'utf8');

describe('the documentation', () => {
  for (const [name, text] of Object.entries(generated())) {
    it(`docs/${name} is what the code says (npm run docs)`, () => assert.equal(read(`docs/${name}`), text));
  }

  it('describes every state', () => {
    for (const [key, node] of Object.entries(updaterMachine.states)) assert.ok(node.description, key);
  });

  it('describes every command', () => {
    const text = read('docs/commands.md');
    for (const name of Object.keys(COMMANDS)) assert.match(text, new RegExp(`\`self-update ${name}\\b`), name);
  });

  it('tells what to do about every error code', () => {
    const sources = execFileSync('grep', ['-rhoE', "(code: |Fault\\(\\s*)'[A-Z][A-Z_]+'|code: '[A-Z_]+'", 'src'], { cwd: ROOT, encoding: 'utf8' });
    const codes = new Set([...sources.matchAll(/'([A-Z_]+)'/g)].map(([, code = '']) => code));
    assert.ok(codes.size > 30, [...codes].join());
    const text = read('docs/troubleshooting.md');
    for (const code of codes) assert.ok(text.includes(`\`${code}\``), code);
  });

  it('gives a reason for every dependency', () => {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
    const text = read('docs/dependencies.md');
    for (const name of Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })) assert.ok(text.includes(`\`${name}\``), name);
  });

  it('has no dead links to its own files', () => {
    const files = execFileSync('find', ['docs', '-name', '*.md'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
    for (const file of ['README.md', 'CHANGELOG.md', ...files]) {
      for (const [, target = ''] of read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g))
        assert.ok(existsSync(path.join(ROOT, path.dirname(file), target)), `${file} → ${target}`);
    }
  });
});

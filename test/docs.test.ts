import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import packageJson from '../package.json' with { type: 'json' };
import { generated, published } from '../scripts/docs.ts';
import { COMMANDS } from '../src/cli/arguments.ts';
import { updaterMachine } from '../src/machines/updater.ts';

const ROOT = path.join(import.meta.dirname, '..');
const read = (name: string) => readFileSync(path.join(ROOT, name), 'utf8');

describe('the documentation', () => {
  for (const [name, text] of Object.entries(generated())) {
    it(`docs/${name} is what the code says (npm run docs)`, () =>
      assert.equal(read(`docs/${name}`), text));
  }

  it('names the published image as package.json does (npm run docs)', () => {
    for (const [file, text] of Object.entries(published())) assert.equal(read(file), text, file);
    const changed = published({
      ...packageJson,
      image: 'registry.example/acme/updater',
      version: '9.9.9',
    });
    assert.match(
      changed['deploy.yaml'] ?? '',
      /^ +image: registry\.example\/acme\/updater:v9\.9\.9$/m,
    );
    assert.match(changed['docs/security.md'] ?? '', / --repo acme\/updater$/m);
    const places = [
      'README.md',
      'deploy.yaml',
      'Dockerfile',
      'docs',
      'examples',
      'src',
      'docker',
      'test',
      'scripts',
      'package.json',
      '.github',
    ];
    const naming = execFileSync(
      'grep',
      ['-rlF', '--exclude-dir=node_modules', packageJson.image, ...places],
      { cwd: ROOT, encoding: 'utf8' },
    )
      .trim()
      .split('\n');
    assert.deepEqual(
      naming.sort(),
      [
        'deploy.yaml',
        'examples/deploy/kubernetes.yaml',
        'examples/fleet/kubernetes/app.yaml',
        'examples/kubernetes/in-place.yaml',
        'package.json',
      ],
      'the name is set in package.json alone',
    );
  });

  it('describes every state', () => {
    for (const [key, node] of Object.entries(updaterMachine.states))
      assert.ok(node.description, key);
  });

  it('describes every command', () => {
    const text = read('docs/commands.md');
    for (const name of Object.keys(COMMANDS))
      assert.match(text, new RegExp(`\`self-update ${name}\\b`), name);
  });

  it('tells what to do about every error code', () => {
    const sources = execFileSync(
      'grep',
      ['-rhoE', "(code: |Fault\\(\\s*)'[A-Z][A-Z_]+'|code: '[A-Z_]+'", 'src'],
      { cwd: ROOT, encoding: 'utf8' },
    );
    const codes = new Set([...sources.matchAll(/'([A-Z_]+)'/g)].map(([, code = '']) => code));
    assert.ok(codes.size > 30, [...codes].join());
    const text = read('docs/troubleshooting.md');
    for (const code of codes) assert.ok(text.includes(`\`${code}\``), code);
  });

  it('gives a reason for every dependency', () => {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(
      read('package.json'),
    ) as Record<string, Record<string, string>>;
    const text = read('docs/dependencies.md');
    for (const name of Object.keys({
      ...dependencies,
      ...devDependencies,
      ...optionalDependencies,
    }))
      assert.ok(text.includes(`\`${name}\``), name);
  });

  it('has no dead links to its own files', () => {
    const find = ['docs', 'examples', '-name', '*.md'];
    const files = execFileSync('find', find, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
    for (const file of ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', ...files]) {
      for (const [, target = '', anchor] of read(file).matchAll(
        /\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g,
      )) {
        const page = target === '' ? file : path.join(path.dirname(file), target);
        assert.ok(existsSync(path.join(ROOT, page)), `${file} → ${target}`);
        if (anchor !== undefined)
          assert.ok(anchorsOf(page).has(anchor), `${file} → ${target}#${anchor}`);
      }
    }
  });
});

/** As GitHub makes them of headings. */
function anchorsOf(page: string): Set<string> {
  const headings = [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

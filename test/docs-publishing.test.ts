/**
 * The recipes of docs/publishing.md: whole files, whose own steps pack a release here that `lint`
 * has nothing against.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { parse } from 'yaml';
import * as z from 'zod';
import { settings } from '../src/config/settings.ts';
import { AMD64, ARM64, elf, lintOf, packed } from './support/lint.ts';

const ROOT = path.join(import.meta.dirname, '..');
const PAGE = readFileSync(path.join(ROOT, 'docs', 'publishing.md'), 'utf8');
const ACTION = /\/\.github\/actions\/lint@/;

const texts = z.record(z.string(), z.string());
const stepSchema = z
  .strictObject({
    uses: z.string(),
    run: z.string(),
    with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    env: texts,
  })
  .partial();
const workflowSchema = z.strictObject({
  name: z.string(),
  on: z.strictObject({ push: z.strictObject({ tags: z.array(z.string()) }) }),
  permissions: z.strictObject({}),
  jobs: z.record(
    z.string(),
    z.strictObject({
      'runs-on': z.string(),
      permissions: texts,
      env: texts.optional(),
      steps: z.array(stepSchema),
    }),
  ),
});
type Step = z.infer<typeof stepSchema>;

const blocks = [...PAGE.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
const workflows = blocks
  .filter((text) => text.startsWith('# .github/workflows/'))
  .map((text) => workflowSchema.parse(parse(text)));
const stepsOf = (at: number): Step[] =>
  Object.values(workflows[at]?.jobs ?? {}).flatMap(({ steps }) => steps);
const [GORELEASER, NODE, RUST] = [0, 1, 2];

const inputs = new Set(
  Object.keys(
    (
      parse(readFileSync(path.join(ROOT, '.github/actions/lint/action.yml'), 'utf8')) as {
        inputs: object;
      }
    ).inputs,
  ),
);

/** Runs the step that packs, in a directory with these files, and lints as the next step does. */
async function lintAfter(
  at: number,
  packs: RegExp,
  files: Record<string, string | Buffer>,
): Promise<void> {
  const root = mkdtempSync(path.join(os.tmpdir(), 'recipe-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
      writeFileSync(path.join(root, name), content);
      chmodSync(path.join(root, name), 0o755);
    }
    const step = stepsOf(at).find(({ run }) => run !== undefined && packs.test(run));
    await execa('bash', ['-e', '-c', step?.run ?? assert.fail(String(packs))], {
      cwd: root,
      env: { PATH: process.env['PATH'] ?? '', GITHUB_REF_NAME: 'v1.2.3' },
      extendEnv: false,
    });
    const lint = stepsOf(at).find(({ uses }) => ACTION.test(uses ?? ''));
    const report = await lintOf(path.join(root, String(lint?.with?.['path'])), lint?.env ?? {}, {
      as: 'acme/app@v1.2.3',
      platforms: String(lint?.with?.['platforms']).split(','),
    });
    assert.deepEqual(
      report.findings.filter(({ level }) => level !== 'notice'),
      [],
    );
    for (const { result, verifiedBy, platform } of report.platforms)
      assert.deepEqual([result, verifiedBy], ['served', ['digest', 'checksums']], platform);
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('a recipe for publishers', () => {
  it('is a whole workflow, of pinned actions, that ends in lint and then publishes', () => {
    assert.equal(workflows.length, 3);
    for (const [at] of workflows.entries()) {
      const steps = stepsOf(at);
      for (const { uses } of steps)
        if (uses !== undefined && !ACTION.test(uses)) assert.match(uses, /@[0-9a-f]{40}$/);
      const order = steps.map(({ uses, run }) =>
        ACTION.test(uses ?? '')
          ? 'lint'
          : /^gh release (?:create|edit)/.test(run ?? '')
            ? 'publish'
            : '',
      );
      assert.deepEqual(order.slice(-2), ['lint', 'publish']);
      // A secret or a name in a script would be part of it.
      for (const { run = '' } of steps) assert.doesNotMatch(run, /\$\{\{/);
    }
  });

  it('gives the action what it takes, and settings that there are', () => {
    const used = [0, 1, 2].flatMap(stepsOf).filter(({ uses }) => ACTION.test(uses ?? ''));
    assert.equal(used.length, 3);
    for (const { with: given = {}, env = {} } of used) {
      assert.deepEqual(
        Object.keys(given).filter((name) => !inputs.has(name)),
        [],
      );
      assert.deepEqual(
        Object.keys(env).filter((name) => !(name in settings.shape)),
        [],
      );
    }
  });

  it('for GoReleaser names files as the updater reads them', async () => {
    const config = parse(blocks.find((text) => text.startsWith('# .goreleaser.yaml')) ?? '') as {
      project_name: string;
      builds: { goarch: string[]; goos: string[]; env: string[] }[];
      archives: { formats: string[]; name_template: string }[];
      checksum: { name_template: string };
    };
    const [build] = config.builds;
    const [form] = config.archives;
    assert.deepEqual([build?.goos, form?.formats], [['linux'], ['tar.gz']]);
    const files: Record<string, Buffer> = { 'dist/config.yaml': Buffer.from('left out') };
    const sums: string[] = [];
    for (const arch of build?.goarch ?? []) {
      const values: Record<string, string> = {
        ProjectName: config.project_name,
        Version: '1.2.3',
        Os: 'linux',
        Arch: arch,
      };
      const name = form?.name_template.replaceAll(
        /\{\{ \.(\w+) \}\}/g,
        (_, key) => values[key] ?? '',
      );
      files[`dist/${name}.tar.gz`] = await packed(elf(arch === 'amd64' ? AMD64 : ARM64));
      const { stdout } = await execa('sha256sum', { input: files[`dist/${name}.tar.gz`] ?? '' });
      sums.push(stdout.replace('-', `${name}.tar.gz`));
    }
    files[`dist/${config.checksum.name_template}`] = Buffer.from(`${sums.join('\n')}\n`);
    await lintAfter(GORELEASER, /^mkdir published/, files);
  });

  it('for Node packs an archive that is taken', () =>
    lintAfter(NODE, /tar -czf/, {
      'server.js': 'serve()',
      'package.json': '{}',
      'node_modules/a/index.js': '',
    }));

  it('for Rust packs archives that are taken, with glibc and with musl', () =>
    lintAfter(RUST, /tar -czf/, {
      'target/x86_64-unknown-linux-musl/release/app': elf(AMD64),
      'target/aarch64-unknown-linux-musl/release/app': elf(ARM64),
    }));
});

/**
 * The workflows, as they are written: who sees the signing key, what is pinned, attested and
 * signed. `npm run test:deploy`.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { parse } from 'yaml';

const ROOT = path.join(import.meta.dirname, '..', '..');
const WORKFLOWS = path.join(ROOT, '.github', 'workflows');
const SIGN = path.join(ROOT, 'scripts', 'sign-release');

type Step = {
  id?: string;
  uses?: string;
  run?: string;
  env?: Record<string, string>;
  with?: Record<string, unknown>;
};
type Job = {
  needs?: string | string[];
  environment?: string;
  permissions: Record<string, string>;
  outputs?: object;
  env?: object;
  steps: Step[];
};
type Workflow = { permissions: object; env?: object; jobs: Record<string, Job> };

const workflows = (): [string, Workflow][] =>
  readdirSync(WORKFLOWS).map((file) => [
    file,
    parse(readFileSync(path.join(WORKFLOWS, file), 'utf8')) as Workflow,
  ]);
const release = (parse(readFileSync(path.join(WORKFLOWS, 'release.yml'), 'utf8')) as Workflow).jobs;
const steps = (job: string): Step[] => release[job]?.steps ?? [];
const position = (job: string, fits: (step: Step) => boolean): number => steps(job).findIndex(fits);

describe('every workflow', () => {
  for (const [file, { permissions, jobs }] of workflows())
    it(`calls actions by commit only, and gives each job the rights it names (${file})`, () => {
      assert.deepEqual(permissions, {});
      for (const [name, job] of Object.entries(jobs)) {
        assert.ok(job.permissions, name);
        for (const { uses } of job.steps)
          if (uses !== undefined) assert.match(uses, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
      }
    });
});

describe('the signing key of a release', () => {
  it('is in the environment of the one step that signs, on a machine where nothing of npm runs', () => {
    const seen: string[] = [];
    for (const [file, { env, jobs }] of workflows()) {
      assert.doesNotMatch(JSON.stringify(env ?? {}), /MINISIGN/, file);
      for (const [name, job] of Object.entries(jobs)) {
        const { steps: all, ...rest } = job;
        assert.doesNotMatch(JSON.stringify(rest), /MINISIGN/, name);
        for (const step of all)
          if (/MINISIGN|secrets\.(?!GITHUB_TOKEN)/.test(JSON.stringify(step)))
            seen.push(`${file} ${name}: ${step.run}`);
      }
    }
    assert.deepEqual(seen, ['release.yml sign: scripts/sign-release "$TAG" checksums.txt']);
    const { environment, permissions } = release['sign'] ?? assert.fail();
    assert.deepEqual([environment, permissions], ['release', { contents: 'read' }]);
    for (const { run = '', uses = 'actions/checkout@' } of steps('sign')) {
      assert.doesNotMatch(run, /\b(?:npm|npx|node)\b/);
      assert.match(uses, /^actions\/checkout@/);
    }
    assert.doesNotMatch(readFileSync(SIGN, 'utf8').replace(/^#.*$/gm, ''), /\b(?:npm|npx|node)\b/);
    assert.ok(
      Object.entries(release).every(
        ([name, job]) => name === 'sign' || job.environment === undefined,
      ),
    );
  });

  it('signs what it is given, as that tag, and stays in no file', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'sign-'));
    try {
      const at = (name: string): string => path.join(directory, name);
      await execa('minisign', ['-G', '-W', '-s', at('key'), '-p', at('key.pub')]);
      const env = { MINISIGN_KEY: readFileSync(at('key'), 'utf8'), TMPDIR: directory };
      rmSync(at('key'));
      writeFileSync(at('checksums.txt'), 'sum  image.txt\n');
      await execa(SIGN, ['v1.2.3', at('checksums.txt')], { env });
      const { stdout } = await execa('minisign', [
        '-V',
        '-p',
        at('key.pub'),
        '-m',
        at('checksums.txt'),
      ]);
      assert.match(stdout, /^Trusted comment: file:checksums\.txt tag:v1\.2\.3 /m);
      assert.deepEqual(readdirSync(directory).sort(), [
        'checksums.txt',
        'checksums.txt.minisig',
        'key.pub',
      ]);
      assert.notEqual(
        (await execa(SIGN, ['v1.2.3', at('missing')], { env, reject: false })).exitCode,
        0,
      );
      assert.notEqual(
        (
          await execa(SIGN, ['v1.2.3', at('checksums.txt')], {
            env: { MINISIGN_KEY: '' },
            reject: false,
          })
        ).exitCode,
        0,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('the images of a release', () => {
  it('are each attested in the registry by digest, and their digests are in the sums that are signed, before anything is published', () => {
    const images = position('build', ({ run }) => run?.includes('--step images') === true);
    const digests = new Set<unknown>();
    for (const [index, { uses, with: options = {} }] of steps('build').entries())
      if (
        uses?.startsWith('actions/attest-build-provenance@') &&
        options['push-to-registry'] === true
      ) {
        assert.ok(index > images);
        assert.equal(options['subject-name'], `\${{ steps.images.outputs.name }}`);
        digests.add(options['subject-digest']);
      }
    // As many as the Dockerfile has: the last stage, and the one named debian.
    assert.deepEqual(
      [...digests],
      [`\${{ steps.images.outputs.default }}`, `\${{ steps.images.outputs.debian }}`],
    );
    const draft = position('build', ({ run }) => run?.includes('--step draft') === true);
    const sums = position(
      'build',
      ({ run }) => run?.includes('cat dist/release/checksums.txt') === true,
    );
    assert.ok(
      images > position('build', ({ run }) => run?.includes('--step files') === true) &&
        draft > images &&
        sums > images,
    );
    assert.deepEqual(
      [release['sign']?.needs, release['publish']?.needs],
      ['build', ['build', 'sign']],
    );
    assert.match(
      steps('publish')[0]?.run ?? '',
      /gh release upload .*checksums\.txt\.minisig\n.*gh release edit "\$TAG" --draft=false/,
    );
  });

  it('are built from base images by digest, pushed for both architectures, and listed for the signature', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'release-'));
    const out = path.join(ROOT, 'dist', 'release');
    try {
      // Tells what it was asked for, and a digest as buildx does.
      const script = `#!/bin/sh
echo "$@" >> ${directory}/asked
while [ "$1" != --metadata-file ]; do shift; done
printf '{"containerimage.digest":"sha256:%064d"}' "$(wc -l < ${directory}/asked)" > "$2"
`;
      writeFileSync(path.join(directory, 'docker'), script, { mode: 0o755 });
      const env = { PATH: `${directory}:${process.env['PATH']}` };
      for (const args of [['files'], ['images', '--image', 'ghcr.io/o/r']])
        await execa(
          process.execPath,
          [path.join(ROOT, 'scripts', 'release.ts'), 'v1.2.3', '--step', ...args],
          { env },
        );
      const asked = readFileSync(path.join(directory, 'asked'), 'utf8').trim().split('\n');
      const lock = readFileSync(path.join(ROOT, 'scripts', 'base-images.lock'), 'utf8')
        .trim()
        .split('\n');
      assert.equal(asked.length, 2);
      // As docs/security.md tells users to do the same.
      const { stdout } = await execa('sed', ['s/^/--build-arg /', 'scripts/base-images.lock'], {
        cwd: ROOT,
      });
      assert.deepEqual(
        stdout.split(/\s/),
        lock.flatMap((setting) => ['--build-arg', setting]),
      );
      for (const line of asked) {
        assert.match(line, /^buildx build --platform linux\/amd64,linux\/arm64 --push /);
        for (const setting of lock) assert.ok(line.includes(` --build-arg ${setting} `), line);
      }
      assert.match(asked[1] ?? '', / --target debian /);
      const digest = (number: number): string => `sha256:${String(number).padStart(64, '0')}`;
      assert.equal(
        readFileSync(path.join(out, 'image.txt'), 'utf8'),
        `ghcr.io/o/r:v1.2.3@${digest(1)}\nghcr.io/o/r:v1.2.3-debian@${digest(2)}\n`,
      );
      await execa('sha256sum', ['--check', '--strict', 'checksums.txt'], { cwd: out });
      assert.match(
        readFileSync(path.join(out, 'checksums.txt'), 'utf8'),
        /^[0-9a-f]{64} {2}image\.txt$/m,
      );
    } finally {
      rmSync(directory, { recursive: true });
      rmSync(out, { recursive: true, force: true });
    }
  });
});

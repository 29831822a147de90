/**
 * The action for GitHub: its steps, run by bash as the runner runs them, with inputs that are
 * variables and never part of a script.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { execa } from 'execa';
import { parse } from 'yaml';
import * as z from 'zod';
import { FakeGitHub } from '../support/github/server.ts';
import { ARCHIVE, packed } from '../support/lint.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
const DIRECTORY = path.join(ROOT, '.github', 'actions', 'lint');

/** https://docs.github.com/actions/reference/metadata-syntax-for-github-actions */
const action = z
  .object({
    name: z.string(),
    description: z.string().max(125),
    inputs: z.record(z.string(), z.object({ description: z.string(), default: z.string() })),
    runs: z.object({
      using: z.literal('composite'),
      steps: z.array(
        z.strictObject({
          name: z.string(),
          shell: z.literal('bash'),
          run: z.string(),
          env: z.record(z.string(), z.string()).optional(),
        }),
      ),
    }),
  })
  .parse(parse(readFileSync(path.join(DIRECTORY, 'action.yml'), 'utf8')));
const [install, lint] = action.runs.steps;

let root: string;
let github: FakeGitHub;
before(async () => {
  root = mkdtempSync(path.join(os.tmpdir(), 'action-'));
  mkdirSync(path.join(root, 'dist'));
  writeFileSync(path.join(root, 'dist', ARCHIVE), await packed());
  github = await new FakeGitHub({ token: 'of-the-job-0123456789' }).listen();
  github.publish('v1.2.3', { [ARCHIVE]: await packed() });
});
after(async () => {
  await github.close();
  rmSync(root, { recursive: true });
});

const CONTEXT: Record<string, string> = {
  'github.repository': 'acme/app',
  'github.token': 'of-the-job-0123456789',
};

/** The runner replaces expressions in `env`, and nothing else does. */
function evaluated(text: string, inputs: Record<string, string>): string {
  return text.replaceAll(/\$\{\{ ([\w.]+) \}\}/g, (_, name: string) => {
    const input = name.replace(/^inputs\./, '');
    if (input === name) return CONTEXT[name] ?? assert.fail(name);
    return inputs[input] ?? evaluated(action.inputs[input]?.default ?? assert.fail(input), inputs);
  });
}

function run(inputs: Record<string, string>, environment: Record<string, string> = {}) {
  const env = Object.entries(lint?.env ?? {}).map(([name, value]) => [
    name,
    evaluated(value, inputs),
  ]);
  // https://docs.github.com/actions/reference/workflow-syntax-for-github-actions, "jobs.<id>.steps[*].shell"
  const bash = ['--noprofile', '--norc', '-e', '-o', 'pipefail', '-c', lint?.run ?? ''];
  return execa('bash', bash, {
    cwd: root,
    env: {
      PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}`,
      HOME: root,
      GITHUB_ACTION_PATH: DIRECTORY,
      GITHUB_REPOSITORY: 'acme/app',
      GITHUB_REF_TYPE: 'branch',
      GITHUB_REF_NAME: 'main',
      GITHUB_API_URL: github.url,
      UPDATE_GH_API_URL: github.url,
      UPDATE_ASSET_HOSTS: 'localhost',
      ...Object.fromEntries(env),
      ...environment,
    },
    extendEnv: false,
    reject: false,
  });
}

describe('the action', () => {
  it('has no expression in a script, and no input that is not used', () => {
    for (const { run: script } of action.runs.steps) assert.doesNotMatch(script, /\$\{\{/);
    const used = Object.values(lint?.env ?? {}).join(' ');
    for (const name of Object.keys(action.inputs))
      assert.match(used, new RegExp(`inputs\\.${name} `));
  });

  it('takes the program from its own checkout', () => {
    assert.match(
      install?.run ?? '',
      /^npm ci --omit=dev --prefix "\$GITHUB_ACTION_PATH\/\.\.\/\.\.\/\.\."$/,
    );
    assert.equal(path.join(DIRECTORY, '..', '..', '..'), ROOT);
  });

  it('looks at files, for the tag that the workflow runs for', async () => {
    const tag = { GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: 'v1.2.3' };
    const { exitCode, stdout, stderr } = await run({ path: 'dist' }, tag);
    assert.equal(exitCode, 0, `${stdout}${stderr}`);
    assert.match(stdout, /^acme\/app v1\.2\.3, by files/);
    assert.match(stdout, /^::notice title=UNSIGNED/m);
    const quiet = await run({ path: path.join(root, 'dist'), tag: 'v2.0.0', annotations: 'false' });
    assert.match(quiet.stdout, /^acme\/app v2\.0\.0, by files/);
    assert.doesNotMatch(quiet.stdout, /^::/m);
  });

  it('looks at a release with the token of the job, and fails where a platform is missing', async () => {
    const newest = await run({});
    assert.equal(newest.exitCode, 0, newest.stdout + newest.stderr);
    assert.match(newest.stdout, /^acme\/app v1\.2\.3, by github/);
    const another = { GITHUB_REPOSITORY: 'acme/ci', GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: 'v9' };
    assert.match((await run({}, another)).stdout, /^acme\/app v1\.2\.3, by github/);
    const both = await run({ tag: 'v1.2.3', platforms: 'linux/amd64,linux/arm64' });
    assert.equal(both.exitCode, 1);
    assert.match(both.stdout, /^::error title=ASSET_MISSING \(linux\/arm64\)::/m);
  });

  it('sends the token of the job to the GitHub that runs it, and to nobody else', async () => {
    const sent: (string | undefined)[] = [];
    const elsewhere = createServer(({ headers }, response) => {
      sent.push(headers.authorization, String(headers['private-token']));
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    const { port } = elsewhere.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    try {
      for (const name of ['forgejo', 'gitlab', 'directory', 'oci'])
        await run({}, { UPDATE_SOURCE: name, UPDATE_SOURCE_URL: url });
      await run({}, { UPDATE_GH_API_URL: url });
      assert.ok(sent.length >= 10);
      assert.deepEqual([...new Set(sent)], [undefined, 'undefined']);
      const token = 'of-that-server-0123456789';
      await run({ token }, { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: url });
      assert.equal(sent.at(-2), `Bearer ${token}`);
      const given = { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: url, UPDATE_GH_TOKEN: token };
      await run({}, given);
      assert.equal(sent.at(-2), `Bearer ${token}`);
    } finally {
      elsewhere.close();
    }
  });

  it('takes what looks like a script, an option or a command for a name', async () => {
    const marker = path.join(root, 'marker');
    const hostile = [
      `$(touch ${marker})`,
      `"; touch ${marker}; "`,
      `\`touch ${marker}\``,
      `--sign=${marker}`,
      '-h',
      'a/b\n::set-output name=x::y',
    ];
    for (const text of hostile)
      for (const inputs of [{ path: text }, { repository: text }, { path: 'dist', tag: text }]) {
        const { exitCode, stdout } = await run(inputs);
        assert.notEqual(exitCode, undefined);
        assert.doesNotMatch(stdout, /^::set-output|^usage:/m);
        if (!('tag' in inputs)) assert.notEqual(exitCode, 0, JSON.stringify(inputs));
      }
    assert.throws(() => readFileSync(marker), { code: 'ENOENT' });
  });
});

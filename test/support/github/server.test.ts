/** The stand-in is held to GitHub's own description, and has to serve a stock client. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { Octokit } from '@octokit/rest';
import { Ajv, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';
import { FakeGitHub } from './server.ts';

const require = createRequire(import.meta.url);

/** A schema of the description, with its references resolvable. */
function validator(schema: string): ValidateFunction {
  const document = JSON.parse(
    readFileSync(require.resolve('@octokit/openapi/generated/api.github.com.json'), 'utf8'),
  ) as object;
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
  (formats as unknown as { default: (ajv: Ajv) => void }).default(ajv);
  ajv.addSchema(nullableAsTypes(document), 'github');
  return ajv.compile({ $ref: `github#/components/schemas/${schema}` });
}

/** OpenAPI 3.0 says `nullable: true`, JSON Schema says `type: [.., "null"]`. */
function nullableAsTypes(value: unknown): object {
  const visit = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(visit);
    if (node === null || typeof node !== 'object') return node;
    const copy = Object.fromEntries(
      Object.entries(node).map(([key, inner]) => [key, visit(inner)]),
    ) as Record<string, unknown>;
    if (copy['nullable'] !== true) return copy;
    const { nullable: _, ...rest } = copy;
    return { anyOf: [rest, { type: 'null' }] };
  };
  return visit(value) as object;
}

describe('the stand-in for GitHub', () => {
  let github: FakeGitHub;
  let octokit: Octokit;
  before(async () => {
    github = await new FakeGitHub({ token: 'secret' }).listen();
    octokit = new Octokit({
      baseUrl: github.url,
      auth: 'secret',
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    github.publish('v1.0.0', { 'app.tar.gz': Buffer.from('one') });
    github.publish(
      'v1.1.0-rc.1',
      { 'app.tar.gz': Buffer.from('two') },
      { prerelease: true, digests: false },
    );
  });
  after(() => github.close());

  it("answers releases as GitHub's OpenAPI description has them", async () => {
    const validate = validator('release');
    for (const { data } of [
      await octokit.repos.getLatestRelease({ owner: 'acme', repo: 'app' }),
      await octokit.repos.getReleaseByTag({ owner: 'acme', repo: 'app', tag: 'v1.1.0-rc.1' }),
    ]) {
      assert.ok(validate(data), JSON.stringify(validate.errors?.slice(0, 3)));
    }
    assert.ok(!validate({ tag_name: 'v1.0.0' }), 'the description refuses what is no release');
  });

  it('serves a stock client: list, pages, latest, tags, assets', async () => {
    const { data: list } = await octokit.repos.listReleases({
      owner: 'acme',
      repo: 'app',
      per_page: 1,
    });
    assert.deepEqual(
      list.map(({ tag_name }) => tag_name),
      ['v1.1.0-rc.1'],
    );
    const { data: latest } = await octokit.repos.getLatestRelease({ owner: 'acme', repo: 'app' });
    assert.equal(latest.tag_name, 'v1.0.0');
    const { data } = await octokit.repos.getReleaseAsset({
      owner: 'acme',
      repo: 'app',
      asset_id: latest.assets[0]?.id ?? 0,
      headers: { accept: 'application/octet-stream' },
    });
    assert.equal(Buffer.from(data as unknown as ArrayBuffer).toString(), 'one');
  });

  it('says 404 without a token and 401 with a wrong one', async () => {
    await assert.rejects(
      new Octokit({ baseUrl: github.url }).repos.getLatestRelease({ owner: 'acme', repo: 'app' }),
      { status: 404 },
    );
    await assert.rejects(
      new Octokit({ baseUrl: github.url, auth: 'x' }).repos.getLatestRelease({
        owner: 'acme',
        repo: 'app',
      }),
      { status: 401 },
    );
  });
});

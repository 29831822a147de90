/**
 * Answers that GitHub really gave (`@octokit/fixtures`, `@octokit/webhooks-examples`) and those of
 * its description (`@octokit/openapi`): the client reads them, and the stand-in that all other
 * tests use is held to them.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import {
  attestations,
  publishedRelease,
  repository,
  slimRelease,
} from '../../src/effects/github/schema.ts';
import { Http } from '../../src/effects/http/http.ts';
import { GitHub } from '../../src/effects/sources/github.ts';
import { FakeGitHub } from '../support/github/server.ts';

const require = createRequire(import.meta.url);
const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));

type Recorded = {
  scope: string;
  method: string;
  path: string;
  status: number;
  response: unknown;
  headers: Record<string, string>;
};
const SCENARIOS = path.join(
  path.dirname(require.resolve('@octokit/fixtures/package.json')),
  'scenarios',
  'api.github.com',
);
const recorded = new Map(
  readdirSync(SCENARIOS).map((name) => [
    name,
    readJson(path.join(SCENARIOS, name, 'normalized-fixture.json')) as Recorded[],
  ]),
);
const all = [...recorded.values()].flat();

const description = readJson(require.resolve('@octokit/openapi/generated/api.github.com.json')) as {
  components: { examples: Record<string, { value: unknown }> };
};
const example = (name: string): unknown => description.components.examples[name]?.value;

type WebhookExamples = { name: string; examples: { release?: unknown; repository?: unknown }[] }[];
const webhooks = require('@octokit/webhooks-examples') as
  | WebhookExamples
  | { default: WebhookExamples };
const events = Array.isArray(webhooks) ? webhooks : webhooks.default;

type Json = Record<string, unknown>;
const recordedReleases = all
  .filter(
    ({ method, path: asked, status }) =>
      method === 'get' && status === 200 && /\/releases\/(?:latest|tags\/[^/]+|\d+)$/.test(asked),
  )
  .map(({ response }) => response as Json);
const recordedAssets = all
  .filter(
    ({ status, path: asked }) =>
      status < 300 && /\/releases\/(?:assets\/\d+|\d+\/assets)/.test(asked),
  )
  .flatMap(({ response }) => (Array.isArray(response) ? (response as Json[]) : [response as Json]))
  .filter((asset) => typeof asset === 'object' && 'id' in asset);

/** Serves one recorded scenario, with the addresses of this server in place of GitHub's. */
async function replay<T>(
  scenario: string,
  use: (github: GitHub, asked: string[]) => Promise<T>,
  name: string,
): Promise<T> {
  const asked: string[] = [];
  const answers = [...(recorded.get(scenario) ?? [])];
  const server = http.createServer((request, response) => {
    asked.push(request.url ?? '');
    const index = answers.findIndex(
      ({ method, path: known }) => method.toUpperCase() === request.method && known === request.url,
    );
    const [answer] = index < 0 ? [] : answers.splice(index, 1);
    if (answer === undefined) return void response.writeHead(500).end();
    const here = (text: string) =>
      text.replaceAll(
        'https://api.github.com',
        `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      );
    const {
      'content-length': _,
      'content-encoding': __,
      connection: ___,
      ...headers
    } = answer.headers;
    response.writeHead(
      answer.status,
      Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, here(String(value))])),
    );
    response.end(here(JSON.stringify(answer.response)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const client = new Http({
      userAgent: 'test',
      apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      assetHosts: ['127.0.0.1'],
      mayBePlain: () => true,
      token: () => null,
      proxyEnvironment: {},
    });
    return await use(
      new GitHub({
        http: client,
        repository: `octokit-fixture-org/${name}`,
        cache: { read: () => null, write: () => {} },
        now: Date.now,
      }),
      asked,
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const signal = () => AbortSignal.timeout(10_000);

describe('answers that GitHub gave', () => {
  it('were recorded: releases, their assets, a repository and a renamed one', () => {
    assert.ok(
      recordedReleases.length >= 2 && recordedAssets.length >= 4,
      `${recordedReleases.length} releases, ${recordedAssets.length} assets`,
    );
  });

  it('are read: a release by its tag', async () => {
    const release = await replay(
      'release-assets',
      (github) => github.tagged('v1.0.0', 0, signal()),
      'release-assets',
    );
    assert.deepEqual([release?.tag, release?.draft, release?.prerelease], ['v1.0.0', false, false]);
    assert.ok(!Number.isNaN(Date.parse(release?.publishedAt ?? '')));
  });

  it('are read: assets, of which those that were uploaded count', () => {
    const [release] = recordedReleases;
    const parsed = publishedRelease.parse({ ...release, assets: recordedAssets });
    assert.deepEqual(
      parsed.assets.map(({ name, uploaded }) => [name, uploaded]),
      recordedAssets.map((asset) => [asset['name'], asset['state'] === 'uploaded']),
    );
    assert.ok(
      parsed.assets.every(({ digest, sizeBytes }) => digest === null && sizeBytes > 0),
      'from before GitHub computed digests',
    );
  });

  it('are read: the id of a repository, also of one that was renamed (301)', async () => {
    assert.equal(
      await replay('get-repository', (github) => github.repositoryId(signal()), 'hello-world'),
      1000,
    );
    const [id, asked] = await replay(
      'rename-repository',
      async (github, requests) => [await github.repositoryId(signal()), requests] as const,
      'rename-repository',
    );
    assert.equal(id, 1000);
    assert.deepEqual(asked, ['/repos/octokit-fixture-org/rename-repository', '/repositories/1000']);
  });

  it("are read: the releases in GitHub's own webhooks", () => {
    const releases = events
      .flatMap(({ examples }) => examples.map(({ release }) => release))
      .filter((release) => release !== undefined);
    assert.ok(releases.length >= 7, String(releases.length));
    for (const release of releases)
      assert.ok(
        publishedRelease.safeParse(release).success,
        JSON.stringify(publishedRelease.safeParse(release).error?.issues),
      );
  });
});

describe("the examples of GitHub's description", () => {
  it('are read: one release, and a page of them', () => {
    for (const release of [example('release'), ...(example('release-items') as unknown[])]) {
      const parsed = publishedRelease.parse(release);
      assert.deepEqual(
        [parsed.tag, parsed.assets[0]?.name, parsed.assets[0]?.uploaded],
        ['v1.0.0', 'example.zip', true],
      );
      assert.match(parsed.assets[0]?.digest ?? '', /^[0-9a-f]{64}$/);
    }
  });

  it('read the same from what is kept of them', () => {
    for (const release of [example('release'), ...recordedReleases])
      assert.deepEqual(
        publishedRelease.parse(slimRelease(release)),
        publishedRelease.parse(release),
      );
    assert.ok(
      JSON.stringify(slimRelease(example('release'))).length <
        JSON.stringify(example('release')).length / 3,
    );
  });

  it('are read: a repository, and attestations', () => {
    assert.equal(repository.parse(example('full-repository-default-response')).id, 1_296_269);
    assert.ok(attestations.parse(example('list-attestations')).attestations.length >= 1);
  });
});

/** What an object is made of: a type for each path, arrays by their first element. */
function shapeOf(value: unknown, at = ''): Map<string, string> {
  if (Array.isArray(value))
    return value.length === 0
      ? new Map([[at, 'array']])
      : new Map([[at, 'array'], ...shapeOf(value[0], `${at}[]`)]);
  if (value === null || typeof value !== 'object')
    return new Map([[at, value === null ? 'null' : typeof value]]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [...shapeOf(inner, `${at}.${key}`)]),
  );
}

describe('the stand-in for GitHub', () => {
  const known = [
    example('release'),
    ...recordedReleases,
    ...recordedAssets.map((asset) => ({ assets: [asset] })),
  ].map((value) => shapeOf(value));

  it('says nothing of a release that GitHub does not say, and all of it as the same type', async () => {
    const { release } = await answerOfFakeGitHub();
    for (const [at, type] of shapeOf(release)) {
      const types = known.flatMap((shape) => shape.get(at) ?? []);
      // The description has it, the example does not: when the release was last edited, and whether
      // it is locked.
      if (types.length === 0) assert.match(at, /^\.(?:updated_at|immutable)$/, `${at} is made up`);
      else
        assert.ok(
          type === 'null' || types.includes(type),
          `${at}: ${type}, and GitHub says ${types}`,
        );
    }
  });

  it('says all that is common to what GitHub said', async () => {
    const { release } = await answerOfFakeGitHub();
    const said = shapeOf(release);
    const [first = new Map<string, string>(), ...others] = [
      example('release'),
      ...recordedReleases,
    ].map((value) => shapeOf(value));
    const common = [...first.keys()].filter((at) => others.every((shape) => shape.has(at)));
    assert.ok(common.length > 15, common.join());
    for (const at of common) assert.ok(said.has(at), at);
  });

  it('sends the headers that the client reads, as GitHub sent them', async () => {
    const { headers } = await answerOfFakeGitHub();
    const [answer] = (recorded.get('release-assets') ?? []).filter(
      ({ method }) => method === 'get',
    );
    for (const name of [
      'etag',
      'content-type',
      'x-ratelimit-limit',
      'x-ratelimit-remaining',
      'x-ratelimit-reset',
      'x-github-media-type',
    ]) {
      assert.ok(answer?.headers[name] !== undefined, name);
      assert.ok(headers[name] !== undefined, name);
      const kind = (value: unknown) =>
        /^\d+$/.test(String(value)) ? 'number' : String(value).replace(/"[^"]*"/, '""');
      assert.equal(kind(headers[name]), kind(answer.headers[name]), name);
    }
  });

  it('refuses as GitHub refused: a message, and where it is documented', async () => {
    const refusals = all
      .filter(({ status }) => status >= 400)
      .map(({ response }) => response as Json);
    assert.ok(refusals.length > 0);
    const github = await new FakeGitHub().listen();
    try {
      const answer = (await (
        await fetch(`${github.url}/repos/acme/other/releases/latest`)
      ).json()) as Json;
      for (const key of ['message', 'documentation_url'] as const) {
        assert.equal(typeof answer[key], 'string');
        assert.ok(
          refusals.every((refusal) => typeof refusal[key] === 'string'),
          key,
        );
      }
    } finally {
      await github.close();
    }
  });
});

async function answerOfFakeGitHub(): Promise<{
  release: unknown;
  headers: Record<string, string>;
}> {
  const github = await new FakeGitHub().listen();
  try {
    github.publish('v1.0.0', { 'app.tar.gz': Buffer.from('one') });
    const response = await fetch(`${github.url}/repos/acme/app/releases/latest`);
    return { release: await response.json(), headers: Object.fromEntries(response.headers) };
  } finally {
    await github.close();
  }
}

/**
 * Every source, as the table of tests takes it (test/product/source-releases.test.ts,
 * test/product/every-source.test.ts, test/world/every-source.test.ts, scripts/bench/requests.ts).
 * A new one is one entry.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { FakeDirectory } from '../directory/server.ts';
import { FakeForgejo } from '../forges/forgejo.ts';
import { FakeGitLab } from '../forges/gitlab.ts';
import { FakeGitHub } from '../github/server.ts';
import { CREDENTIAL, digestOf, NAME, TestRegistry } from '../registry/registry.ts';
import { disguisedInJson, type RequestKind } from './misbehaving-proxy.ts';
import { proxied, type SourceHarness, type SourceUnderTest } from './source-under-test.ts';

/** Long enough to be blacked out wherever a server says it back. */
export const CANARY = 'canary-token-0123456789';

const github = (source: 'github' | 'github-web') => async (): Promise<SourceHarness> => {
  const isPublic = source === 'github-web';
  const standIn = await new FakeGitHub({ token: CANARY, isPublic }).listen();
  return proxied(
    {
      origin: standIn.url,
      kindOf: kindOfGitHub,
      publish: (tag, files) => void standIn.publish(tag, files),
      replaceBytes: (tag, name, bytes) => {
        const release = standIn.releases.find((one) => one.tag === tag);
        for (const asset of release?.assets ?? []) if (asset.name === name) asset.content = bytes;
      },
      takeOver: () => {
        standIn.repositoryId += 1;
      },
      close: () => standIn.close(),
    },
    (url) => ({ UPDATE_SOURCE: source, UPDATE_GH_API_URL: url, UPDATE_GH_TOKEN: CANARY }),
  );
};

function kindOfGitHub(asked: string): RequestKind {
  if (asked.includes('/releases/assets/')) return 'fileOfApi';
  if (/^\/storage\/|\/releases\/download\//.test(asked)) return 'file';
  return asked.startsWith('/repos/') ? 'api' : 'web';
}

async function forgejo(): Promise<SourceHarness> {
  const standIn = await new FakeForgejo({ token: CANARY }).listen();
  return proxied(
    {
      origin: standIn.url,
      kindOf: (asked) => (asked.startsWith('/api/') ? 'api' : 'file'),
      publish: (tag, files) => standIn.publish(tag, files),
      replaceBytes: (tag, name, bytes) => standIn.replaceBytes(tag, name, bytes),
      close: () => standIn[Symbol.asyncDispose](),
    },
    (url) => ({ UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: url, UPDATE_GH_TOKEN: CANARY }),
  );
}

async function gitlab(): Promise<SourceHarness> {
  const standIn = await new FakeGitLab({ token: CANARY }).listen();
  return proxied(
    {
      origin: standIn.url,
      kindOf: (asked) => (/\/releases(?:[?/]|$)/.test(asked) ? 'api' : 'file'),
      publish: (tag, files) => standIn.publish(tag, files),
      replaceBytes: (tag, name, bytes) => standIn.replaceBytes(tag, name, bytes),
      close: () => standIn[Symbol.asyncDispose](),
    },
    (url) => ({ UPDATE_SOURCE: 'gitlab', UPDATE_SOURCE_URL: url, UPDATE_GH_TOKEN: CANARY }),
  );
}

async function directoryOverHttp(): Promise<SourceHarness> {
  const directory = await new FakeDirectory().listen();
  return proxied(
    {
      origin: directory.url.replace(/\/$/, ''),
      kindOf: (asked) => (asked.split('/').length > 2 ? 'file' : 'web'),
      publish: (tag, files) => directory.publish(tag, files),
      replaceBytes: (tag, name, bytes) => directory.write(`${tag}/${name}`, bytes),
      close: () => directory.close(),
    },
    (url) => ({ UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: url, UPDATE_GH_TOKEN: CANARY }),
  );
}

async function directoryOnDisk(): Promise<SourceHarness> {
  const directory = new FakeDirectory();
  const index = path.join(directory.root, 'releases.json');
  return {
    env: {
      UPDATE_SOURCE: 'directory',
      UPDATE_SOURCE_URL: directory.fileUrl,
      UPDATE_GH_TOKEN: CANARY,
    },
    proxy: null,
    publish: (tag, files) => directory.publish(tag, files),
    replaceBytes: (tag, name, bytes) => directory.write(`${tag}/${name}`, bytes),
    disguise: (name, as) =>
      writeFileSync(index, disguisedInJson(readFileSync(index, 'utf8'), { name, as })),
    takeOver: null,
    [Symbol.asyncDispose]: () => directory.close(),
  };
}

async function oci(): Promise<SourceHarness> {
  const registry = await TestRegistry.start({ authorization: 'token', redirectsTo: 'localhost' });
  const digests = new Map<string, string>();
  return proxied(
    {
      origin: registry.front.url,
      kindOf: (asked) => (/^\/docker\/|\/blobs\//.test(asked) ? 'file' : 'api'),
      publish: async (tag, files) => {
        for (const [name, bytes] of Object.entries(files))
          digests.set(`${tag}/${name}`, digestOf(bytes));
        await registry.publish(tag, files);
      },
      replaceBytes: (tag, name, bytes) =>
        registry.replaceBlob(digests.get(`${tag}/${name}`) ?? '', bytes),
      close: () => registry[Symbol.asyncDispose](),
    },
    (url) => ({
      UPDATE_SOURCE: 'oci',
      UPDATE_SOURCE_URL: `${url}/${NAME}`,
      UPDATE_GH_TOKEN: CREDENTIAL,
    }),
  );
}

export const SOURCES: readonly SourceUnderTest[] = [
  {
    name: 'github',
    hasServer: true,
    start: github('github'),
    // GitHub has words of its own for both.
    codes: { 'a refused token (401)': 'TOKEN_REJECTED', 'a refusal (403)': 'PROXY_BLOCKED' },
  },
  {
    name: 'github-web',
    hasServer: true,
    isAnonymous: true,
    apiRequestsAPoll: 0,
    start: github('github-web'),
    // Its first answer is a redirect, whose body nobody reads.
    codes: Object.fromEntries(
      [
        'a refused token (401)',
        'a refusal (403)',
        'a page of HTML',
        'another shape of JSON',
        'no end',
      ].map((answer) => [answer, 'ANSWER_UNEXPECTED']),
    ),
  },
  { name: 'forgejo', hasServer: true, start: forgejo },
  { name: 'gitlab', hasServer: true, start: gitlab },
  {
    name: 'oci',
    hasServer: true,
    // Its tags, the digest of the newest, since tags move, and a token, which lives for minutes.
    apiRequestsAPoll: 3,
    start: oci,
    // A registry without tags says little more.
    codes: { 'another shape of JSON': 'NOT_FOUND' },
  },
  { name: 'directory (http:)', hasServer: true, apiRequestsAPoll: 0, start: directoryOverHttp },
  { name: 'directory (file:)', hasServer: false, apiRequestsAPoll: 0, start: directoryOnDisk },
];
export const SERVERS = SOURCES.filter(({ hasServer }) => hasServer);

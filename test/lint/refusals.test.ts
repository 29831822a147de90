/**
 * Each code with which an updater refuses a release, and a release that makes `lint` report it: the
 * table does not compile while one is missing.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MANIFEST_NAME } from '../../src/effects/manifest.ts';
import { RELEASE_CODES, type ReleaseCode } from '../../src/lint/codes.ts';
import type { LintReport } from '../../src/lint/report.ts';
import { archive } from '../support/app.ts';
import { FakeDirectory } from '../support/directory/server.ts';
import { FakeGitHub } from '../support/github/server.ts';
import {
  ARCHIVE,
  ARM64,
  elf,
  lintOf,
  packed,
  ReleaseDirectory,
  sha256,
  tarOf,
} from '../support/lint.ts';
import { FakeMinisign } from '../support/minisign.ts';
import { MANIFEST_TYPE, TestRegistry } from '../support/registry/registry.ts';
import { IDENTITY, Sigstore } from '../support/sigstore.ts';

const signer = new FakeMinisign();
const MINISIGN = { UPDATE_VERIFY: 'digest,minisign', UPDATE_MINISIGN_KEYS: signer.publicKey };
const ATTESTATION = { UPDATE_VERIFY: 'attestation', UPDATE_ATTESTATION_IDENTITY: IDENTITY };
let app: Buffer;
let sigstore: Sigstore;
before(async () => {
  app = await packed();
  sigstore = await Sigstore.start();
});
after(() => sigstore[Symbol.asyncDispose]());

type Files = Record<string, string | Buffer>;

/** A directory of files, for release v1.2.3 or another one. */
async function files(
  all: Files,
  environment: Record<string, string> = {},
  as = 'acme/app@v1.2.3',
): Promise<LintReport> {
  using directory = new ReleaseDirectory().write(all);
  return await lintOf(directory.root, environment, { as });
}

/** A directory with a list, whose entries are changed. */
async function listed(
  changes: Record<string, unknown>,
  others: Files = {},
  environment: Record<string, string> = {},
): Promise<LintReport> {
  using directory = new ReleaseDirectory().list({ [ARCHIVE]: app }, changes).write(others);
  return await lintOf(directory.root, environment, { as: 'acme/app' });
}

async function onGitHub(prepare: (github: FakeGitHub) => void): Promise<LintReport> {
  const github = await new FakeGitHub().listen();
  try {
    prepare(github);
    return await lintOf('acme/app', {
      UPDATE_GH_API_URL: github.url,
      UPDATE_ASSET_HOSTS: 'localhost',
    });
  } finally {
    await github.close();
  }
}

async function inRegistry(
  prepare: (registry: TestRegistry) => Promise<unknown>,
): Promise<LintReport> {
  await using registry = await TestRegistry.start();
  await prepare(registry);
  return await lintOf('acme/app', { UPDATE_SOURCE: 'oci', UPDATE_SOURCE_URL: registry.url });
}

const CASES: Record<ReleaseCode, () => Promise<LintReport>> = {
  NOT_FOUND: () => onGitHub(() => {}),
  TAG_UNREADABLE: () => files({ [ARCHIVE]: app }, {}, 'acme/app@summer'),
  PRERELEASE_ONLY: () => files({ [ARCHIVE]: app }, {}, 'acme/app@v1.2.3-rc.1'),
  NONE_ALLOWED: async () => {
    using directory = new ReleaseDirectory().list({ [ARCHIVE]: app });
    directory.write({
      'releases.json': JSON.stringify({
        releases: ['v1.2.3', 'v1.2.2'].map((tag) => ({ tag, assets: [] })),
      }),
    });
    return await lintOf(directory.root, { UPDATE_RANGE: '^2' });
  },
  LIST_TOO_LONG: () =>
    onGitHub((github) => {
      for (let number = 1; number < 400; number++)
        github.publish(`v0.0.${number}`, {}, { prerelease: true });
    }),
  ANSWER_MALFORMED: async () => {
    using directory = new ReleaseDirectory().write({ 'releases.json': '{"releases": {}}' });
    return await lintOf(directory.root);
  },
  IMAGE_NOT_FILES: () =>
    inRegistry((registry) => registry.push('v1.2.3', { layers: [{ bytes: app }] })),
  MANIFEST_MISSING: () =>
    inRegistry(async (registry) => {
      await registry.publish('v1.2.3', { [ARCHIVE]: app });
      registry.front.wrong = ({ path }) =>
        path.includes('/manifests/') ? { status: 404, body: '{}' } : null;
    }),
  DIGEST_UNSUPPORTED: () =>
    inRegistry(async (registry) => {
      await registry.publish('v1.2.3', { [ARCHIVE]: app });
      const digest = `sha512:${'a'.repeat(128)}`;
      const annotations = { 'org.opencontainers.image.title': ARCHIVE };
      const layers = [{ mediaType: 'application/gzip', digest, size: 1, annotations }];
      const body = JSON.stringify({ schemaVersion: 2, layers });
      const headers = {
        'content-type': MANIFEST_TYPE,
        'docker-content-digest': `sha256:${sha256(Buffer.from(body))}`,
      };
      registry.front.wrong = ({ path }) =>
        path.includes('/manifests/') ? { status: 200, headers, body } : null;
    }),

  ASSET_MISSING: () => files({ 'app_1.2.3_windows_amd64.zip': app }),
  ASSET_AMBIGUOUS: () =>
    files({ 'client-1.2.3-linux-amd64.tar.gz': app, 'server-1.2.3-linux-amd64.tar.gz': app }),
  ASSET_FORMAT_UNSUPPORTED: () => files({ 'app_1.2.3_linux_amd64.deb': app }),
  ASSET_TOO_LARGE: () => files({ [ARCHIVE]: app }, { UPDATE_MAX_ASSET_BYTES: '10' }),
  FILE_MISSING: () => listed({ url: 'v1.2.3/another.tar.gz' }),
  DOWNLOAD_REFUSED: () =>
    onGitHub((github) => {
      github.publish('v1.2.3', { [ARCHIVE]: app });
      github.misbehave = { assetStatus: 404 };
    }),
  REDIRECT_REFUSED: async () => {
    await using server = await new FakeDirectory().listen();
    await server.publish('v1.2.3', { [ARCHIVE]: app });
    server.writeIndex(
      server.index.toString().replace(/"url": "[^"]*"/, '"url": "http://elsewhere.example/app"'),
    );
    return await lintOf('acme/app', {
      UPDATE_SOURCE: 'directory',
      UPDATE_SOURCE_URL: server.url,
    });
  },

  LENGTH_MISMATCH: () => listed({ sizeBytes: app.length - 1 }),
  DIGEST_MISSING: () => listed({ sha256: null }),
  DIGEST_MISMATCH: () => listed({ sha256: sha256(Buffer.from('another')) }),
  ANSWER_TOO_LARGE: () =>
    files({ [ARCHIVE]: app, 'checksums.txt': `${sha256(app)}  ${ARCHIVE}\n`.repeat(4000) }),
  SIGNATURE_MISSING: () => files({ [ARCHIVE]: app }, MINISIGN),
  SIGNATURE_INVALID: () =>
    files(
      { [ARCHIVE]: app, [`${ARCHIVE}.minisig`]: new FakeMinisign().sign(app, `file:${ARCHIVE}`) },
      MINISIGN,
    ),
  VERSION_UNBOUND: () =>
    files(
      {
        'app-linux-amd64.tar.gz': app,
        'app-linux-amd64.tar.gz.minisig': signer.sign(app, 'timestamp:1'),
      },
      MINISIGN,
    ),
  VERSION_MISMATCH: () => files({ [ARCHIVE]: app }, ATTESTATION, 'acme/app@v1.2.4'),
  ATTESTATION_MISSING: () => files({ [ARCHIVE]: app }, ATTESTATION),
  // By an instance of Sigstore that nobody knows.
  ATTESTATION_INVALID: async () =>
    files(
      {
        [ARCHIVE]: app,
        [`${ARCHIVE}.sigstore.json`]: JSON.stringify(
          await sigstore.attest(sha256(app), { name: ARCHIVE }),
        ),
      },
      ATTESTATION,
    ),

  ARCHIVE_CORRUPT: () => files({ [ARCHIVE]: 'an error page' }),
  ARCHIVE_REFUSED: () => files({ 'app_1.2.3_linux_amd64.tar': tarOf('../escaped') }),
  ARCHIVE_TOO_LARGE: () => files({ [ARCHIVE]: app }, { UPDATE_MAX_UNPACKED_BYTES: '10' }),

  ENTRY_POINT_MISSING: async () => files({ [ARCHIVE]: await archive({ README: { content: '' } }) }),
  WRONG_PLATFORM: async () => files({ [ARCHIVE]: await packed(elf(ARM64)) }),
  INTERPRETER_MISSING: async () => files({ [ARCHIVE]: await packed('#!/bin/sh\r\nexec true\r\n') }),
};

describe('a release that an updater refuses', () => {
  for (const code of RELEASE_CODES)
    it(`with ${code} has that finding`, async () => {
      const { findings, ok, platforms } = await CASES[code]();
      const found = findings.find((finding) => finding.code === code);
      assert.ok(found !== undefined, JSON.stringify(findings));
      assert.equal(found.level, code === 'PRERELEASE_ONLY' ? 'warning' : 'error');
      assert.equal(ok, code === 'PRERELEASE_ONLY');
      assert.equal(
        platforms.some(({ result }) => result === 'served'),
        false,
      );
    });

  it('for what it brings in the updater’s name is refused as well', async () => {
    const bytes = await archive({
      [MANIFEST_NAME]: { content: '' },
      app: { content: '#!/bin/sh\n' },
    });
    const { findings } = await files({ [ARCHIVE]: bytes });
    assert.equal(findings[0]?.code, 'ARCHIVE_REFUSED');
  });
});

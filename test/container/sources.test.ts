/** A container follows each source, in both images' profiles, and none asks GitHub's API for it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { writeIndex } from '../../src/effects/sources/write-index.ts';
import {
  Container,
  HARDENED,
  nativeArchive,
  PROFILES,
  type Profile,
} from '../support/docker/container.ts';
import { FakeForgejo } from '../support/forges/forgejo.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { TOKEN } from '../support/product.ts';
import { CREDENTIAL, TestRegistry } from '../support/registry/registry.ts';

async function filesOf(version: string): Promise<Record<string, Buffer>> {
  const name = `app_${version}_linux_amd64.tar.gz`;
  const archive = await nativeArchive(version);
  const sum = createHash('sha256').update(archive).digest('hex');
  return { [name]: archive, 'checksums.txt': Buffer.from(`${sum}  ${name}\n`) };
}

/** Publishes 0.0.2 and 0.0.3, one after the other, and sees the container run each. */
async function follows(
  profile: Profile,
  env: Record<string, string>,
  run: readonly string[],
  github: FakeGitHub,
  publish: (tag: string, files: Record<string, Buffer>) => void | Promise<void>,
): Promise<void> {
  await using container = await Container.run({
    github,
    env,
    run: [...PROFILES[profile], ...HARDENED, ...run],
  });
  await container.fact('versionBecameHealthy');
  for (const version of ['0.0.2', '0.0.3']) {
    await publish(`v${version}`, await filesOf(version));
    const { exitCode, stderr } = await container.command('update');
    assert.equal(exitCode, 0, stderr);
    await container.answers(version);
  }
  assert.deepEqual((await container.status()).lastError, null);
}

describe('a container follows', { concurrency: 2 }, () => {
  it("GitHub's web pages, while the API is down (root with four capabilities)", async () => {
    const github = await new FakeGitHub().listen();
    github.misbehave.api = { status: 503 };
    const env = { UPDATE_SOURCE: 'github-web', UPDATE_GH_TOKEN: '', SLEEP: '60' };
    try {
      await follows('root with four capabilities', env, [], github, (tag, files) => {
        github.publish(tag, files);
      });
      assert.ok(github.requests.every(({ path: asked }) => !asked.startsWith('/repos/')));
    } finally {
      await github.close();
    }
  });

  it('a Forgejo (one unprivileged user)', async () => {
    const github = await new FakeGitHub().listen();
    await using forgejo = await new FakeForgejo({ token: TOKEN }).listen();
    const env = { UPDATE_SOURCE: 'forgejo', UPDATE_SOURCE_URL: forgejo.url };
    try {
      await follows('one unprivileged user', env, [], github, (tag, files) =>
        forgejo.publish(tag, files),
      );
      assert.deepEqual(github.requests, []);
    } finally {
      await github.close();
    }
  });

  it('a registry with tokens, whose downloads are elsewhere (root)', async () => {
    const github = await new FakeGitHub().listen();
    const options = { authorization: 'token', redirectsTo: 'localhost' } as const;
    await using registry = await TestRegistry.start(options);
    const env = {
      UPDATE_SOURCE: 'oci',
      UPDATE_SOURCE_URL: registry.url,
      UPDATE_GH_TOKEN: CREDENTIAL,
    };
    try {
      await follows('root', env, [], github, async (tag, files) => {
        await registry.publish(tag, files);
      });
      assert.deepEqual(github.requests, []);
      const { host } = new URL(registry.front.url);
      const elsewhere = registry.front.requests.filter((request) => request.host !== host);
      assert.ok(elsewhere.length > 0);
      assert.ok(elsewhere.every(({ authorization }) => authorization === undefined));
    } finally {
      await github.close();
    }
  });

  it('a directory that is mounted, without a network (root)', async () => {
    const github = await new FakeGitHub().listen();
    const directory = mkdtempSync(path.join(os.tmpdir(), 'releases-'));
    chmodSync(directory, 0o755);
    const env = { UPDATE_SOURCE: 'directory', UPDATE_SOURCE_URL: 'file:///releases/' };
    const mount = ['--volume', `${directory}:/releases:ro`];
    try {
      await writeIndex(directory);
      await follows('root', env, mount, github, async (tag, files) => {
        mkdirSync(path.join(directory, tag));
        for (const [name, content] of Object.entries(files))
          writeFileSync(path.join(directory, tag, name), content);
        await writeIndex(directory);
      });
      assert.deepEqual(github.requests, []);
    } finally {
      await github.close();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

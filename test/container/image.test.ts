/**
 * The image as an artefact: what it says of itself, how large it is, what can be derived from it;
 * the scripts and the pipeline.
 */
import assert from 'node:assert/strict';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { Container, nativeArchive } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';
import { derive } from '../support/docker/setup.ts';
import { FakeGitHub } from '../support/github/server.ts';
import { TOKEN } from '../support/product.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');
/** What a first trial came to, and a tenth. */
const MAX_BYTES = 117e6 * 1.1;

async function inspected<T>(image: string, template: string): Promise<T> {
  return JSON.parse(
    (await docker(['image', 'inspect', '--format', `{{json ${template}}}`, image])).stdout,
  ) as T;
}

describe('the image', { concurrency: 2 }, () => {
  it('says what it is, what stops it, and how it is asked for its health', async () => {
    const labels = await inspected<Record<string, string>>(IMAGES.product, '.Config.Labels');
    assert.equal(labels['org.opencontainers.image.version'], 'v0.0.1');
    assert.equal(labels['org.opencontainers.image.licenses'], 'MIT');
    assert.equal(await inspected(IMAGES.product, '.Config.StopSignal'), 'SIGTERM');
    assert.deepEqual(await inspected(IMAGES.product, '.Config.Healthcheck.Test'), [
      'CMD',
      '/usr/lib/self-update/healthcheck',
    ]);
    assert.deepEqual(
      Object.keys(await inspected<object>(IMAGES.product, '.Config.Volumes')).sort(),
      ['/data', '/run/self-update'],
    );
  });

  it('is no larger than it has to be', async (test) => {
    const bytes = await inspected<number>(IMAGES.product, '.Size');
    test.diagnostic(`${(bytes / 1e6).toFixed(1)} MB unpacked`);
    assert.ok(bytes <= MAX_BYTES, `${bytes} bytes`);
  });

  it('carries the version in /version, the baked tree and `status`', async () => {
    await using container = await Container.run({ image: IMAGES.product });
    await container.answers('0.0.1\n');
    assert.equal((await container.exec(['cat', '/version'])).stdout, 'v0.0.1');
    assert.equal((await container.exec(['ls', '/usr/share/self-update/baked'])).stdout, '0.0.1');
    const { imageVersion, imageCreated } = await container.status();
    assert.equal(imageVersion, 'v0.0.1');
    assert.ok(Date.parse(imageCreated ?? '') > 0);
    assert.match((await container.command('--version')).stdout, /^\d+\.\d+\.\d+$/);
  });

  for (const [title, image] of [
    ['on Debian, with apt-get', IMAGES.productOnDebian],
    ['copied onto another glibc image', 'self-update-test:copied'],
  ] as const) {
    it(`runs ${title}`, async () => {
      if (image === 'self-update-test:copied') {
        const copies = ['/usr/lib/self-update', '/etc/service', '/usr/share/self-update'].map(
          (place) => `COPY --from=${IMAGES.app} ${place} ${place}`,
        );
        const entry =
          'ENTRYPOINT ["/usr/lib/self-update/bin/tini", "-s", "--", "/usr/lib/self-update/init"]';
        const link = 'RUN ln -s /usr/lib/self-update/self-update /usr/local/bin/self-update';
        await derive('debian:bookworm-slim', image, [...copies, link, entry].join('\n'));
      }
      await using container = await Container.run({ image, env: { UPDATE_ASSET: 'app_*' } });
      await container.fact('versionBecameHealthy');
      await container.publish('0.0.2');
      await container.signal('HUP');
      await container.answers('0.0.2');
      assert.equal((await container.exec(['sh', '-c', 'command -v apt-get'])).exitCode, 0);
      assert.match((await container.ask('/process')) ?? '', /^uid=1000 /);
      assert.equal((await container.stop()).status, 143);
      assert.doesNotMatch(await container.logs(), /is killed/);
    });
  }

  it('is healthy in an update’s stop, and unhealthy without an app (negative control)', async () => {
    await using container = await Container.run({ env: { STOP_MS: '1500' } });
    const health = async () =>
      (await container.exec(['/usr/lib/self-update/healthcheck'])).exitCode;
    await container.fact('versionBecameHealthy');
    assert.equal(await health(), 0);
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.until('nobody answers', async () => (await container.ask()) === null);
    assert.equal(await health(), 0);
    await container.answers('0.0.2');
    const [app = 0] = await container.apps();
    process.kill(app, 'SIGSTOP');
    await using sick = await Container.run({ env: { UPDATE_HEALTH_CMD: 'false' } });
    await sick.answers('0.0.1');
    assert.equal((await sick.exec(['/usr/lib/self-update/healthcheck'])).exitCode, 1);
  });

  it('runs two apps from two repositories, the second under an updater of its own', async () => {
    const run =
      '#!/bin/sh\nexec env GH_REPO=second UPDATE_DIR=/data/second UPDATE_SUPERVISOR=embedded UPDATE_BAKED_DIR=/none UPDATE_GH_API_URL=$SECOND_API PORT=$SECOND_PORT self-update run\n';
    await derive(
      IMAGES.app,
      'self-update-test:two',
      'COPY . /etc/service/\nRUN rm /etc/service/Dockerfile',
      { 'second/run': run },
    );
    const github = await new FakeGitHub({ token: TOKEN, repo: 'second' }).listen();
    await using other = await Container.prepare({ github });
    github.publish('v7.0.0', { 'app.tar.gz': await nativeArchive('7.0.0') });
    await using container = await Container.run({
      image: 'self-update-test:two',
      env: { SECOND_API: github.url, SECOND_PORT: String(other.port) },
    });
    await container.answers('0.0.1');
    await other.answers('7.0.0');
    await container.publish('0.0.2');
    await container.signal('HUP');
    await container.answers('0.0.2');
    assert.equal(await other.ask(), '7.0.0');
    await container.stop();
    await github.close();
  });
});

describe('the scripts', () => {
  it('are shellcheck-clean', async () => {
    const scripts = readdirSync(path.join(ROOT, 'docker'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name));
    assert.ok(scripts.length >= 9, scripts.join());
    const examples = globSync('examples/**/*.sh', { cwd: ROOT });
    assert.ok(examples.length >= 3, examples.join());
    await execa(
      'shellcheck',
      [...scripts, ...examples, 'scripts/release', 'scripts/sign-release'],
      {
        cwd: ROOT,
      },
    );
  });

  it('make the files of a release, the same at every run, with sums that hold and a signature that is refused for other bytes', async () => {
    const release = path.join(ROOT, 'dist', 'release');
    const runs = [];
    for (let run = 0; run < 2; run++) {
      await execa(path.join(ROOT, 'scripts', 'release'), ['v0.0.1']);
      runs.push(readFileSync(path.join(release, 'checksums.txt'), 'utf8'));
    }
    assert.equal(runs[0], runs[1]);
    for (const name of ['amd64', 'arm64'])
      assert.match(
        runs[0] ?? '',
        new RegExp(`^[0-9a-f]{64} {2}sample-app_0\\.0\\.1_linux_${name}\\.tar\\.gz$`, 'm'),
      );
    await execa('sha256sum', ['--check', 'checksums.txt'], { cwd: release });
    const verify = (file: string) =>
      execa(
        'minisign',
        ['-V', '-p', 'made-for-this-run.pub', '-x', 'checksums.txt.minisig', '-m', file],
        { cwd: release, reject: false },
      );
    assert.equal((await verify('checksums.txt')).exitCode, 0);
    assert.notEqual((await verify('sample-app_0.0.1_linux_amd64.tar.gz')).exitCode, 0);
  });

  it('make releases that the image of the same project updates to', async () => {
    await execa(path.join(ROOT, 'scripts', 'release'), ['v0.0.2']);
    const release = path.join(ROOT, 'dist', 'release');
    const files = Object.fromEntries(
      readdirSync(release).map((name) => [name, readFileSync(path.join(release, name))]),
    );
    await using container = await Container.run({ image: IMAGES.product });
    await container.answers('0.0.1\n');
    container.github.publish('v0.0.2', files);
    await container.signal('HUP');
    await container.answers('0.0.2\n');
  });

  it('call only actions that are pinned by commit, with no more rights than named', () => {
    const workflows = path.join(ROOT, '.github', 'workflows');
    for (const name of readdirSync(workflows)) {
      const text = readFileSync(path.join(workflows, name), 'utf8');
      for (const [, action] of text.matchAll(/uses: (\S+)/g))
        assert.match(action ?? '', /@[0-9a-f]{40}$/);
      assert.match(text, /^permissions: \{\}$/m, name);
    }
  });
});

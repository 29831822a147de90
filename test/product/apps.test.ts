/**
 * The three apps that every decision is made for: a Go service, a Node app, a game server with a
 * world.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { appArchive, appSource, archive } from '../support/app.ts';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';

async function answering(product: Product, version: string): Promise<void> {
  const prober = new Prober(product.port).start();
  await prober.answers(version);
  await prober.stop();
}

describe('the apps people bring', { concurrency: 3 }, () => {
  it('a goreleaser archive: LICENSE, README and the executable, found by its platform among packages, sums and other platforms', async () => {
    await using product = await Product.create({ baked: null });
    const os = process.platform;
    const arch = process.arch === 'x64' ? 'amd64' : process.arch;
    const good = await appArchive({ version: '1.2.3', port: product.port });
    const other = Buffer.from('for another machine');
    const name = `app_1.2.3_${os}_${arch}.tar.gz`;
    const sum = execFileSync('sha256sum', { input: good, encoding: 'utf8' }).split(' ')[0];
    product.github.publish('v1.2.3', {
      [name]: good,
      'app_1.2.3_plan9_arm64.tar.gz': other,
      'app_1.2.3_windows_amd64.zip': other,
      [`app_1.2.3_${os}_${arch}.deb`]: other,
      [`${name}.sbom.json`]: other,
      'checksums.txt': Buffer.from(`${sum}  ${name}\n`),
    });
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    await answering(product, '1.2.3');
    const verified = (await product.events()).find(({ type }) => type === 'verified');
    assert.deepEqual(verified?.type === 'verified' && verified.checks, ['digest', 'checksums']);
    assert.deepEqual(Object.keys(filesOf(path.join(product.dir, 'current'))).sort(), [
      'LICENSE',
      'README.md',
      'app',
    ]);
  });

  it('a Node app that ships node_modules with links in .bin, and is started by a command', async () => {
    await using product = await Product.create({
      baked: null,
      env: { UPDATE_APP_COMMAND: 'node server.js --from-command' },
    });
    const work = path.join(product.root, 'node-app');
    mkdirSync(path.join(work, 'node_modules', '.bin'), { recursive: true });
    mkdirSync(path.join(work, 'node_modules', 'tool'));
    writeFileSync(
      path.join(work, 'server.js'),
      appSource({ version: '2.0.0', port: product.port }),
    );
    writeFileSync(path.join(work, 'node_modules', 'tool', 'cli.js'), '#!/usr/bin/env node\n');
    chmodSync(path.join(work, 'node_modules', 'tool', 'cli.js'), 0o755);
    symlinkSync('../tool/cli.js', path.join(work, 'node_modules', '.bin', 'tool'));
    execFileSync('tar', ['-czf', '../node-app.tar.gz', '.'], { cwd: work });
    product.github.publish('v2.0.0', {
      'node-app.tar.gz': readFileSync(path.join(product.root, 'node-app.tar.gz')),
    });
    assert.equal((await product.command(['run', '--once'])).exitCode, 0);
    await answering(product, '2.0.0');
    assert.equal(
      readlinkSync(path.join(product.dir, 'current', 'node_modules', '.bin', 'tool')),
      '../tool/cli.js',
    );
  });

  it('a game server whose world is still there after two updates and a rollback by hand', async () => {
    await using product = await Product.create({
      baked: null,
      env: { UPDATE_LINKED: 'world server.properties', UPDATE_PROBATION: '0' },
    });
    const game = (version: string) =>
      archive({
        server: { content: appSource({ version, port: product.port }), mode: 0o755 },
        'server.properties': { content: `motd=${version}\n` },
        'world/level.dat': { content: `made by ${version}` },
      });
    product.github.publish('v1.0.0', { 'game.tar.gz': await game('1.0.0') });
    await product.command(['run', '--once']);
    await answering(product, '1.0.0');
    const world = path.join(product.dir, 'current', 'world');
    writeFileSync(path.join(world, 'players.dat'), 'alice');
    for (const version of ['2.0.0', '3.0.0']) {
      product.github.publish(`v${version}`, { 'game.tar.gz': await game(version) });
      assert.equal((await product.command(['update'])).exitCode, 0);
      await answering(product, version);
    }
    assert.equal((await product.command(['install', 'v2.0.0'])).exitCode, 0);
    await answering(product, '2.0.0');
    assert.equal(readFileSync(path.join(world, 'players.dat'), 'utf8'), 'alice');
    assert.equal(
      readFileSync(path.join(world, 'level.dat'), 'utf8'),
      'made by 1.0.0',
      'what the archive brings seeds the data once',
    );
    assert.equal(
      readFileSync(path.join(product.dir, 'current', 'server.properties'), 'utf8'),
      'motd=1.0.0\n',
    );
    assert.equal((await product.command(['verify'])).exitCode, 0);
  });

  it('a bare executable, and an archive with a wrapping folder', async () => {
    await using product = await Product.create({ baked: null, env: { UPDATE_ASSET: 'app*' } });
    product.github.publish('v1.0.0', {
      app: Buffer.from(appSource({ version: '1.0.0', port: product.port })),
    });
    await product.command(['run', '--once']);
    await answering(product, '1.0.0');
    product.github.publish('v2.0.0', {
      'app.tgz': await appArchive({ version: '2.0.0', port: product.port, wrapped: true }),
    });
    assert.equal((await product.command(['update'])).exitCode, 0);
    await answering(product, '2.0.0');
  });
});

function filesOf(directory: string): Record<string, string> {
  const names = execFileSync(
    'find',
    ['-L', directory, '-type', 'f', '-not', '-name', '.*', '-printf', '%P\\n'],
    { encoding: 'utf8' },
  )
    .trim()
    .split('\n');
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(path.join(directory, name), 'latin1')]),
  );
}

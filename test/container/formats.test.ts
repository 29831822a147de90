/** An app of each format updates itself in a real container, by the tools that the image has. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { Container } from '../support/docker/container.ts';
import { IMAGES } from '../support/docker/images.ts';

/** `pack`: from the directory `in` to standard output. */
const FORMATS = [
  { name: 'app_linux_amd64.tar.gz', pack: 'tar -C in -c . | gzip' },
  { name: 'app_linux_amd64.tar.zst', pack: 'tar -C in -c . | zstd -q' },
  { name: 'app_linux_amd64.tar.xz', pack: 'tar -C in -c . | xz -9e' },
  { name: 'app_linux_amd64.tar.bz2', pack: 'tar -C in -c . | bzip2' },
  { name: 'app_linux_amd64.zip', pack: 'cd in && zip -qr - .' },
  { name: 'app_linux_amd64.gz', pack: 'gzip < in/app' },
  { name: 'app_linux_amd64.xz', pack: 'xz < in/app' },
  { name: 'app_linux_amd64.bz2', pack: 'bzip2 < in/app' },
  { name: 'app_linux_amd64.zst', pack: 'zstd -q < in/app' },
  { name: 'app_linux_amd64', pack: 'cat in/app' },
] as const;

async function packed(pack: string, source: string | Buffer): Promise<Buffer> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'format-'));
  try {
    mkdirSync(path.join(directory, 'in'));
    writeFileSync(path.join(directory, 'in', 'app'), source, { mode: 0o755 });
    writeFileSync(path.join(directory, 'in', 'LICENSE'), 'MIT\n');
    const { stdout } = await execa('bash', ['-o', 'pipefail', '-c', pack], {
      cwd: directory,
      encoding: 'buffer',
    });
    return Buffer.from(stdout);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Tells its version, without a file beside it. */
const script = (version: string) => `#!/usr/bin/env node
const server = require('node:http').createServer((_, response) => response.end('${version}'));
server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
`;

describe('an app updates itself, published as', { concurrency: 2 }, () => {
  for (const { name, pack } of FORMATS)
    it(name, async () => {
      await using container = await Container.run({ env: { UPDATE_ASSET: name } });
      await container.fact('versionBecameHealthy');
      container.github.publish('v0.0.2', { [name]: await packed(pack, script('0.0.2')) });
      await container.signal('HUP');
      await container.fact('versionBecameHealthy', ({ version }) => version === '0.0.2');
      await container.answers('0.0.2');
      assert.equal((await container.command('verify')).exitCode, 0);
      const { stdout } = await container.exec(['ls', '/data/self-update/releases']);
      assert.match(stdout, /0\.0\.2-/);
    });

  it('a .js file, which a command with a pattern starts, whatever its version is called', async () => {
    // The baked app is no .cjs: there is a first version before anything is started.
    await using container = await Container.prepare({
      image: IMAGES.empty,
      env: { UPDATE_ASSET: 'app-*.cjs', UPDATE_APP_COMMAND: 'node *.cjs' },
    });
    const publish = (version: string) =>
      container.github.publish(`v${version}`, {
        [`app-${version}.cjs`]: Buffer.from(script(version)),
      });
    publish('0.0.2');
    await container.create();
    await container.answers('0.0.2');
    publish('0.0.3');
    await container.signal('HUP');
    await container.answers('0.0.3');
  });

  it('a program for another machine: it is refused before the app is stopped', async () => {
    await using container = await Container.run({
      env: { UPDATE_ASSET: 'app', UPDATE_STRATEGY: 'download-then-kill' },
    });
    await container.fact('versionBecameHealthy');
    const foreign = readFileSync(process.env['TEST_APP'] ?? '');
    // e_machine: IA-64, which nobody emulates by chance.
    foreign.writeUInt16LE(50, 18);
    container.github.publish('v0.0.2', { app: foreign });
    await container.signal('HUP');
    await container.until(
      'it is refused',
      async () => (await container.status()).denied[0]?.code === 'WRONG_PLATFORM',
    );
    assert.equal(await container.ask(), '0.0.1');
    assert.equal((await container.events()).filter(({ type }) => type === 'appStopped').length, 0);
  });
});

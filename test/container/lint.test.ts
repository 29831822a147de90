/** The publisher's command, with the image's own programs. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { nativeArchive } from '../support/docker/container.ts';
import { docker } from '../support/docker/engine.ts';
import { IMAGES } from '../support/docker/images.ts';

describe('self-update lint in the image', () => {
  let files: string;
  before(async () => {
    files = mkdtempSync(path.join(os.tmpdir(), 'files-'));
    chmodSync(files, 0o755);
    writeFileSync(path.join(files, 'app_1.2.3_linux_amd64.tar.gz'), await nativeArchive('1.2.3'));
  });
  after(() => rmSync(files, { recursive: true }));

  const lint = (options: readonly string[], words: readonly string[]) =>
    docker(['run', '--rm', '--volume', `${files}:/files:ro`, ...options, IMAGES.app, ...words], {
      reject: false,
    });
  const PLATFORM = ['--platform', 'linux/amd64'];

  it('judges a directory, and ends with its status', async () => {
    const { stdout, exitCode } = await lint([], ['self-update', 'lint', '/files', ...PLATFORM]);
    assert.match(stdout, /^linux\/amd64 +served/m);
    assert.equal(exitCode, 0, stdout);
    const other = ['self-update', 'lint', '/files', '--platform', 'linux/arm64'];
    assert.equal((await lint([], other)).exitCode, 1);
  });

  it('does so with a read-only root, as one unprivileged user, and with options before it', async () => {
    const user = ['--user', '4321:4321', '--cap-drop', 'ALL', '--read-only', '--tmpfs', '/tmp'];
    const words = ['self-update', '--json', ...PLATFORM, 'lint', '/files'];
    const { stdout, stderr } = await lint(user, words);
    assert.equal((JSON.parse(stdout) as { ok: boolean }).ok, true, stderr);
  });
});

/**
 * The README's first commands, for somebody who has what it asks for: Node 20, with whichever npm
 * came with it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';

const ROOT = path.join(import.meta.dirname, '..');
const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

/** This Node calls itself 20: what npm and our own guard look at. What it starts is not told so. */
const AS_NODE_20 = `data:text/javascript,${encodeURIComponent(`
  delete process.env.NODE_OPTIONS;
  Object.defineProperty(process, 'version', { value: 'v20.20.2' });
  Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });`)}`;

describe('on Node 20', () => {
  /** What `npm ci` would print, without a network and without changing anything. */
  const install = (...args: string[]) =>
    execa('npm', ['ci', '--dry-run', '--offline', ...args], {
      cwd: ROOT,
      all: true,
      env: { NODE_OPTIONS: `--import ${AS_NODE_20}` },
    });

  it('npm ci says nothing of engines: the packages are run by the pinned Node', async () => {
    assert.match(
      (await install('--loglevel=warn')).all,
      /EBADENGINE/,
      'npm does look at what is pretended here',
    );
    assert.doesNotMatch((await install()).all, /warn|EBADENGINE/);
  });

  it('every script is run by the pinned Node, though npm 10 links none', async () => {
    for (const [name, script] of Object.entries(scripts))
      for (const command of script.split('&&').map((one) => one.trim()))
        if (/^node\b/.test(command))
          assert.match(command, /^node bin\/(?:node|self-update)\.js /, name);
    // No node_modules/.bin in the path, and nothing of what npm sets.
    const env = { PATH: process.env['PATH'] ?? '', NODE_NO_WARNINGS: '1' };
    const source =
      'console.log(JSON.stringify([process.versions.node, process.env.PATH.split(":")[0]]))';
    const { stdout } = await execa(
      process.execPath,
      ['--import', AS_NODE_20, path.join(ROOT, 'bin', 'node.js'), '-e', source],
      { env, extendEnv: false },
    );
    const [version, first] = JSON.parse(stdout) as [string, string];
    const pinned = path.join(ROOT, 'node_modules', `node-${process.platform}-${process.arch}`);
    assert.equal(
      version,
      (JSON.parse(readFileSync(path.join(pinned, 'package.json'), 'utf8')) as { version: string })
        .version,
    );
    assert.equal(first, path.join(pinned, 'bin'), 'what a script starts as `node` is the same');
  });

  it('the command line is run by the pinned Node, and its status is passed on', async () => {
    const home = mkdtempSync(path.join(os.tmpdir(), 'install-'));
    const env = { PATH: process.env['PATH'] ?? '', HOME: home };
    const args = ['--import', AS_NODE_20, path.join(ROOT, 'bin', 'self-update.js'), 'run'];
    const { exitCode, stderr } = await execa(process.execPath, args, {
      env,
      extendEnv: false,
      reject: false,
    });
    rmSync(home, { recursive: true, force: true });
    assert.equal(exitCode, 78);
    assert.deepEqual(
      stderr
        .split('\n')
        .map(
          (line) =>
            /^update: (GH_\w+): is required\. Example: .* \[CONFIGURATION\]$/.exec(line)?.[1],
        ),
      ['GH_USER', 'GH_REPO'],
    );
  });
});

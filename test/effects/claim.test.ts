/** Another user's `releases` makes way for ours, while the app may run from a tree in it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { claimDirectories, finishReplacing } from '../../src/effects/claim.ts';
import { removeOldVersions } from '../../src/effects/garbage.ts';
import { MANIFEST_NAME } from '../../src/effects/manifest.ts';
import { isTreeThere, type Places } from '../../src/effects/trees.ts';
import { needsRoot, OTHER } from '../support/others.ts';
import { missing } from '../support/tools.ts';

let root: string;
let places: Places;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'claim-'));
  chmodSync(root, 0o755);
  places = {
    root,
    bakedDir: '/baked',
    repository: 'acme/app',
    versioning: 'semver',
    tagPrefix: '',
  };
  for (const name of ['1.0.0-a', '0.9.0-b']) {
    mkdirSync(path.join(root, 'releases', name), { recursive: true });
    for (const file of ['app', MANIFEST_NAME])
      writeFileSync(path.join(root, 'releases', name, file), name);
  }
  symlinkSync('releases/1.0.0-a', path.join(root, 'current'));
});
afterEach(() => rmSync(root, { recursive: true }));

const releases = (): string => path.join(root, 'releases');
const running = (): string => path.join(releases(), '1.0.0-a');
const aside = (): string[] => readdirSync(root).filter((name) => name.includes('.odd-'));

describe("another user's releases", { skip: needsRoot }, () => {
  beforeEach(() => chownSync(releases(), OTHER.uid, OTHER.gid));

  it('make way for ours, and what `current` names keeps its path, but is no installed version', async () => {
    const told: string[] = [];
    for (let round = 0; round < 2; round++)
      await claimDirectories(places, (message) => told.push(message));
    assert.equal(told.length, 1, told.join('\n'));
    assert.equal(statSync(releases()).uid, process.getuid?.());
    assert.deepEqual(readdirSync(releases()), ['1.0.0-a']);
    assert.equal(readFileSync(path.join(running(), 'app'), 'utf8'), '1.0.0-a');
    assert.equal(
      isTreeThere(running(), places),
      false,
      'all of it is ours, but not the directory that it lies in',
    );
    assert.deepEqual(readdirSync(path.join(root, aside()[0] ?? '')).sort(), ['0.9.0-b', '1.0.0-a']);
  });

  it('and the path goes with the link that names it, and nothing else of theirs', async () => {
    await claimDirectories(places, () => {});
    const clean = () =>
      removeOldVersions({ keep: [], reject: [running()] }, AbortSignal.timeout(60_000), 0, places);
    assert.deepEqual(await clean(), { type: 'oldVersionsRemoved', names: [] });
    rmSync(path.join(root, 'current'));
    assert.deepEqual(await clean(), { type: 'oldVersionsRemoved', names: ['1.0.0-a'] });
    assert.ok(existsSync(path.join(root, aside()[0] ?? '', '1.0.0-a', 'app')));
  });

  it('of which only the first half was done by a process that was killed are there again, and not in what others placed', async () => {
    const next = path.join(root, 'releases.next');
    mkdirSync(next);
    symlinkSync('../releases.odd-1/1.0.0-a', path.join(next, '1.0.0-a'));
    renameSync(releases(), path.join(root, 'releases.odd-1'));
    chownSync(next, OTHER.uid, OTHER.gid);
    finishReplacing(places);
    assert.ok(!existsSync(releases()));
    chownSync(next, process.getuid?.() ?? 0, 0);
    finishReplacing(places);
    assert.equal(readFileSync(path.join(running(), 'app'), 'utf8'), '1.0.0-a');
    await claimDirectories(places, assert.fail);
    assert.deepEqual(readdirSync(releases()), ['1.0.0-a']);
  });

  it('are replaced durably: what is moved into the new ones is there after a power cut', {
    skip: missing('strace'),
  }, () => {
    const script = `import { claimDirectories } from '${new URL('../../src/effects/claim.ts', import.meta.url).href}';
      await claimDirectories(${JSON.stringify(places)}, () => {});`;
    // Where it is made, that is synced too.
    mkdirSync(path.join(root, 'tmp'), { mode: 0o700 });
    const trace = path.join(root, 'trace');
    const options = ['-f', '-y', '-o', trace, '-e', 'trace=fsync,rename,renameat,renameat2'];
    execFileSync('strace', [...options, process.execPath, '--input-type=module', '--eval', script]);
    const calls = readFileSync(trace, 'utf8').split('\n');
    const renamed = calls.findLastIndex((call) => /rename.*releases\.next/.test(call));
    const synced = calls.findLastIndex(
      (call) => call.includes(`fsync(`) && call.includes(`<${root}>`),
    );
    assert.ok(renamed >= 0 && synced > renamed, calls.join('\n'));
  });

  it('are replaced where something lies in the way of the new ones', async () => {
    mkdirSync(path.join(root, 'releases.next', 'x'), { recursive: true });
    chownSync(path.join(root, 'releases.next'), OTHER.uid, OTHER.gid);
    await claimDirectories(places, () => {});
    assert.deepEqual(readdirSync(releases()), ['1.0.0-a']);
  });
});

it('our own releases stay as they are, also beside what was left of a replacement', async () => {
  mkdirSync(path.join(root, 'releases.next'));
  await claimDirectories(places, assert.fail);
  assert.deepEqual(readdirSync(releases()).sort(), ['0.9.0-b', '1.0.0-a']);
  assert.equal(isTreeThere(running(), places), true);
});

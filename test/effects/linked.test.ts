/**
 * Names that are linked into a tree, and links by which the app's data would lead the updater
 * elsewhere.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { execaSync } from 'execa';
import { ensureLinked } from '../../src/effects/linked.ts';
import { testUser } from '../support/app-user.ts';

let root: string;
let tree: string;
let directory: string;
let victim: string;

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'linked-'));
  [tree, directory, victim] = [
    path.join(root, 'tree'),
    path.join(root, 'data'),
    path.join(root, 'victim'),
  ];
  for (const place of [tree, directory, victim]) mkdirSync(place);
});
afterEach(() => rmSync(root, { recursive: true }));

const link = (name: string) => ensureLinked(tree, { names: [name], directory, owner: null });

describe('a linked name', () => {
  it('is looked for by the app’s user for two seconds at most, and then made all the same: the look may hang', {
    timeout: 60_000,
  }, async () => {
    const id = process.getuid?.() ?? 0;
    // As where the app stops it, or its data lies on a volume that hangs.
    const become = path.join(root, 'become');
    writeFileSync(
      become,
      `#!/bin/sh\ncase $1 in /bin/sh) echo looked >> ${root}/looks; exec sleep 1000 ;; esac\nexec "$@"\n`,
      { mode: 0o755 },
    );
    const owner = {
      uid: id,
      gid: process.getgid?.() ?? 0,
      become: [become],
      privateDir: '/nowhere',
    };
    await ensureLinked(tree, { names: ['world'], directory, owner });
    assert.equal(readFileSync(path.join(root, 'looks'), 'utf8'), 'looked\n');
    assert.ok(lstatSync(path.join(directory, 'world')).isDirectory());
    assert.equal(readlinkSync(path.join(tree, 'world')), path.join(directory, 'world'));
  });

  it('is a link into the data directory, which is made', async () => {
    await link('world/region');
    assert.equal(
      readlinkSync(path.join(tree, 'world', 'region')),
      path.join(directory, 'world', 'region'),
    );
    assert.ok(existsSync(path.join(directory, 'world', 'region')));
  });

  const bring = (name: string, content: string) => {
    mkdirSync(path.join(tree, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(tree, name), content);
  };

  it('is seeded by the first tree that brings it, also where a tree without it was linked before (the one in the image)', async () => {
    const baked = path.join(root, 'baked');
    mkdirSync(baked);
    await ensureLinked(baked, { names: ['world'], directory, owner: null });
    bring('world/level.dat', 'fresh');
    await link('world');
    assert.equal(readFileSync(path.join(tree, 'world', 'level.dat'), 'utf8'), 'fresh');
    assert.deepEqual(readdirSync(directory), ['world']);
  });

  it('is not seeded where there is data, nor where an empty link or a file stands in its place', async () => {
    const seeded = async (prepare: () => void) => {
      rmSync(tree, { recursive: true });
      rmSync(directory, { recursive: true });
      mkdirSync(directory);
      prepare();
      bring('world/level.dat', 'fresh');
      await link('world');
      return readdirSync(root, { recursive: true }).some((file) =>
        String(file).endsWith('level.dat'),
      );
    };
    const data = path.join(directory, 'world');
    assert.equal(
      await seeded(() => mkdirSync(path.join(data, 'region'), { recursive: true })),
      false,
    );
    assert.equal(await seeded(() => symlinkSync(victim, data)), false);
    assert.equal(await seeded(() => writeFileSync(data, '')), false);
  });

  it('is refused where a link in the data leads out of it, and nothing is made there', async () => {
    symlinkSync(victim, path.join(directory, 'conf'));
    await assert.rejects(link('conf/cache'), { code: 'LINKED_ESCAPES' });
    assert.deepEqual(readdirSync(victim), []);
  });

  it('is fine where a link in the data stays in it', async () => {
    mkdirSync(path.join(directory, 'real'));
    symlinkSync('real', path.join(directory, 'conf'));
    await link('conf/cache');
    assert.ok(existsSync(path.join(directory, 'real', 'cache')));
  });

  const canTrace =
    process.getuid?.() === 0 && execaSync('strace', ['-V'], { reject: false }).exitCode === 0;
  it('is made and seeded by the app’s own user, and root comes to nothing of the app’s (as root, with strace)', {
    skip: !canTrace && 'needs root and strace',
  }, () => {
    const owner = testUser(1234);
    chmodSync(root, 0o755);
    // A tree that is being unpacked lies where the app may not pass through.
    const work = path.join(root, 'work');
    mkdirSync(work, { mode: 0o700 });
    renameSync(tree, path.join(work, 'tree'));
    tree = path.join(work, 'tree');
    bring('world/deep/level.dat', 'fresh');
    bring('conf.json', '{}');
    chownSync(directory, owner.uid, owner.gid);
    chmodSync(directory, 0o700);
    const options = JSON.stringify({
      names: ['world', 'conf.json', 'logs', 'world/deep/er'],
      directory,
      owner,
    });
    const module = new URL('../../src/effects/linked.ts', import.meta.url).href;
    const script = `import { ensureLinked } from '${module}'; await ensureLinked(${JSON.stringify(tree)}, ${options});`;
    const log = path.join(root, 'trace');
    execaSync('strace', [
      '-f',
      '-qq',
      '-o',
      log,
      '-e',
      'trace=%file,setresuid',
      process.execPath,
      '--input-type=module',
      '--eval',
      script,
    ]);
    // Threads of a child have numbers of their own: Node starts them after it became the app.
    const lines = readFileSync(log, 'utf8').split('\n');
    const first = lines.findIndex((line) => /setresuid\(1234, /.test(line));
    assert.ok(first > 0);
    const roots = new Set(lines.slice(0, first).map((line) => line.split(' ')[0]));
    for (const line of lines) if (/setresuid\(1234, /.test(line)) roots.delete(line.split(' ')[0]);
    const touched = lines.filter(
      (line) =>
        roots.has(line.split(' ')[0]) &&
        line.includes(`"${directory}`) &&
        !/ (?:symlink|readlink|execve)\(/.test(line),
    );
    assert.deepEqual(touched, []);
    for (const file of ['world', 'world/deep/level.dat', 'conf.json', 'logs', 'world/deep/er'])
      assert.equal(statSync(path.join(directory, file)).uid, owner.uid, file);
    assert.deepEqual(readdirSync(directory).sort(), ['conf.json', 'logs', 'world']);
    assert.equal(readFileSync(path.join(tree, 'world', 'deep', 'level.dat'), 'utf8'), 'fresh');
  });

  for (const [what, owned] of [
    ['all of it', '.'],
    ['a part of it', 'world'],
    ['a directory deep in it', 'world/deep'],
  ] as const)
    it(`is linked in a tree of the image that is the app’s, ${what} (COPY --chown; as root)`, {
      skip: process.getuid?.() !== 0 && 'needs root',
    }, async () => {
      const owner = testUser(1234);
      chmodSync(root, 0o755);
      bring('world/deep/level.dat', 'fresh');
      bring('other', 'root’s');
      // Of root's alone, next to what is the app's.
      bring('world/secret', 'root’s');
      chmodSync(path.join(tree, 'world', 'secret'), 0o600);
      bring('world/later/z', 'root’s');
      chmodSync(path.join(tree, 'world', 'later'), 0o700);
      for (const file of readdirSync(path.join(tree, owned), { recursive: true }).map(String))
        chownSync(path.join(tree, owned, file), owner.uid, owner.gid);
      chownSync(path.join(tree, owned), owner.uid, owner.gid);
      chownSync(directory, owner.uid, owner.gid);
      await ensureLinked(tree, { names: ['world'], directory, owner });
      assert.equal(readlinkSync(path.join(tree, 'world')), path.join(directory, 'world'));
      assert.equal(lstatSync(path.join(tree, 'world')).uid, owned === '.' ? owner.uid : 0);
      assert.equal(
        readFileSync(path.join(directory, 'world', 'deep', 'level.dat'), 'utf8'),
        'fresh',
      );
      assert.ok(existsSync(path.join(tree, 'other')));
    });

  it('is told with a remedy where the app can not empty what it has copied, of a third user (as root)', {
    skip: process.getuid?.() !== 0 && 'needs root',
  }, async () => {
    const owner = testUser(1234);
    chmodSync(root, 0o755);
    bring('world/deep/level.dat', 'fresh');
    chownSync(path.join(tree, 'world', 'deep'), 4321, 4321);
    chownSync(directory, owner.uid, owner.gid);
    await assert.rejects(ensureLinked(tree, { names: ['world'], directory, owner }), {
      code: 'PERMISSION_DENIED',
      message: /world\/deep .*chown -R 0:0/,
    });
    assert.equal(readFileSync(path.join(directory, 'world', 'deep', 'level.dat'), 'utf8'), 'fresh');
  });

  it('is trouble of this machine whatever the app has the process say that prepares it: the version is not denied for it', async () => {
    bring('world/level.dat', 'fresh');
    const answers = [
      ['{"code":"ARCHIVE_REFUSED","message":"said by the app"}', 'DISK_ERROR'],
      ['{"code":"LINKED_ESCAPES","message":"said by the app"}', 'DISK_ERROR'],
      ['{"code":"ECONNRESET","message":"said by the app","syscall":"connect"}', 'DISK_ERROR'],
      ['{"code":"ERR_FS_CP_EINVAL","message":"said by the app"}', 'DISK_ERROR'],
      [
        '{"code":"EROFS","message":"said by the app","syscall":"mkdir","path":"/data/app/world"}',
        'READ_ONLY',
      ],
    ] as const;
    for (const [said, code] of answers) {
      // In the place of the process that becomes the app's user.
      const owner = {
        uid: 1234,
        gid: 1234,
        become: ['/bin/sh', '-c', `echo '${said}'; exit 1`, 'sh'],
        privateDir: root,
      };
      await assert.rejects(ensureLinked(tree, { names: ['world'], directory, owner }), {
        code,
        message: /^said by the app/,
      });
    }
  });

  const canMount =
    process.getuid?.() === 0 &&
    execaSync('unshare', ['--mount', 'true'], { reject: false }).exitCode === 0;
  it('is told with a remedy where root can not make readable what the app is to copy (as root)', {
    skip: !canMount && 'needs root and mounts',
  }, async () => {
    chmodSync(root, 0o755);
    bring('world/level.dat', 'fresh');
    chmodSync(path.join(tree, 'world', 'level.dat'), 0o600);
    const place = path.join(tree, 'world');
    execaSync('mount', ['--bind', '-o', 'ro', place, place]);
    try {
      const refused = ensureLinked(tree, { names: ['world'], directory, owner: testUser(1234) });
      await assert.rejects(refused, {
        code: 'PERMISSION_DENIED',
        message: /level[.]dat .*chmod -R a\+rX/,
      });
    } finally {
      execaSync('umount', [place]);
    }
  });

  it('below another linked name is the app’s alone: no link in the data leads the tree’s owner elsewhere', async () => {
    writeFileSync(path.join(victim, 'run'), 'root’s');
    mkdirSync(path.join(directory, 'world'));
    symlinkSync(victim, path.join(directory, 'world', 'x'));
    await link('world');
    await ensureLinked(tree, { names: ['world', 'world/x/run.txt'], directory, owner: null });
    assert.equal(readFileSync(path.join(victim, 'run'), 'utf8'), 'root’s');
    assert.deepEqual(readdirSync(victim), ['run']);
  });

  it('below a link of the tree’s own lies where that leads', async () => {
    mkdirSync(path.join(tree, 'real'));
    symlinkSync('real', path.join(tree, 'conf'));
    await link('conf/cache');
    assert.equal(
      readlinkSync(path.join(tree, 'real', 'cache')),
      path.join(directory, 'conf', 'cache'),
    );
  });
});

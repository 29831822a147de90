/**
 * Volumes that lack what others have. What can't be had here is injected at the system call by
 * strace(1), and the titles say so.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { execaSync } from 'execa';
import { appArchive } from '../support/app.ts';
import { traced } from '../support/chaos/strace.ts';
import { Prober } from '../support/prober.ts';
import { Product } from '../support/product.ts';
import { missing } from '../support/tools.ts';

const isRoot = process.getuid?.() === 0;
const hasStrace = execaSync('strace', ['--version'], { reject: false }).exitCode === 0;
const skip = !hasStrace && 'strace is not installed';

/** One command under strace; `on` names paths below UPDATE_DIR. Its app is let go of at the end. */
async function injected(
  product: Product,
  args: string[],
  { call, error, on }: { call: string; error: string; on: string[] },
) {
  const paths = on.flatMap((name) => ['-P', path.join(product.dir, name)]);
  const { prefix, output, ended } = traced(product, [
    ...paths,
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:error=${error}`,
  ]);
  const [file = '', ...words] = [...prefix, process.execPath, product.entry, ...args];
  // A file, since the tracer and the app outlive the updater and would hold a pipe open.
  const log = path.join(product.root, 'errors');
  const fd = openSync(log, 'w');
  const child = spawn(file, words, { env: product.env, stdio: ['ignore', 'ignore', fd] });
  closeSync(fd);
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  await ended();
  return {
    exitCode,
    stderr: readFileSync(log, 'utf8'),
    injections: readFileSync(output, 'utf8').split('(INJECTED)').length - 1,
  };
}

async function publish(product: Product, version: string): Promise<void> {
  product.github.publish(`v${version}`, {
    'app.tar.gz': await appArchive({ version, port: product.port }),
  });
}

describe('a volume', { concurrency: 2 }, () => {
  it('that has no fsync for directories, as CIFS (EINVAL injected at fsync of each directory): the update is made', {
    skip,
  }, async () => {
    await using product = await Product.create();
    await product.command(['run', '--once']);
    await publish(product, '0.0.2');
    const { stderr, injections } = await injected(product, ['run', '--once', '--now'], {
      call: 'fsync',
      error: 'EINVAL',
      on: ['.', 'releases', 'tmp', 'state', 'inbox'].map((name) => (name === '.' ? '' : name)),
    });
    assert.ok(injections > 0, 'no directory was synced');
    assert.equal((await product.status()).version, '0.0.2', stderr);
    assert.equal((await product.status()).lastError, null);
  });

  it("whose disk fails at a directory's fsync (EIO injected): that is told, and nobody's release is denied", {
    skip,
  }, async () => {
    await using product = await Product.create();
    await product.command(['run', '--once']);
    await publish(product, '0.0.2');
    await injected(product, ['run', '--once', '--now'], {
      call: 'fsync',
      error: 'EIO',
      on: ['releases'],
    });
    const status = await product.status();
    assert.equal(status.lastError?.code, 'DISK_ERROR');
    assert.deepEqual(status.denied, []);
  });

  for (const [title, runsBefore] of [
    ['from the first start on', false],
    ['for a journal that was in WAL mode', true],
  ] as const) {
    it(`that maps no shared memory, ${title} (ENODEV injected at mmap of journal.db-shm): a rollback journal does it`, {
      skip,
    }, async () => {
      await using product = await Product.create();
      if (runsBefore) await product.command(['run', '--once']);
      await publish(product, '0.0.2');
      const shm = { call: 'mmap', error: 'ENODEV', on: ['state/journal.db-shm'] };
      const { injections, stderr } = await injected(product, ['run', '--once', '--now'], shm);
      assert.ok(injections > 0, 'nothing was mapped');
      assert.equal((await product.status()).version, '0.0.2', stderr);
      const again = await injected(product, ['run', '--once'], shm);
      assert.deepEqual(
        [again.injections, again.exitCode],
        [0, 0],
        'the file itself tells how it is written',
      );
      const db = new DatabaseSync(path.join(product.dir, 'state', 'journal.db'), {
        readOnly: true,
      });
      assert.equal(db.prepare('PRAGMA journal_mode').get()?.['journal_mode'], 'delete');
      db.close();
      assert.match((await product.command(['replay'])).stdout, /the chain holds/);
    });
  }

  for (const error of ['ENOLCK', 'EOPNOTSUPP'])
    it(`that can't lock files (${error} injected at fcntl): it is told as that, the app runs, and nothing is updated`, {
      skip,
    }, async () => {
      await using product = await Product.create();
      await using prober = new Prober(product.port).start();
      mkdirSync(path.join(product.dir, 'state'), { recursive: true });
      const locks = { call: 'fcntl', error, on: ['state/lock', 'state/lock.probe'] };
      const { exitCode, stderr } = await injected(product, ['run', '--once'], locks);
      assert.match(stderr, /can't lock files .*NFS.* \[NO_LOCKS\]/);
      assert.doesNotMatch(stderr, /another updater/);
      assert.equal(exitCode, 1);
      await prober.answers('0.0.1');
    });

  it('that is two, with a mount for tmp: refused before the app is stopped, told with its remedy, and the release not denied (as root)', {
    skip: !isRoot && 'mounting needs root',
  }, async () => {
    for (const strategy of ['kill-then-download', 'download-then-kill']) {
      await using product = await Product.create({ env: { UPDATE_STRATEGY: strategy } });
      await product.command(['run', '--once']);
      await publish(product, '0.0.2');
      const [before] = product.apps();
      const tmp = path.join(product.dir, 'tmp');
      mkdirSync(tmp, { recursive: true });
      execaSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'none', tmp]);
      try {
        await product.command(['run', '--once', '--now']);
        const status = await product.status();
        assert.equal(status.lastError?.code, 'CROSS_DEVICE', strategy);
        assert.match(status.lastError?.message ?? '', /mount one volume at UPDATE_DIR itself/);
        assert.deepEqual(status.denied, []);
        assert.deepEqual(product.apps(), [before]);
      } finally {
        execaSync('umount', ['--lazy', tmp]);
      }
    }
  });
});

describe('a volume with a default access list (acl(5))', { skip: missing('setfacl') }, () => {
  /**
   * An update under such a list; what others than the updater may write in UPDATE_DIR, and the mode
   * of what tells the version.
   */
  async function under(acl: string) {
    await using product = await Product.create();
    mkdirSync(product.dir);
    execaSync('setfacl', ['-d', '-m', acl, product.dir]);
    await product.command(['run', '--once']);
    await publish(product, '0.0.2');
    await product.command(['run', '--once', '--now']);
    const { version } = await product.status();
    assert.equal(version, '0.0.2');
    const files = readdirSync(product.dir, { recursive: true }).map(String);
    const modeOf = (name: string) => lstatSync(path.join(product.dir, name));
    const open = files.filter(
      (name) => !modeOf(name).isSymbolicLink() && (modeOf(name).mode & 0o022) !== 0,
    );
    assert.equal(readFileSync(path.join(product.dir, 'version'), 'utf8'), 'v0.0.2\n');
    return { open, version: (modeOf('version').mode & 0o7777).toString(8) };
  }

  it('that lets everybody write gives nobody a right on what is ours: `version` has 644', async () => {
    assert.deepEqual(await under('u::rwx,u:1234:rwx,g::rwx,o::rwx,m::rwx'), {
      open: [],
      version: '644',
    });
  });

  it('that gives others nothing is obeyed: `version` has 640', async () => {
    assert.deepEqual(await under('u::rwx,g::r-x,o::---'), { open: [], version: '640' });
  });
});
